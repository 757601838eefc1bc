"""Loading an entry: its manifest, its code by path, its weights."""

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TypeVar, cast

from torch import Tensor, nn

from benchmark.data.card import Card
from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.root import Root
from benchmark.submission.manifest import Manifest, entry_names, find_folder, read_manifest
from benchmark.submission.weights import load_into, read_weights

__all__ = ["BuildContext", "Entry", "all_entries", "entry_names", "find_entry"]

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class BuildContext:
    """What a submission's ``build`` is told: the data set's facts and the entry's own weights, no images, no labels.

    Attributes:
        dataset: name of the data set card.
        num_classes: K.
        channels: 1 or 3.
        size: height and width of the images in pixels.
        weights: the tensors of the weight file for this data set, float32; empty where the manifest names none.
        source: what to call the weights in a message.
    """

    dataset: str
    num_classes: int
    channels: int
    size: int
    weights: dict[str, Tensor]
    source: str

    def load_weights(self, network: Network) -> Network:
        """Load the entry's weights into a network and return it in eval mode.

        Raises:
            BenchError: the manifest names no weights for this data set, or they do not fit.
        """
        if not self.weights:
            raise BenchError(f"the manifest names no weights for '{self.dataset}'; add [weights.{self.dataset}].")
        return load_into(network, self.weights, self.source)


@dataclass(frozen=True)
class _Recorder(BuildContext):
    """A context that notes what weights are wanted for instead of loading any."""

    handed: list[nn.Module] = field(default_factory=list)

    def load_weights(self, network: Network) -> Network:
        self.handed.append(network)
        return network.eval()


@dataclass(frozen=True)
class Entry:
    """A submission on disk."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """Name of the submission."""
        return self.manifest.name

    def content_hash(self, dataset: str) -> str:
        """sha256 over what decides the entry's rows on a data set: revision, entry point, code and those weights.

        Words of the manifest and weights for other data sets may change without making rows stale.
        """
        manifest, weights = self.manifest, self.manifest.weights.get(dataset)
        digest = hashlib.sha256()
        facts = (manifest.name, manifest.revision, manifest.task, manifest.entry_point, weights and weights.sha256)
        digest.update(repr(facts).encode())
        for path in sorted(self.folder.rglob("*.py")):
            digest.update(path.relative_to(self.folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()

    def build(self, card: Card) -> Defense:
        """Build a fresh copy of the deployed defense for a data set.

        Raises:
            BenchError: the entry does not name the data set, its weights are unfit, its code fails or returns
                something other than a Defense of the data set's classes.
        """
        defense = self._call(self._builder(card), self._context(card), self._file)
        if not isinstance(defense, Defense):
            raise BenchError(f"{self._file}: {self._function} returned {type(defense).__name__}; return a Defense.")
        if defense.num_classes != len(card.classes):
            raise BenchError(
                f"{self._file}: the defense has {defense.num_classes} classes, data set '{card.name}' has "
                f"{len(card.classes)}; use context.num_classes."
            )
        return defense.eval()

    def network(self, card: Card) -> nn.Module:
        """Build the network for which the entry's code wants its weights, whatever weights there are.

        Raises:
            BenchError: as :meth:`build`, or the code never calls ``context.load_weights``.
        """
        recorder = _Recorder(card.name, len(card.classes), card.channels, card.size, {}, str(self.folder))
        try:
            self._call(self._builder(card), recorder, self._file)
        except BenchError:
            # What comes after the network may need the weights' values.
            if not recorder.handed:
                raise
        if not recorder.handed or not isinstance(recorder.handed[0], nn.Module):
            raise BenchError(f"{self._file} hands no network to context.load_weights; load the weights with it.")
        return recorder.handed[0]

    @property
    def _file(self) -> Path:
        return self.folder / self.manifest.entry_point.split(":")[0]

    @property
    def _function(self) -> str:
        return self.manifest.entry_point.split(":")[1]

    def _builder(self, card: Card) -> Callable[[BuildContext], object]:
        """The function that the entry point names, from a fresh copy of its module."""
        if card.name not in self.manifest.datasets:
            raise BenchError(
                f"submission '{self.name}' does not name data set '{card.name}'; "
                f"add it to datasets in its submission.toml or choose one of: {', '.join(self.manifest.datasets)}."
            )
        build = getattr(_load_module(self._file, self.name), self._function, None)
        if not callable(build):
            raise BenchError(f"{self._file} has no function '{self._function}', which the entry point names; add it.")
        return cast(Callable[[BuildContext], object], build)

    def _context(self, card: Card) -> BuildContext:
        named = self.manifest.weights.get(card.name)
        path = self.folder / named.file if named else None
        return BuildContext(
            dataset=card.name,
            num_classes=len(card.classes),
            channels=card.channels,
            size=card.size,
            weights=read_weights(path, named.sha256) if path and named else {},
            source=str(path),
        )

    def _call(self, build: Callable[[BuildContext], object], context: BuildContext, path: Path) -> object:
        try:
            return build(context)
        except BenchError:
            raise
        except (Exception, SystemExit) as error:
            raise BenchError(
                f"{path}: building the defense for '{context.dataset}' failed with {type(error).__name__}: {error}; "
                "run 'bench validate' after mending it."
            ) from error


def _load_module(path: Path, name: str) -> ModuleType:
    """Import a file by path under a private name, so that no submission can shadow another or a package."""
    if not path.is_file():
        raise BenchError(f"{path} is missing, but the manifest's entry point names it; add the file.")
    private = f"_medrobustbench_submission_{name}"
    spec = importlib.util.spec_from_file_location(private, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module
    try:
        spec.loader.exec_module(module)
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        raise BenchError(f"{path} cannot be imported: {type(error).__name__}: {error}; mend that file.") from error
    return module


def find_entry(root: Root, name_or_path: str) -> Entry:
    """Find an entry by its name under ``submissions/``, or by the path of its folder.

    Raises:
        BenchError: no such entry, or a broken manifest.
    """
    folder = find_folder(root, name_or_path)
    return Entry(folder, read_manifest(folder))


def all_entries(root: Root) -> list[Entry]:
    """All entries under ``submissions/``."""
    return [find_entry(root, name) for name in entry_names(root)]
