"""Reading tensors from a file that somebody else wrote, without ever running code that it might carry."""

import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from benchmark.errors import BenchError, did_you_mean
from benchmark.files import LFS_POINTER, is_lfs_pointer

DEEPEST = 8
"""Mappings inside each other that are looked through."""

_SAVE = "torch.save(model.state_dict(), 'weights.pth')"


@dataclass(frozen=True)
class Group:
    """Tensors of one place in a file, by name.

    Attributes:
        place: keys that lead there, joined with dots; empty for the whole file.
        tensors: those of the place, with ``deep`` also those of mappings below it, by their names joined with dots.
        deep: see ``tensors``.
    """

    place: str
    tensors: dict[str, Tensor]
    deep: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        groups: every mapping that holds tensors, for those with others inside also all of them together.
        others: keys at the top that lead to no tensor, such as an epoch.
    """

    groups: tuple[Group, ...]
    others: tuple[str, ...]

    def under(self, key: str) -> "Checkpoint":
        """What lies under ``key``: a place, or a prefix that names of tensors share.

        Raises:
            BenchError: nothing does.
        """
        tensors = {
            name.removeprefix(f"{key}."): value
            for group in self.groups
            if not group.place
            for name, value in group.tensors.items()
            if name.startswith(f"{key}.")
        }
        if not tensors:
            starts = {name.split(".")[0] for group in self.groups if not group.place for name in group.tensors}
            raise BenchError(f"--key {key} leads to no tensors of that file.{did_you_mean(key, starts)}")
        return Checkpoint((Group(key, tensors),), ())


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a state dict, a checkpoint that holds one, or a safetensors file, onto the CPU.

    Raises:
        BenchError: no such file, one of another format, one that could only be read by running code, or one without
            tensors.
    """
    if path.is_dir():
        raise BenchError(f"{path} is a folder; give the checkpoint file itself.")
    if not path.is_file():
        raise BenchError(f"there is no file {path}; give the path of a checkpoint.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchError(f"{path} cannot be read ({error.strerror}); correct its permissions.") from None
    found = _load(path, content)
    if not isinstance(found, Mapping):
        raise BenchError(f"{path} holds a {type(found).__name__}, not a state dict; save one with {_SAVE}.")
    groups = tuple(group for group in _groups(found, "") if group.tensors)
    if not groups:
        raise BenchError(f"{path} holds no tensors; save the trained weights with {_SAVE}.")
    whole = max(groups, key=lambda group: len(group.tensors) if not group.place else 0).tensors
    others = (str(key) for key in found if not any(name == key or name.startswith(f"{key}.") for name in whole))
    return Checkpoint(groups, tuple(others))


def _load(path: Path, content: bytes) -> object:
    wrong = _what_else(content)
    if wrong:
        raise BenchError(f"{path} {wrong}.")
    try:
        if _is_safetensors(content):
            return load_safetensors(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise BenchError(f"{path} is a damaged safetensors file ({error}); copy it again.") from None
    # Any bytes may come: what the reader raises for them is not to be foreseen.
    except Exception as error:
        raise BenchError(f"{path} {_why_not(str(error))}.") from None


def _is_safetensors(content: bytes) -> bool:
    """Whether eight bytes of a length that the format allows and the start of a JSON header come first."""
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= 100_000_000


def _what_else(content: bytes) -> str:
    """What a file is that is no checkpoint, and what to do, as a clause; empty for what may be one."""
    start = content[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not content:
        return "is empty; copy it again"
    if _is_safetensors(content):
        # First of all: the length that it begins with may look like the start of any other format.
        return ""
    if is_lfs_pointer(content):
        return LFS_POINTER
    if start.startswith(b"<"):
        return "is a web page, not a checkpoint; download the file itself"
    if content.startswith(b"\x89HDF"):
        return "is an HDF5 file, which other frameworks write; give a state dict of PyTorch or a safetensors file"
    if content.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        return "is a compressed archive; unpack it and give the checkpoint inside"
    return _what_zip(content) if content.startswith(b"PK") else ""


def _what_zip(content: bytes) -> str:
    """The same of a zip archive, as which PyTorch saves too."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        return "is truncated or damaged; copy it again"
    if any(name.endswith("constants.pkl") for name in names):
        return f"is a TorchScript archive, which holds code; save the weights alone with {_SAVE}"
    if not any(name.endswith("data.pkl") for name in names):
        return f"is a zip archive of other files ({', '.join(names[:2]) or 'none'}); give the checkpoint itself"
    return ""


def _why_not(message: str) -> str:
    """What keeps PyTorch from reading a file, and what to do, as a clause."""
    code = re.search(r"GLOBAL ([\w.]+)", message)
    if code:
        return (
            f"holds more than tensors ({code.group(1)}), which cannot be read without running code from the file; save "
            f"the weights alone with {_SAVE} where it was made"
        )
    return f"is neither a checkpoint of PyTorch nor a safetensors file; save the weights with {_SAVE}"


def _groups(
    mapping: Mapping[object, object], place: str, around: tuple[Mapping[object, object], ...] = ()
) -> Iterator[Group]:
    """The mapping's own tensors, those of the mappings in it, and all of them together."""
    own = {key: value for key, value in mapping.items() if isinstance(key, str) and isinstance(value, Tensor)}
    yield Group(place, own)
    inside = (*around, mapping)
    together = dict(own)
    for key, value in mapping.items():
        if isinstance(key, str) and isinstance(value, Mapping) and _new(value, inside):
            for group in _groups(value, f"{place}.{key}" if place else key, inside):
                yield group
                below = group.place[len(place) + 1 :] if place else group.place
                for name, tensor in group.tensors.items():
                    together.setdefault(f"{below}.{name}", tensor)
    if len(together) > len(own):
        yield Group(place, together, deep=True)


def _new(mapping: Mapping[object, object], around: tuple[Mapping[object, object], ...]) -> bool:
    """Whether to look into a mapping inside others; a file may hold one that holds itself."""
    return len(around) < DEEPEST and not any(mapping is one for one in around)
