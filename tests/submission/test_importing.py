"""``bench import-weights``: any usual checkpoint becomes the entry's weight file, and no code of it ever runs."""

import argparse
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmark.data.availability import find_card
from benchmark.data.card import Card
from benchmark.errors import BenchError
from benchmark.root import Root
from benchmark.submission.contract import Report
from benchmark.submission.entry import Entry
from benchmark.submission.importing import Imported, import_weights
from benchmark.submission.manifest import read_manifest
from benchmark.submission.scaffold import scaffold
from benchmark.submission.weights import sha256_of

CODE = """
import torch
from torch import nn
from benchmark.defense import Defense


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
        self.fc = nn.Linear(4, classes)

    def forward(self, images):
        return self.fc(self.features(images).mean(dim=(2, 3)))


def build(context):
    return Defense(context.load_weights(Net(context.num_classes)), context.num_classes)
"""
NO_CODE = "import no_such_module\n"
BY_HAND = (
    CODE[: CODE.index("def build")]
    + """
def build(context):
    net = Net(context.num_classes)
    net.load_state_dict(context.weights)
    return Defense(net, context.num_classes)
"""
)


class Net(nn.Module):
    """The network of ``CODE``."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
        self.fc = nn.Linear(4, classes)


def state(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return dict(Net().state_dict())


STATE, OTHER = state(), state(1)


def prefixed(prefix: str, tensors: dict[str, Tensor] = STATE) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


@pytest.fixture
def card(project: Root) -> Card:
    return find_card("tiny", project)


@pytest.fixture
def entry(plant: Callable[..., Path]) -> Path:
    """An entry whose network is ``Net``; it has no weights yet."""
    folder = plant()
    (folder / "defense.py").write_text(CODE)
    return folder


@pytest.fixture
def take(entry: Path, card: Card, tmp_path: Path) -> Callable[..., Imported]:
    """Save an object with ``torch.save`` and import it."""

    def _take(content: object, name: str = "checkpoint.pth", **options: Any) -> Imported:
        source = tmp_path / name
        if isinstance(content, bytes):
            source.write_bytes(content)
        else:
            torch.save(content, source)
        return import_weights(Entry(entry, read_manifest(entry)), card, source, **options)

    return _take


@pytest.fixture
def refused(take: Callable[..., Imported], entry: Path) -> Callable[..., str]:
    """Try to import, which must be refused and leave the entry as it was; returns the sentence."""

    def _refused(content: object, **options: Any) -> str:
        before = {path: path.read_bytes() for path in entry.rglob("*") if path.suffix in (".toml", ".safetensors")}
        with pytest.raises(BenchError) as refusal:
            take(content, **options)
        after = {path: path.read_bytes() for path in entry.rglob("*") if path.suffix in (".toml", ".safetensors")}
        assert after == before
        sentence = str(refusal.value)
        assert "\n" not in sentence
        assert sentence.endswith((".", "?"))
        return sentence

    return _refused


def holds(done: Imported, wanted: dict[str, Tensor] = STATE) -> bool:
    """Whether the entry's weight file has exactly these tensors."""
    found = load_file(done.weights)
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_state_dict_becomes_the_weight_file_that_the_manifest_names(take: Callable[..., Imported], entry: Path):
    done = take(STATE)
    named = read_manifest(entry).weights["tiny"]
    assert done.weights == entry / "weights" / "tiny.safetensors" == entry / named.file
    assert named.sha256 == done.sha256 == sha256_of(done.weights)
    assert holds(done)
    assert (done.unmatched, done.unbuilt, done.kept) == ("", "", ())


def test_an_entry_with_imported_weights_passes_the_contract(
    take: Callable[..., Imported], entry: Path, check: Callable[..., Report]
):
    take(STATE)
    assert check(entry).passed


