"""An entry on disk, and the plan by which it is built."""

import weakref
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from benchmark.data.card import Card
from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.interpreter import restored
from benchmark.root import Root
from benchmark.submission import building
from benchmark.submission.building import BuildContext, BuildPlan
from benchmark.submission.code import forget, forget_below
from benchmark.submission.manifest import Manifest, entry_names, find_folder, read_manifest
from benchmark.submission.snapshot import copied, copies, snapshot

__all__ = ["BuildContext", "Entry", "all_entries", "entry_names", "find_entry"]


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

    def plan(self, card: Card) -> BuildPlan:
        """Copy the deployed files and say how the entry is built from the copy; none of its code runs.

        Raises:
            BenchError: the entry does not name the data set, or its entry point's file is missing.
        """
        if card.name not in self.manifest.datasets:
            raise BenchError(
                f"submission '{self.name}' does not name data set '{card.name}'; "
                f"add it to datasets in its submission.toml or choose one of: {', '.join(self.manifest.datasets)}."
            )
        file, function = self.manifest.entry_point.split(":")
        path = self.folder / file
        if not path.is_file():
            raise BenchError(f"{path} is missing, but the manifest's entry point names it; add the file.")
        shot = snapshot(self.folder, self.manifest, card.name)
        named = self.manifest.weights.get(card.name)
        place = "" if named is None else f"weights/{card.name}.safetensors" if named.entry else named.file
        return BuildPlan(
            copy=str(copied(shot)),
            folder=str(self.folder),
            present=sorted({found.name for found in self.folder.rglob("*")}),
            file=file,
            function=function,
            dataset=card.name,
            num_classes=len(card.classes),
            channels=card.channels,
            size=card.size,
            weights=place,
            source=str(shot.files[place]) if place in shot.files else str(self.folder / place),
            sha256=named.sha256 if named and named.sha256 else "",
        )

    def build(self, card: Card) -> Defense:
        """Build a fresh copy of the defense in this process, with nothing that shuts its code in.

        For one's own entry, in training and tests; an evaluation never does it, see :mod:`benchmark.host`.

        Raises:
            BenchError: as :meth:`plan` and :func:`benchmark.submission.building.build`.
        """
        plan = self.plan(card)
        forget_below(copies())
        with restored():
            defense, package = building.build(plan)
        weakref.finalize(defense, forget, package)
        return defense

    def network(self, card: Card) -> nn.Module:
        """Build the network for which the entry's code wants its weights, in this process as :meth:`build` does.

        Raises:
            BenchError: as :meth:`plan` and :func:`benchmark.submission.building.network`.
        """
        plan = self.plan(card)
        forget_below(copies())
        with restored():
            return building.network(plan)


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
