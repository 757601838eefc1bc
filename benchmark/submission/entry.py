"""Loading an entry: its manifest, its code by path, its weights."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from benchmark.data.card import Card
from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.interpreter import restored
from benchmark.interrupts import is_the_users
from benchmark.root import Root
from benchmark.submission.code import forget, forget_below, import_file
from benchmark.submission.manifest import Manifest, entry_names, find_folder, read_manifest, weights_path
from benchmark.submission.snapshot import copied, copies, snapshot
from benchmark.submission.weights import load_into, read_weights

__all__ = ["BuildContext", "Entry", "all_entries", "entry_names", "find_entry"]

Network = TypeVar("Network", bound=nn.Module)
Found = TypeVar("Found")


@dataclass(frozen=True)
class BuildContext:
    """What a submission's ``build`` is told: the data set's facts and the entry's own weights, no images, no labels.

    Attributes:
        dataset: name of the data set card.
        num_classes: K.
        channels: 1 or 3.
        size: height and width of the images in pixels, a pair (height, width) where they are not square.
        weights: the tensors of the weight file for this data set, float32; empty where the manifest names none.
        source: what to call the weights in a message.
    """

    dataset: str
    num_classes: int
    channels: int
    size: int | tuple[int, int]
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
        """sha256 over everything that the entry can read when it is built for a data set.

        Raises:
            BenchError: as :func:`benchmark.submission.snapshot.snapshot`.
        """
        return snapshot(self.folder, self.manifest, dataset).digest

    def build(self, card: Card) -> Defense:
        """Build a fresh copy of the deployed defense for a data set.

        Raises:
            BenchError: the entry does not name the data set, its weights are unfit, its code fails or returns
                something other than a Defense of the data set's classes.
        """
        with restored():
            defense, package = self._built(card, self._context(card))
            try:
                checked = self._checked(defense, card)
            except BenchError:
                forget(package)
                raise
        weakref.finalize(checked, forget, package)
        return checked

    def network(self, card: Card) -> nn.Module:
        """Build the network for which the entry's code wants its weights, whatever weights there are.

        Raises:
            BenchError: as :meth:`build`, or the code never calls ``context.load_weights``.
        """
        recorder = _Recorder(card.name, len(card.classes), card.channels, card.size, {}, str(self.folder))
        try:
            with restored():
                forget(self._built(card, recorder)[1])
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

    def _built(self, card: Card, context: BuildContext) -> tuple[object, str]:
        """Call ``build`` in a copy of the deployed files, freshly imported; also returns its private package's name."""
        if card.name not in self.manifest.datasets:
            raise BenchError(
                f"submission '{self.name}' does not name data set '{card.name}'; "
                f"add it to datasets in its submission.toml or choose one of: {', '.join(self.manifest.datasets)}."
            )
        path, function = self._file, self.manifest.entry_point.split(":")[1]
        if not path.is_file():
            raise BenchError(f"{path} is missing, but the manifest's entry point names it; add the file.")
        copy = copied(snapshot(self.folder, self.manifest, card.name))
        forget_below(copies())
        module = self._run(copy, f"{path} cannot be imported:", "mend that file", lambda: import_file(copy, path.name))
        package = module.__name__.partition(".")[0]
        try:
            build = getattr(module, function, None)
            if not callable(build):
                raise BenchError(f"{path} has no function '{function}', which the entry point names; add it.")
            failed = f"{path}: building the defense for '{card.name}' failed with"
            return self._run(copy, failed, "run 'bench validate' after mending it", lambda: build(context)), package
        except BaseException:
            forget(package)
            raise

    def _checked(self, defense: object, card: Card) -> Defense:
        if not isinstance(defense, Defense):
            function = self.manifest.entry_point.split(":")[1]
            raise BenchError(f"{self._file}: {function} returned {type(defense).__name__}; return a Defense.")
        if defense.num_classes != len(card.classes):
            raise BenchError(
                f"{self._file}: the defense has {defense.num_classes} classes, data set '{card.name}' has "
                f"{len(card.classes)}; use context.num_classes."
            )
        return defense.eval()

    def _context(self, card: Card) -> BuildContext:
        named = self.manifest.weights.get(card.name)
        path = weights_path(self.folder, self.manifest, card.name) if named else None
        return BuildContext(
            dataset=card.name,
            num_classes=len(card.classes),
            channels=card.channels,
            size=card.size,
            weights=read_weights(path, named.sha256) if path and named else {},
            source=str(path),
        )

    def _run(self, copy: Path, what: str, mend: str, step: Callable[[], Found]) -> Found:
        """Run a step of the entry's code; what it raises becomes one sentence, in terms of the entry's own folder."""
        try:
            return step()
        except BenchError:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and is_the_users():
                raise
            told = str(error).replace(str(copy), str(self.folder))
            raise BenchError(f"{what} {type(error).__name__}: {told}; {self._not_deployed(error, mend)}.") from error

    def _not_deployed(self, error: BaseException, mend: str) -> str:
        """Say so where the code missed a file that lies in the folder but tells of the entry only."""
        missing = Path(str(getattr(error, "filename", None) or "")).name
        if isinstance(error, FileNotFoundError) and missing and any(self.folder.rglob(missing)):
            return (
                f"{missing} is not deployed: manifest, README, recipes, logs and weights of other data sets are not; "
                "put what the code reads into a file of another name"
            )
        return mend


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
