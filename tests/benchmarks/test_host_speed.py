"""What a host costs: the same attack on a defense in this process and in a host; the ratio stands in ``extra_info``."""

import statistics
import time

import pytest
import torch
from torch import Tensor

from benchmark.access import adaptive
from benchmark.attacks.pgd import Pgd
from benchmark.data.registry import find_card, load_split
from benchmark.defense.target import Target
from benchmark.errors import BenchError
from benchmark.host.remote import RemoteDefense
from benchmark.host.residence import Residence
from benchmark.memory import keep_freed_memory
from benchmark.randomness import Randomness
from benchmark.root import find_root
from benchmark.submission import find_entry
from benchmark.task.build import task_of

IMAGES, ROUNDS = 128, 5


@pytest.fixture(scope="module")
def problem():  # type: ignore[no-untyped-def]
    root = find_root()
    card = find_card("pneumoniamnist", root)
    try:
        split = load_split(card, "test", root).subset(range(IMAGES))
    except BenchError as error:
        pytest.skip(str(error))
    return find_entry(root, "natural"), card, split


@pytest.mark.slow
@pytest.mark.parametrize("images", [16, IMAGES])
def test_an_attack_in_a_host_beside_one_in_this_process(benchmark, problem, images):  # type: ignore[no-untyped-def]
    entry, card, split = problem
    part = split.subset(range(images))
    goal = task_of(card).goal(part.labels)
    pixels = part.images

    def attack(target: Target) -> Tensor:
        draw = Randomness(range(images))
        return Pgd(steps=20)(adaptive(target, draw.fork("view"), 1), goal, pixels, 8.0, draw)

    def clocked(target: Target) -> float:
        started = time.perf_counter()
        attack(target)
        return time.perf_counter() - started

    keep_freed_memory()
    torch.set_num_threads(1)
    residence = Residence(entry.plan(card), torch.device("cpu"))
    remote, local = RemoteDefense(residence), entry.build(card)
    try:
        assert torch.equal(attack(remote), attack(local))
        # In turn, so that what else the machine does meets both.
        pairs = [(clocked(remote), clocked(local)) for _ in range(ROUNDS)]
        benchmark.pedantic(attack, (remote,), rounds=1)
    finally:
        residence.close()
    ratio = statistics.median(there / here for there, here in pairs)
    benchmark.extra_info["seconds in a host per second in this process"] = ratio
