"""How an entry's code is imported: files beside defense.py are its own, and nothing of it reaches the next entry."""

import logging
import os
import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.data.availability import find_card
from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.root import Root
from benchmark.submission import find_entry

Built = Callable[[Path], Defense]

LAYER = """
from torch import nn


class Extra(nn.Module):
    factor = {factor}

    def forward(self, images):
        return images.flatten(1).mean(dim=1, keepdim=True) * self.factor * images.new_tensor([1.0, 2.0, 3.0])
"""


@pytest.fixture
def built(project: Root) -> Built:
    def build(folder: Path) -> Defense:
        return find_entry(project, str(folder)).build(find_card("tiny", project))

    return build


@pytest.mark.parametrize(
    "how",
    [
        "from .layers import Extra",
        "from layers import Extra",
        "from . import layers; Extra = layers.Extra",
        "import layers; Extra = layers.Extra",
        "import parts.layers; Extra = parts.layers.Extra",
        "from parts.layers import Extra",
        "from .parts.layers import Extra",
    ],
)
def test_code_may_be_split_into_files_and_folders(how: str, plant: Callable[..., Path], built: Built) -> None:
    folder = plant(f"\n{how}\ndef build(context):\n    return Defense(Extra(), context.num_classes)\n")
    (folder / "layers.py").write_text(LAYER.format(factor=1))
    (folder / "parts").mkdir()
    (folder / "parts" / "layers.py").write_text(LAYER.format(factor=1))
    assert built(folder).classifier(torch.ones(1, 1, 16, 16)).tolist() == [[1.0, 2.0, 3.0]]


def test_a_helper_may_be_imported_as_late_as_in_forward(plant: Callable[..., Path], built: Built) -> None:
    folder = plant("""
class Late(nn.Module):
    def forward(self, images):
        from layers import Extra
        return Extra()(images)

def build(context):
    return Defense(Late(), context.num_classes)
""")
    (folder / "layers.py").write_text(LAYER.format(factor=1))
    assert built(folder).classifier(torch.ones(1, 1, 16, 16)).tolist() == [[1.0, 2.0, 3.0]]


def test_helpers_of_one_name_belong_each_to_their_own_entry(plant: Callable[..., Path], built: Built) -> None:
    code = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from layers import Extra
def build(context):
    return Defense(Extra(), context.num_classes)
"""
    folders = [plant(code, name=name) for name in ("alpha", "beta")]
    for factor, folder in enumerate(folders, 1):
        (folder / "layers.py").write_text(LAYER.format(factor=factor))
    alpha, beta = (built(folder) for folder in folders)
    image = torch.ones(1, 1, 16, 16)
    assert alpha.classifier(image)[0, 0] == 1
    assert beta.classifier(image)[0, 0] == 2
    assert "layers" not in sys.modules


PUBLIC = {
    "a folder on the import path": (
        "src/layers.py",
        "sys.path.insert(0, str(Path(__file__).parent / 'src'))\nfrom layers import Extra",
    ),
    "importlib": (
        "layers.py",
        "sys.path.insert(0, str(Path(__file__).parent))\nExtra = importlib.import_module('layers').Extra",
    ),
    "a package on the import path": (
        "src/parts/layers.py",
        "sys.path.insert(0, str(Path(__file__).parent / 'src'))\nfrom parts.layers import Extra",
    ),
}


@pytest.mark.parametrize("how", PUBLIC)
def test_helpers_under_public_names_belong_each_to_their_own_entry_too(
    how: str, plant: Callable[..., Path], built: Built
) -> None:
    place, statement = PUBLIC[how]
    code = f"""
import importlib
import sys
from pathlib import Path
{statement}
def build(context):
    return Defense(Extra(), context.num_classes)