NESTINGS = {
    "bare": STATE,
    "ordered": OrderedDict(STATE),
    "state_dict": {"state_dict": STATE, "epoch": 3},
    "model_state_dict": {"model_state_dict": STATE, "optimizer_state_dict": {"state": {0: {"step": torch.ones(1)}}}},
    "model": {"model": STATE, "scheduler": None, "best": 0.5},
    "net": {"net": STATE, "acc": 93},
    "network": {"network": STATE},
    "two deep": {"model": {"state_dict": STATE}, "args": ["x"]},
    "a name of its own": {"classifier_weights": STATE},
    "a step beside": {"step": torch.tensor(7), "state_dict": STATE},
    "DataParallel": prefixed("module."),
    "torch.compile": prefixed("_orig_mod."),
    "both": prefixed("_orig_mod.module."),
    "twice": prefixed("module.module."),
    "Lightning": {"state_dict": prefixed("model."), "pytorch-lightning_version": "2", "hyper_parameters": {"a": 1}},
    "Lightning, another name": {"state_dict": prefixed("backbone.")},
    "Lightning with a loss": {"state_dict": prefixed("net.") | {"criterion.weight": torch.ones(3)}},
    "Lightning, compiled": {"state_dict": prefixed("model._orig_mod.")},
    "parts apart": {
        "features": {name[9:]: value for name, value in STATE.items() if name.startswith("features.")},
        "fc": {name[3:]: value for name, value in STATE.items() if name.startswith("fc.")},
    },
    "a part parallel": {name.replace("features.", "features.module."): value for name, value in STATE.items()},
    "averaged beside": {"state_dict": STATE, "state_dict_ema": OTHER},
    "averaged inside": prefixed("model.") | prefixed("ema_model.", OTHER),
    "best beside": {"model": STATE, "best_model": OTHER},
}


@pytest.mark.parametrize("nesting", NESTINGS)
def test_usual_nestings_and_prefixes_come_off(take: Callable[..., Imported], nesting: str):
    assert holds(take(NESTINGS[nesting]))


@pytest.mark.parametrize("nesting", ["DataParallel", "Lightning"])
def test_safetensors_are_taken_too(take: Callable[..., Imported], nesting: str, tmp_path: Path):
    tensors = NESTINGS[nesting].get("state_dict", NESTINGS[nesting])
    save_file(tensors, tmp_path / "x.safetensors")
    assert holds(take((tmp_path / "x.safetensors").read_bytes(), "x.safetensors"))


@pytest.mark.parametrize("name", ["a.pt", "a.ckpt", "a.bin", "a.pth.tar", "a.kept", "weights"])
def test_the_content_tells_the_format_not_the_name(take: Callable[..., Imported], name: str):
    assert holds(take(STATE, name))


def test_files_of_old_versions_are_read(take: Callable[..., Imported]):
    stream = io.BytesIO()
    torch.save(STATE, stream, _use_new_zipfile_serialization=False)
    assert holds(take(stream.getvalue()))


def test_what_came_off_and_what_was_left_out_is_told(take: Callable[..., Imported]):
    done = take(NESTINGS["Lightning with a loss"] | {"epoch": 3})
    assert done.fit.stripped == "state_dict.net."
    assert done.fit.left_out == ("criterion.weight",)
    assert done.others == ("epoch",)


def test_a_prefix_that_only_some_names_carry_stays(refused: Callable[..., str]):
    mixed = {("module." if name.startswith("features") else "") + name: value for name, value in STATE.items()}
    assert "does not fit the entry's network" in refused(mixed)


def test_a_prefix_that_is_the_networks_own_stays(take: Callable[..., Imported], entry: Path):
    (entry / "defense.py").write_text(CODE.replace("self.features", "self.module"))
    own = {name.replace("features", "module"): value for name, value in STATE.items()}
    assert holds(take(own), own)


def test_a_prefix_that_the_networks_names_have_is_added(take: Callable[..., Imported], entry: Path):
    (entry / "defense.py").write_text(CODE.replace("Net(context.num_classes)", "nn.Sequential(Net(3))"))
    done = take({"state_dict": prefixed("module.")})
    assert holds(done, prefixed("0."))
    assert done.fit.added == "0."


def test_counters_that_old_checkpoints_lack_are_zero(take: Callable[..., Imported]):
    counter = "features.1.num_batches_tracked"
    done = take({name: value for name, value in STATE.items() if name != counter})
    assert done.fit.filled == (counter,)
    assert holds(done, STATE | {counter: torch.tensor(0)})


@pytest.mark.parametrize("key", ["model_ema", "ema.module", "state_dict_ema"])
def test_averaged_weights_are_taken_when_asked_for(take: Callable[..., Imported], key: str):
    first, _, rest = key.partition(".")
    content = {"state_dict": OTHER, first: {rest: STATE} if rest else STATE}
    assert holds(take(content, key=key))


def test_a_prefix_can_be_asked_for(take: Callable[..., Imported]):
    assert holds(take(prefixed("student.") | prefixed("teacher.", OTHER), key="student"))


