"""A learned filter as a stage beside the bare network that it holds; ratios stand in ``extra_info``."""

import copy
import time

import pytest
import torch

from benchmark.defense.stages import LearnedFilter
from benchmark.models.comdefend import ComDefend
from benchmark.models.denoiser import DenoisingUNet
from benchmark.randomness import Randomness


# ComDefend's code is binary: another order of sums may flip a bit of it, which shows in the few pixels around.
@pytest.mark.parametrize(("architecture", "flipped"), [(ComDefend, 0.01), (DenoisingUNet, 0)])
def test_a_stage_on_images_of_64_pixels_beside_its_bare_network(benchmark, architecture, flipped):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = architecture(3)
    images = torch.rand(64, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    draw = Randomness(range(64))
    bare = copy.deepcopy(network).eval()
    stage = LearnedFilter(network)
    with torch.no_grad():
        bare(images)
        started = time.perf_counter()
        whole = bare(images).clamp(0, 1)
        seconds = time.perf_counter() - started
        filtered = benchmark.pedantic(stage, (images, draw), rounds=3, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["seconds of the stage per second of the bare network"] = (
            benchmark.stats.stats.mean / seconds
        )
    apart = (filtered - whole).abs() > 1e-4
    assert apart.float().mean() <= flipped