"""
    folders = [plant(code, name=name) for name in ("alpha", "beta")]
    for factor, folder in enumerate(folders, 1):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(LAYER.format(factor=factor))
    image = torch.ones(1, 1, 16, 16)
    assert [built(folder).classifier(image)[0, 0].item() for folder in folders] == [1, 2]


def test_a_file_named_like_a_package_is_preferred_by_its_own_entry_alone(
    plant: Callable[..., Path], built: Built
) -> None:
    folder = plant("\nfrom random import Extra\ndef build(context):\n    return Defense(Extra(), 3)\n")
    (folder / "random.py").write_text(LAYER.format(factor=1))
    built(folder)
    assert hasattr(random, "getstate")
    assert sys.modules["random"] is random


def test_no_entry_can_stand_in_for_the_harness(plant: Callable[..., Path], built: Built) -> None:
    folder = plant()
    (folder / "benchmark.py").write_text("raise RuntimeError('a file of the entry was taken for the harness')\n")
    built(folder)


STATES = {
    "working folder": ("import os; os.chdir('/')", os.getcwd),
    "environment": ("import os; os.environ['OMP_PLANTED'] = '1'", lambda: os.environ.get("OMP_PLANTED")),
    "import path": ("import sys; sys.path.insert(0, '/planted')", lambda: list(sys.path)),
    "default dtype": ("torch.set_default_dtype(torch.float64)", torch.get_default_dtype),
    "grad mode": ("torch.set_grad_enabled(False)", torch.is_grad_enabled),
    "threads": ("torch.set_num_threads(2)", torch.get_num_threads),
    "torch's generator": ("torch.manual_seed(7)", lambda: torch.get_rng_state().tolist()),
    "numpy's generator": ("import numpy; numpy.random.seed(7)", lambda: np.random.get_state()[1].tolist()),
    "Python's generator": ("import random; random.seed(7)", random.getstate),
    "warning filters": ("import warnings; warnings.simplefilter('ignore')", lambda: list(warnings.filters)),
    "standard output": ("import sys; sys.stdout = sys.stderr", lambda: sys.stdout),
    "hooks of all modules": (
        "torch.nn.modules.module.register_module_forward_hook(lambda module, given, made: -made)",
        lambda: dict(torch.nn.modules.module._global_forward_hooks),
    ),
    "autocast": (
        "torch.autocast('cpu', dtype=torch.bfloat16).__enter__()",
        lambda: torch.is_autocast_enabled("cpu"),
    ),
    "inference mode": ("torch.inference_mode().__enter__()", torch.is_inference_mode_enabled),
    "anomaly detection": ("torch.autograd.set_detect_anomaly(True)", torch.is_anomaly_enabled),
    "recursion limit": ("import sys; sys.setrecursionlimit(777)", sys.getrecursionlimit),
    "numpy's errors": ("import numpy; numpy.seterr(all='raise')", np.geterr),
    "logging": ("import logging; logging.disable(50)", lambda: logging.root.manager.disable),
    "deterministic mode": (
        "torch.use_deterministic_algorithms(True)",
        torch.are_deterministic_algorithms_enabled,
    ),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("when", ["import", "build"])
def test_what_building_does_to_shared_state_is_undone(
    state: str, when: str, plant: Callable[..., Path], built: Built
) -> None:
    statement, read = STATES[state]
    inside = f"\ndef build(context):\n    {statement}\n    return Defense(Brightness(), context.num_classes)\n"
    folder = plant(f"\n{statement}\n" if when == "import" else inside)
    before = read()
    built(folder)
    assert read() == before


def test_an_error_names_the_entrys_own_folder_not_the_copy(plant: Callable[..., Path], built: Built) -> None:
    folder = plant("\nopen(__file__ + '.missing')\n")
    with pytest.raises(BenchError) as caught:
        built(folder)
    assert str(folder / "defense.py.missing") in str(caught.value)


def test_code_that_reads_what_is_not_deployed_is_told_so(plant: Callable[..., Path], built: Built) -> None:
    folder = plant("\nfrom pathlib import Path\nPath(__file__).with_name('README.md').read_text()\n")
    with pytest.raises(BenchError, match=r"README\.md is not deployed"):
        built(folder)