def test_averaged_weights_alone_are_not_taken_unasked(refused: Callable[..., str]):
    assert "give --key model_ema if they are meant" in refused({"model_ema": STATE, "epoch": 1})


def test_two_networks_that_fit_are_not_chosen_between(refused: Callable[..., str]):
    assert "give --key student or --key teacher." in refused(prefixed("student.") | prefixed("teacher.", OTHER))


def test_a_key_that_leads_nowhere_is_answered_with_the_near_miss(refused: Callable[..., str]):
    assert "Did you mean 'model_ema'?" in refused({"model": STATE, "model_ema": OTHER}, key="model_em")


def test_a_checkpoint_of_another_network_is_refused_with_counts_and_the_nearest_name(refused: Callable[..., str]):
    renamed = {name.replace("fc.", "fc1."): value for name, value in STATE.items()}
    sentence = refused({"state_dict": prefixed("module.", renamed)})
    assert "under 'state_dict.module' it lacks 2 of the 8 tensors" in sentence
    assert "(first 'fc.bias', nearest in the file 'fc1.bias')" in sentence
    assert "holds 2 unknown (first 'fc1.bias')" in sentence


def test_tensors_that_the_network_lacks_are_not_dropped(refused: Callable[..., str]):
    """A layer left out would be another model."""
    assert "holds 1 unknown (first 'neck.weight')" in refused(STATE | {"neck.weight": torch.ones(2)})


def test_a_head_of_another_size_is_refused_with_both_shapes(refused: Callable[..., str]):
    sentence = refused({"state_dict": prefixed("module.", dict(Net(1000).state_dict()))})
    assert "'state_dict.module.fc.bias' has shape (1000,), the entry's network needs (3,)" in sentence


@pytest.mark.parametrize("code", [NO_CODE, "def build(context):\n    return 1 / 0\n", BY_HAND])
@pytest.mark.parametrize("nesting", ["bare", "model_state_dict", "Lightning", "both", "averaged beside", "twice"])
def test_without_the_entrys_network_usual_nestings_and_prefixes_come_off(
    take: Callable[..., Imported], entry: Path, code: str, nesting: str
):
    (entry / "defense.py").write_text(code)
    done = take(NESTINGS[nesting])
    assert holds(done)
    assert done.unmatched
    assert bool(done.unbuilt) is (code is not BY_HAND)


def test_without_the_entrys_network_a_prefix_that_some_names_lack_stays(take: Callable[..., Imported], entry: Path):
    (entry / "defense.py").write_text(NO_CODE)
    mixed = {"module.a": torch.ones(1), "b": torch.ones(1)}
    assert holds(take(mixed), mixed)


def test_code_that_fails_after_the_network_still_tells_its_names(take: Callable[..., Imported], entry: Path):
    late = "network = context.load_weights(Net(3))\n    next(iter(context.weights))\n    return Defense(network, 3)"
    (entry / "defense.py").write_text(CODE[: CODE.index("return Defense(")] + late)
    done = take(prefixed("anything.at.all."))
    assert holds(done)
    assert (done.unmatched, done.unbuilt) == ("", "")


def test_precision_is_kept_unless_half_is_asked_for(take: Callable[..., Imported]):
    double = {name: value.double() if value.is_floating_point() else value for name, value in STATE.items()}
    assert holds(take(double), double)
    half = {name: value.half() if value.is_floating_point() else value for name, value in STATE.items()}
    assert holds(take(STATE, half=True, overwrite=True), half)


def test_types_that_few_readers_know_are_widened(take: Callable[..., Imported]):
    small = STATE | {"fc.bias": torch.ones(3).to(torch.float8_e4m3fn)}
    assert holds(take(small), STATE | {"fc.bias": torch.ones(3)})


def test_tied_and_transposed_tensors_and_parameters_are_taken(take: Callable[..., Imported]):
    weight = torch.arange(12.0).view(4, 3)
    content = STATE | {
        "fc.weight": nn.Parameter(weight.t()),
        "features.1.weight": STATE["features.1.bias"],
        "features.1.running_var": torch.ones(1).expand(4),
    }
    done = take(content)
    assert torch.equal(load_file(done.weights)["fc.weight"], weight.t())
    assert torch.equal(load_file(done.weights)["features.1.weight"], STATE["features.1.bias"])


