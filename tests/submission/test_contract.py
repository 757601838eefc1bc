"""What passes the contract, what is only warned of, and what a run of it leaves behind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.errors import BenchError
from benchmark.root import Root
from benchmark.submission.contract import STEPS, Report, check_submission

STOCHASTIC = "stochastic = true"


def test_a_sound_defense_passes_every_check_without_warning(plant: Callable[..., Path], check: Callable[..., Report]):
    report = check(plant())
    assert report.passed
    assert {check.name for check in report.checks if check.status != "ok"} == {"weights"}
    assert {step.name for step in STEPS} < {check.name for check in report.checks}


def test_a_declared_random_defense_passes(plant: Callable[..., Path], check: Callable[..., Report]) -> None:
    code = """
from benchmark.defense.stages import BinomialVote, SaltAndPepper
def build(context):
    return Defense(Brightness(), 3, stages=[SaltAndPepper(0.1)], vote=BinomialVote(20))
"""
    report = check(plant(code, STOCHASTIC))
    assert report.passed, report.failures


def test_a_jpeg_cushion_passes_through_its_stand_in(plant: Callable[..., Path], check: Callable[..., Report]) -> None:
    code = """
from benchmark.defense.stages import Jpeg
def build(context):
    return Defense(Brightness(), 3, stages=[Jpeg(80)])
"""
    report = check(plant(code))
    assert report.passed, report.failures


def test_a_gradient_that_is_declared_absent_and_is_there_is_a_warning(
    plant: Callable[..., Path], check: Callable[..., Report]
) -> None:
    report = check(plant(extra="gradient = false"))
    assert report.passed
    assert [(c.name, c.status) for c in report.checks if c.status == "warning"] == [("gradient", "warning")]


def test_a_constant_answer_is_warned_of(plant: Callable[..., Path], check: Callable[..., Report]) -> None:
    code = """
class Bad(Brightness):
    def forward(self, images):
        return super().forward(images) * 0.001 + torch.tensor([9.0, -3.0, -4.0])


def build(context):
    return Defense(Bad(), 3)
"""
    report = check(plant(code))
    assert report.passed
    warned = [c.message for c in report.checks if c.status == "warning"]
    assert len(warned) == 1
    assert "no better than a guess" in warned[0]


def test_without_data_random_images_are_used_and_told(
    plant: Callable[..., Path], check: Callable[..., Report], tmp_path: Path
) -> None:
    report = check(plant(), data_dir=tmp_path)
    assert report.passed
    assert "random images" in report.images["tiny"]
    skipped = {c.name: c.message for c in report.checks if c.status == "skipped"}
    assert "ask the test" in skipped["normalisation"]


def test_skipping_everything_is_no_pass() -> None:
    assert not Report("empty").passed
    assert not Report("empty", images={"tiny": "none"}).passed


def test_checking_leaves_the_global_generators_alone(plant: Callable[..., Path], check: Callable[..., Report]) -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[2]
    check(plant())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[2] == before[1]


def test_a_data_set_that_the_manifest_does_not_name_is_refused(plant: Callable[..., Path], project: Root) -> None:
    with pytest.raises(BenchError, match=r"does not name data set 'tinny'\. Did you mean 'tiny'\?"):
        check_submission(project, str(plant()), ["tinny"])
