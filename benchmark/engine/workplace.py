"""Everything that a unit reads, loaded once per process."""

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import torch

from benchmark.access.references import References
from benchmark.attacks.registry import build, place_of
from benchmark.data.card import Card
from benchmark.data.official import official_subset, reference_ids, stratified_ids
from benchmark.data.registry import find_card, load_split
from benchmark.data.split import Split
from benchmark.engine.made_by import code_hash, code_of
from benchmark.engine.settings import RunSettings, Unit
from benchmark.errors import BenchError
from benchmark.host.line import HostFailed
from benchmark.host.remote import RemoteDefense
from benchmark.host.residence import Residence
from benchmark.host.salt import salt_of
from benchmark.matrix import Cell, Matrix, Profile, load_matrix
from benchmark.matrix.diagnostics import load_diagnostics
from benchmark.matrix.rules import View, rules
from benchmark.randomness import Randomness, content_seed
from benchmark.results.schema import CLEAN, CORRUPTION, DIAGNOSTIC
from benchmark.root import Root
from benchmark.submission import Entry, find_entry
from benchmark.submission.own_code import has_own_code
from benchmark.surrogates import DEFAULT, load_surrogate, surrogate_hash
from benchmark.task.build import task_of
from benchmark.task.goal import Task

REFERENCES = 512
"""Training images that attacks on features may imitate."""

WHOLE = 0
"""Bound that stands for the whole test split."""

MOST_HOSTS = 16
"""Hosts that stay for units to come."""


@dataclass(frozen=True)
class Kind:
    """What decides a defense's cells: randomness, whether it is a bare classifier, and what it offers."""

    stochastic: bool
    plain: bool
    offers: frozenset[str]