TENSORS = {
    "not a number": (torch.tensor([1.0, float("nan"), 0.0]), "holds values that are not finite"),
    "infinite": (torch.tensor([1.0, float("inf"), 0.0]), "holds values that are not finite"),
    "too large": (torch.full((3,), 1e300, dtype=torch.float64), "beyond single precision"),
    "sparse": (torch.ones(3).to_sparse(), "is sparse or nested; save it dense"),
    "complex": (torch.ones(3, dtype=torch.complex64), "is complex"),
    "without values": (torch.ones(3, device="meta"), "has a shape but no values"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_a_tensor_that_no_weight_file_can_hold_is_named(refused: Callable[..., str], case: str):
    value, words = TENSORS[case]
    sentence = refused(STATE | {"fc.bias": value})
    assert "tensor 'fc.bias'" in sentence
    assert words in sentence


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.uint8])
def test_whole_numbers_for_a_floating_point_parameter_are_refused_with_both_types(
    refused: Callable[..., str], kind: torch.dtype
):
    sentence = refused({"model": STATE | {"fc.bias": STATE["fc.bias"].to(kind)}})
    assert f"tensor 'model.fc.bias' is of type {kind}, the entry's network needs torch.float32" in sentence


def test_counters_may_be_whole_numbers_of_any_size(take: Callable[..., Imported]):
    counter = "features.1.num_batches_tracked"
    state = STATE | {counter: torch.tensor(7, dtype=torch.int32)}
    assert holds(take(state), state)


def test_a_quantised_tensor_is_named(refused: Callable[..., str]):
    value = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    assert "tensor 'fc.bias' is quantised" in refused(STATE | {"fc.bias": value})


def test_values_beyond_half_precision_are_not_rounded_to_infinity(
    take: Callable[..., Imported], refused: Callable[..., str]
):
    large = STATE | {"fc.bias": torch.full((3,), 1e6)}
    assert "beyond half precision; import without --half" in refused(large, half=True)
    assert holds(take(large), large)


