"""What an entry's source does beyond arranging the benchmark's parts is seen without running it."""

from pathlib import Path

import pytest

from benchmark.submission.own_code import has_own_code

PROJECT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(path for path in (PROJECT / "submissions").iterdir() if (path / "submission.toml").is_file())

PLAIN = """
\"\"\"A network behind JPEG.\"\"\"

from benchmark.defense import Defense
from benchmark.defense.stages import Jpeg
from benchmark.models import NarrowResNet18
from benchmark.submission import BuildContext


def build(context: BuildContext) -> Defense:
    network = NarrowResNet18(context.num_classes, context.channels, width=16)
    return Defense(context.load_weights(network), context.num_classes, stages=[Jpeg(80)])
"""


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda path: path.name)
def test_no_shipped_entry_has_code_of_its_own(folder):
    assert not has_own_code(folder)


def test_an_arrangement_of_parts_is_none(tmp_path):
    (tmp_path / "defense.py").write_text(PLAIN)
    assert not has_own_code(tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        "import torch",
        "from torch import nn",
        "from benchmark.models.resnet import nn",
        "from benchmark.defense import *",
        "from .other import Net",
        "class Net:\n    pass",
        "def answer(module, given, told):\n    return told",
        "turn = lambda images: 1 - images",
        "Defense.predict = Jpeg",
        "exec('x = 1')",
        "getattr(Defense, 'predict')",
        "Defense.__init__",
        "network.register_forward_hook(print)",
        "parts = []\nparts[0] = 1",
        "from benchmark.defense.inner import F",
        "from benchmark.defense.transparent import ThreadPoolExecutor",
        "more = network.head.append(network.stem)",
        "network.half()",
        "this is no Python",
    ],
)
def test_anything_more_is(tmp_path, more):
    (tmp_path / "defense.py").write_text(PLAIN + more + "\n")
    assert has_own_code(tmp_path)


def test_a_second_file_counts_and_so_does_a_compiled_one(tmp_path):
    (tmp_path / "defense.py").write_text(PLAIN)
    (tmp_path / "more.so").write_bytes(b"\x7fELF")
    assert has_own_code(tmp_path)
    (tmp_path / "more.so").unlink()
    (tmp_path / "more.py").write_text("import os\n")
    assert has_own_code(tmp_path)


def test_without_source_nothing_is_known(tmp_path):
    assert has_own_code(tmp_path)