class Workplace:
    """Cards, splits, entries and the matrix of one run."""

    def __init__(self, settings: RunSettings) -> None:
        self.settings = settings
        self.root = Root(settings.root)
        self.device = torch.device(settings.device)
        self.matrix: Matrix
        self.matrix, self.matrix_hash = load_matrix(settings.matrix) if settings.matrix else load_matrix()
        self._residences: dict[tuple[str, str, str], Residence] = {}
        self.card = lru_cache(maxsize=None)(self._card)
        self._chosen = lru_cache(maxsize=4)(self._choose)
        self.entry = lru_cache(maxsize=None)(self._entry)
        self.entry_hash = lru_cache(maxsize=None)(self._entry_hash)
        self.kind = lru_cache(maxsize=None)(self._kind)
        self.training = lru_cache(maxsize=1)(self._training)
        self.training_hash = lru_cache(maxsize=None)(self._training_hash)
        self.references = lru_cache(maxsize=1)(self._references)

    @property
    def profile(self) -> Profile:
        """Budgets of this run."""
        return self.matrix.profile_named(self.settings.profile)

    @property
    def official(self) -> bool:
        """Whether rows of this run may be ranked."""
        whole = self.settings.limit is None and not self.settings.individual
        return self.profile.official and whole and self.settings.matrix is None

    @cached_property
    def git_commit(self) -> str:
        """Commit of the harness, ``+dirty`` when its code was changed; empty outside a checkout."""
        folder = Path(__file__).parents[1]

        def git(*words: str) -> str:
            answer = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
            return answer.stdout.strip() if answer.returncode == 0 else ""

        try:
            commit = git("rev-parse", "HEAD")
            return f"{commit}+dirty" if commit and git("status", "--porcelain", "--", ".") else commit
        except OSError:
            return ""

    def _card(self, dataset: str) -> Card:
        return find_card(dataset, self.root)

    def randomness(self, seeds: Iterable[int]) -> Randomness:
        """Streams of these seeds as the matrix draws them."""
        return Randomness(seeds, self.device, streams=self.matrix.streams)

    @property
    def arithmetic(self) -> tuple[object, ...]:
        """What of the matrix alters numbers anywhere, beside its cells."""
        return (self.matrix.streams, self.matrix.twin)

    def task(self, dataset: str) -> Task:
        """What the data set's task decides."""
        return task_of(self.card(dataset))

    def _entry(self, submission: str) -> Entry:
        return find_entry(self.root, submission)

    def _entry_hash(self, submission: str, dataset: str) -> str:
        """Taken once a run: an entry edited meanwhile must not split the run's rows."""
        return self.entry(submission).content_hash(dataset)

    def target(self, unit: Unit) -> RemoteDefense:
        """The unit's defense as attacks ask it, in a host of its own."""
        twin = load_diagnostics()[0].twin if unit.track == DIAGNOSTIC else self.matrix.twin
        return RemoteDefense(self._residence(unit.submission, unit.dataset, "twin" if twin else "target"))

    def measured(self, unit: Unit) -> RemoteDefense:
        """The unit's defense as it is deployed, for what a decision costs."""
        return RemoteDefense(self._residence(unit.submission, unit.dataset, "target"))

    def judged(self, unit: Unit) -> RemoteDefense:
        """The unit's defense as the judge asks it, in another host than the one that attacks ask."""
        return RemoteDefense(self._residence(unit.submission, unit.dataset, "judge"))

    def _residence(self, submission: str, dataset: str, role: str) -> Residence:
        """The host of a defense in one role; those of the defenses asked last stay, at rest."""
        wanted = (submission, dataset, role)
        if wanted not in self._residences:
            plan = self.entry(submission).plan(self.card(dataset))
            salt = salt_of(self.entry_hash(submission, dataset))
            try:
                self._residences[wanted] = Residence(plan, self.device, self.settings.limits, salt, role == "twin")
            except HostFailed as error:
                raise BenchError(
                    f"submission '{submission}' cannot be built: {error}; 'bench validate {submission}' tells more."
                ) from None
        found = self._residences.pop(wanted)
        if self._residences and next(reversed(self._residences))[:2] != wanted[:2]:
            for other in self._residences.values():
                other.rest()
        self._residences[wanted] = found
        while len(self._residences) > MOST_HOSTS:
            self._residences.pop(next(iter(self._residences))).close()
        return found

    def close(self) -> None:
        """End all hosts."""
        while self._residences:
            self._residences.popitem()[1].close()

    def _kind(self, submission: str, dataset: str) -> Kind:
        defense = RemoteDefense(self._residence(submission, dataset, "target"))
        offers = {
            "alternative-backward": defense.alternative_backward,
            "detector": defense.detects,
            # What its process tells would not do: it is the entry's.
            "code-of-its-own": not defense.own or has_own_code(self.entry(submission).folder),
        }
        return Kind(defense.stochastic, defense.plain, frozenset(name for name, held in offers.items() if held))

    def version_of(self, track: str) -> str:
        """Version of the file that a track's cells come from."""
        return load_diagnostics()[0].version if track == DIAGNOSTIC else self.matrix.version

    def hash_of(self, track: str) -> str:
        """sha256 of that file."""
        return load_diagnostics()[1] if track == DIAGNOSTIC else self.matrix_hash

    def cells_of(self, unit: Unit) -> list[Cell]:
        """The cells that the unit's defense is evaluated with in the unit's track, within the run's profile."""
        kind = self.kind(unit.submission, unit.dataset)
        if unit.track == DIAGNOSTIC:
            met = [cell for cell in load_diagnostics()[0].cell if cell.applies(kind.stochastic, kind.offers)]
            kept = [cell for cell in met if self.profile.official or cell.cost == "inexpensive"]
            trainable = self.card(unit.dataset).splits.trainable
            return [cell for cell in kept if trainable or not self._trained(cell)]
        profile = self.settings.profile
        cells = self.matrix.cells(unit.track, stochastic=kind.stochastic, has=kind.offers, profile=profile)
        return (
            cells if self.card(unit.dataset).splits.trainable else [cell for cell in cells if not self._trained(cell)]
        )

    def serves(self, dataset: str, track: str) -> bool:
        """Whether a data set has what a track needs: without training images some tracks have no cell left."""
        own = [cell for cell in self.matrix.cell if cell.track == track]
        return self.card(dataset).splits.trainable or not own or not all(self._trained(cell) for cell in own)

    def _trained(self, cell: Cell) -> bool:
        """Whether a cell's attacker has training images, or a surrogate that was trained on them."""
        knows = build(cell.method, cell.params).knowledge
        return self.matrix.named(cell.track).view == "surrogate" or knows in ("training", "answers", "references")

    def _training(self, dataset: str) -> Split:
        """The images that attackers may fit on."""
        return load_split(self.card(dataset), "train", self.root, self.settings.data_dir)

    def _training_hash(self, dataset: str) -> str:
        return self.training(dataset).content_hash

    def _references(self, dataset: str) -> References:
        """The images that attackers may imitate."""
        train = self.training(dataset)
        chosen = train.by_ids(reference_ids(train, REFERENCES))
        return References(chosen.images.to(self.device), chosen.labels.to(self.device))

    def split(self, dataset: str, track: str) -> Split:
        """The images of a track: the whole test split, or so many of the official subset."""
        bounds = [self.settings.limit, self.profile.images]
        if track == CLEAN and not any(bounds):
            return self._chosen(dataset, WHOLE)
        if track == CORRUPTION:
            bounds += [self.matrix.corruption.images, self.profile.corruption_images]
        if track == DIAGNOSTIC:
            diagnostics = load_diagnostics()[0]
            bounds.append(diagnostics.images if self.profile.official else diagnostics.quick_images)
        return self._chosen(dataset, min((bound for bound in bounds if bound), default=None))

    def _choose(self, dataset: str, bound: int | None) -> Split:
        """At most ``bound`` images of the official subset, all of it for None; tracks of one bound share the images."""
        card = self.card(dataset)
        test = load_split(card, "test", self.root, self.settings.data_dir)
        if bound == WHOLE:
            return test
        official = official_subset(card, test)
        count = len(official) if bound is None else min(len(official), bound)
        return official.by_ids(stratified_ids(official, count, []))

    def chunks(self, dataset: str, track: str) -> int:
        """Number of chunks that a track's images are cut into."""
        return -(-len(self.split(dataset, track)) // self.matrix.chunk)

    def images_of(self, unit: Unit) -> Split:
        """The unit's images, in index order."""
        split = self.split(unit.dataset, unit.track)
        start = unit.chunk * self.matrix.chunk
        return split.subset(range(start, min(start + self.matrix.chunk, len(split))))

    def _surrogates(self) -> list[str]:
        """Names of the surrogates that cells name, sorted."""
        return sorted(
            {cell.surrogate or DEFAULT for cell in self.matrix.cell if self.matrix.view_of(cell) == "surrogate"}
        )

    def view_of(self, unit: Unit, cell: Cell) -> View:
        """What the attacker of a unit's cell holds."""
        # The diagnostics name tracks of the rules in force, whatever matrix the run has.
        return (rules() if unit.track == DIAGNOSTIC else self.matrix).named(cell.track).view

    def needs(self, track: str) -> Sequence[str]:
        """What a data set must have for a track: ``surrogates``, ``training``."""
        return () if track == DIAGNOSTIC else self.matrix.named(track).needs

    def check_surrogates(self, dataset: str) -> None:
        """Load every surrogate that cells name.

        Raises:
            BenchError: one is missing or broken.
        """
        for name in self._surrogates():
            load_surrogate(self.root, self.card(dataset), name)

    def made_by(self, unit: Unit, cell: Cell | None = None) -> str:
        """Hash of the code that makes the unit's rows, or those of one of its cells."""
        cells = self._cells_behind(unit) if cell is None else [cell]
        return code_hash(*code_of(unit.track), *sorted({place_of(one.method) for one in cells}))

    def _cells_behind(self, unit: Unit) -> list[Cell]:
        """The cells that the unit's rows come from: a plain classifier's adaptive rows are its white-box ones."""
        lender = self.plain_as(unit)
        behind = replace(unit, track=lender) if lender else unit
        return self.cells_of(behind) if unit.track in (*self.matrix.attack_tracks, DIAGNOSTIC) else []

    def plain_as(self, unit: Unit) -> str:
        """The track whose rows the unit takes over as a whole since its classifier has no defense; empty for none."""
        lender = "" if unit.track == DIAGNOSTIC else self.matrix.named(unit.track).plain_as
        return lender if lender and self.kind(unit.submission, unit.dataset).plain else ""

    def identity(self, unit: Unit) -> str:
        """Hash of everything that can alter the unit's rows; the same unit of another run has the same rows.

        The matrix is taken as a whole: a changed cell makes new rows everywhere, as their matrix hash must change. The
        code is that of the unit's own cells.
        """
        needs = self.needs(unit.track)
        card = self.card(unit.dataset)
        parts = (
            self.made_by(unit),
            self.hash_of(unit.track),
            self.settings.profile,
            self.settings.individual,
            self.settings.limit,
            self.entry_hash(unit.submission, unit.dataset),
            "".join(surrogate_hash(self.root, unit.dataset, name) for name in self._surrogates())
            if "surrogates" in needs
            else "",
            self.split(unit.dataset, unit.track).content_hash,
            self.training_hash(unit.dataset) if "training" in needs and card.splits.trainable else "",
            self.device.type,
            unit.track,
            *sorted({self.view_of(unit, cell) for cell in self._cells_behind(unit)}),
            unit.chunk,
        )
        return f"{content_seed(*parts):016x}"