class Trap:
    """An object whose loading leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.trace,)


def test_code_in_a_checkpoint_is_not_run(refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    sentence = refused({"state_dict": STATE, "extra": Trap(tmp_path / "trace")})
    assert "cannot be read without running code from the file" in sentence
    assert "torch.save(model.state_dict(), 'weights.pth')" in sentence
    assert not (tmp_path / "trace").exists()


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(3))
    return stream.getvalue()


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name in names:
            made.writestr(name, b"x")
    return stream.getvalue()


def saved(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


FILES = {
    "a whole module": (Net(), "holds more than tensors"),
    "arguments": (
        {"state_dict": STATE, "args": argparse.Namespace(a=1)},
        "holds more than tensors (argparse.Namespace)",
    ),
    "a NumPy number": ({"state_dict": STATE, "best": np.float64(0.5)}, "holds more than tensors"),
    "a tensor": (torch.ones(3), "holds a Tensor, not a state dict"),
    "a list": ([STATE], "holds a list, not a state dict"),
    "nothing": (None, "holds a NoneType, not a state dict"),
    "an empty dictionary": ({}, "holds no tensors"),
    "no tensors": ({"state_dict": {}, "epoch": 3}, "holds no tensors"),
    "an empty file": (b"", "is empty"),
    "a Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "is a Git LFS pointer, not the file; run 'git lfs pull'",
    ),
    "a web page": (b"\xef\xbb\xbf\n<!doctype html><title>404</title>", "is a web page"),
    "text": (b"epoch 1: loss 0.5\n", "is neither a checkpoint of PyTorch nor a safetensors file"),
    "JSON": (b'{"weight_map": {}}', "is neither"),
    "zeros": (bytes(200), "is neither"),
    "a pickle": (pickle.dumps({"a": 1}), "is neither"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), "is a compressed archive; unpack it"),
    "NumPy arrays": (npz(), "is a zip archive of other files (a.npy)"),
    "an empty archive": (archive(), "is a zip archive of other files (none)"),
    "TorchScript": (archive("archive/data.pkl", "archive/constants.pkl"), "is a TorchScript archive, which holds code"),
    "a truncated checkpoint": (saved(STATE)[:-60], "is truncated or damaged"),
    "a damaged safetensors file that begins as a zip archive does": (
        int.from_bytes(b"PK", "little").to_bytes(8, "little") + b'{"a":{}}',
        "is a damaged safetensors file",
    ),
    "a truncated safetensors file": (
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}    ' + bytes(3),
        "is a damaged safetensors file",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_checkpoint_is_refused_with_what_it_is(refused: Callable[..., str], case: str):
    content, words = FILES[case]
    assert words in refused(content)


def test_a_folder_and_a_missing_file_are_refused(entry: Path, card: Card, tmp_path: Path):
    for path, words in (
        (tmp_path, "is a folder; give the checkpoint file"),
        (tmp_path / "gone.pth", "there is no file"),
    ):
        with pytest.raises(BenchError, match=words):
            import_weights(Entry(entry, read_manifest(entry)), card, path)


def test_a_mapping_that_holds_itself_is_read(take: Callable[..., Imported]):
    content: dict[str, Any] = {"state_dict": STATE}
    content["again"] = content
    assert holds(take(content))


def test_an_existing_weight_file_is_refused_and_with_leave_kept(
    take: Callable[..., Imported], refused: Callable[..., str]
):
    first = take(OTHER)
    assert "exists already; give --overwrite" in refused(STATE)
    second = take(STATE, overwrite=True)
    assert [path.name for path in second.kept] == [f"tiny.safetensors.{first.sha256[:12]}.kept"]
    assert torch.equal(load_file(second.kept[0])["fc.bias"], OTHER["fc.bias"])


def test_the_same_weights_again_need_no_leave(take: Callable[..., Imported], entry: Path):
    take(STATE)
    before = sorted(path.name for path in (entry / "weights").iterdir())
    assert take({"state_dict": STATE}).kept == ()
    assert sorted(path.name for path in (entry / "weights").iterdir()) == before


def test_kept_weights_can_be_imported_again(take: Callable[..., Imported], entry: Path, card: Card):
    take(OTHER)
    (kept,) = take(STATE, overwrite=True).kept
    assert holds(import_weights(Entry(entry, read_manifest(entry)), card, kept, overwrite=True), OTHER)


def test_a_weight_file_of_the_entry_is_stripped_in_place_and_kept(
    take: Callable[..., Imported], entry: Path, card: Card
):
    (entry / "weights").mkdir()
    save_file(prefixed("module."), entry / "weights" / "tiny.safetensors")
    before = (entry / "weights" / "tiny.safetensors").read_bytes()
    done = import_weights(
        Entry(entry, read_manifest(entry)), card, entry / "weights" / "tiny.safetensors", overwrite=True
    )
    assert holds(done)
    assert [path.read_bytes() for path in done.kept] == [before]


def test_log_and_record_of_replaced_weights_are_kept_with_them(take: Callable[..., Imported], entry: Path):
    take(OTHER)
    record = entry / "weights" / "tiny.training.json"
    record.write_text("{}")
    done = take(STATE, overwrite=True)
    assert not record.exists()
    assert len(done.kept) == 2


def test_untrained_weights_of_a_scaffold_are_replaced_without_leave(card: Card, tmp_path: Path):
    folder = scaffold(tmp_path, "fresh", [card])
    network = Entry(folder, read_manifest(folder)).network(card)
    torch.save({"state_dict": prefixed("module.", dict(network.state_dict()))}, tmp_path / "x.ckpt")
    done = import_weights(Entry(folder, read_manifest(folder)), card, tmp_path / "x.ckpt")
    assert (done.kept, done.unbuilt) == ((), "")
    assert sorted(path.name for path in (folder / "weights").iterdir()) == ["tiny.safetensors"]


def test_the_file_that_the_manifest_names_is_written(take: Callable[..., Imported], entry: Path):
    text = (entry / "submission.toml").read_text()
    (entry / "submission.toml").write_text(text + f'[weights.tiny]\nfile = "my.safetensors"\nsha256 = "{"0" * 64}"\n')
    assert take(STATE).weights == entry / "my.safetensors"


def test_a_manifest_that_names_another_entry_is_refused_before_anything_is_written(
    take: Callable[..., Imported], entry: Path, card: Card, tmp_path: Path
):
    manifest = read_manifest(entry)
    (entry / "submission.toml").write_text((entry / "submission.toml").read_text().replace("planted", "other"))
    torch.save(STATE, tmp_path / "x.pth")
    with pytest.raises(BenchError, match="make them equal"):
        import_weights(Entry(entry, manifest), card, tmp_path / "x.pth")
    assert not (entry / "weights").exists()
