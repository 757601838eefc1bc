"""What a submission's folder may hold, and what its manifest may say."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.submission.contract import Report
from benchmark.submission.weights import save_weights

NAMED = '[weights.tiny]\nfile = "w.safetensors"\nsha256 = "{sha256}"'


def only_failure(report: Report) -> tuple[str, str]:
    assert len(report.failures) == 1, report.failures
    return report.failures[0].name, report.failures[0].message


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt", ".pkl"])
def test_a_pickled_weight_file_is_refused_with_the_way_to_convert_it(
    suffix: str, plant: Callable[..., Path], check: Callable[..., Report]
) -> None:
    folder = plant()
    torch.save({"a": torch.zeros(1)}, folder / f"model{suffix}")
    name, message = only_failure(check(folder))
    assert name == "folder"
    assert f"model{suffix}" in message
    assert "bench import-weights" in message


def test_a_link_out_of_the_folder_is_refused(plant: Callable[..., Path], check: Callable[..., Report], tmp_path: Path):
    folder = plant()
    (tmp_path / "secret.txt").write_text("x")
    (folder / "notes.txt").symlink_to(tmp_path / "secret.txt")
    assert only_failure(check(folder))[0] == "folder"


def test_a_weight_file_that_no_table_names_is_a_warning(plant: Callable[..., Path], check: Callable[..., Report]):
    folder = plant()
    save_weights(nn.Linear(2, 2), folder / "old.safetensors")
    report = check(folder)
    assert report.passed
    assert any(c.name == "folder" and c.status == "warning" and "old.safetensors" in c.message for c in report.checks)


def test_weights_that_match_pass(plant: Callable[..., Path], check: Callable[..., Report], tmp_path: Path) -> None:
    digest = save_weights(nn.Linear(2, 2), tmp_path / "planted" / "w.safetensors")
    report = check(plant(extra=NAMED.format(sha256=digest)))
    assert report.passed
    assert any(c.name == "weights" and "2 tensors" in c.message for c in report.checks)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04 pickled", "not a safetensors file"),
        (b"", "not a safetensors file"),
        (b"<html>404</html>", "not a safetensors file"),
    ],
)
def test_a_file_that_is_no_safetensors_is_refused(
    content: bytes, words: str, plant: Callable[..., Path], check: Callable[..., Report]
) -> None:
    import hashlib

    folder = plant(extra=NAMED.format(sha256=hashlib.sha256(content).hexdigest()))
    (folder / "w.safetensors").write_bytes(content)
    name, message = only_failure(check(folder))
    assert name == "weights"
    assert words in message


def test_a_git_lfs_pointer_is_told_from_a_wrong_file(plant: Callable[..., Path], check: Callable[..., Report]) -> None:
    folder = plant(extra=NAMED.format(sha256="0" * 64))
    (folder / "w.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    name, message = only_failure(check(folder))
    assert name == "weights"
    assert "is a Git LFS pointer, not the file; run 'git lfs pull'" in message


def test_weights_with_nan_are_refused(plant: Callable[..., Path], check: Callable[..., Report], tmp_path: Path) -> None:
    network = nn.Linear(2, 2)
    nn.init.constant_(network.weight, float("nan"))
    digest = save_weights(network, tmp_path / "planted" / "w.safetensors")
    name, message = only_failure(check(plant(extra=NAMED.format(sha256=digest))))
    assert (name, "not finite" in message) == ("weights", True)


def test_a_baseline_over_three_megabytes_is_refused(
    plant: Callable[..., Path], check: Callable[..., Report], tmp_path: Path
) -> None:
    digest = save_weights(nn.Linear(1300, 1300), tmp_path / "planted" / "w.safetensors")
    name, message = only_failure(check(plant(extra="baseline = true\n" + NAMED.format(sha256=digest))))
    assert (name, "a shipped baseline may have 3" in message) == ("weights", True)


def test_a_task_that_is_not_built_is_refused(plant: Callable[..., Path], check: Callable[..., Report]) -> None:
    folder = plant()
    text = (folder / "submission.toml").read_text()
    (folder / "submission.toml").write_text(text.replace("classification", "segmentation"))
    name, message = only_failure(check(folder))
    assert (name, "task 'segmentation' is not built yet" in message) == ("manifest", True)


def test_an_unknown_data_set_in_the_manifest_is_named(plant: Callable[..., Path], check: Callable[..., Report]) -> None:
    folder = plant()
    text = (folder / "submission.toml").read_text()
    (folder / "submission.toml").write_text(text.replace('["tiny"]', '["tinny"]'))
    name, message = only_failure(check(folder))
    assert (name, "Did you mean 'tiny'?" in message) == ("manifest", True)
