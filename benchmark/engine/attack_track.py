"""A track with an attacker: cells in the order that skips the most work, and a row for every image of each."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pyarrow as pa

from benchmark.engine.cell_run import CellRun
from benchmark.engine.cell_store import CellStore
from benchmark.engine.clean_track import Progress, clean_outcomes
from benchmark.engine.graph import Find, Keep, nothing_kept
from benchmark.engine.ladder import Break, Ladder
from benchmark.engine.rows import RowBook
from benchmark.engine.settings import Unit
from benchmark.engine.shots import Shot
from benchmark.engine.workplace import Workplace
from benchmark.matrix import Cell
from benchmark.results.schema import NORMS


def order(cells: list[Cell], individual: bool, each: bool = False) -> Iterator[tuple[Cell, float]]:
    """Per norm inexpensive cells at rising eps, then expensive ones at falling eps; last those that skip no image.

    Where expensive ones are tried at each eps, they rise too: what they break is broken above.
    """
    ranked = [] if individual else [cell for cell in cells if not cell.unranked]
    for norm in NORMS:
        inexpensive = [cell for cell in ranked if (cell.norm, cell.cost) == (norm, "inexpensive")]
        for eps in sorted({eps for cell in inexpensive for eps in cell.eps_255}):
            yield from ((cell, eps) for cell in inexpensive if eps in cell.eps_255)
        expensive = [cell for cell in ranked if (cell.norm, cell.cost) == (norm, "expensive")]
        if each:
            for eps in sorted({eps for cell in expensive for eps in cell.eps_255}):
                yield from ((cell, eps) for cell in expensive if eps in cell.eps_255)
        else:
            yield from ((cell, eps) for cell in expensive for eps in reversed(cell.eps_255))
    yield from ((cell, eps) for cell in cells if individual or cell.unranked for eps in cell.eps_255)


class AttackTrack:
    """The run of one unit of an attack track.

    Args:
        workplace: the run.
        unit: the unit; its track decides the view.
        find: finds what was computed before.
        shared: asked for the shots of a cell that another unit computes (``same_as``); None to compute it here.
        keep: takes what finished cells did.
    """

    def __init__(
        self,
        workplace: Workplace,
        unit: Unit,
        find: Find,
        shared: Callable[[Cell], dict[tuple[float, str], Shot] | None],
        keep: Keep = nothing_kept,
    ) -> None:
        self._workplace = workplace
        self._unit = unit
        self._shared = shared
        self._split = workplace.images_of(unit)
        self._run = CellRun(workplace, unit, self._hear, find)
        self._store = CellStore(workplace, unit, keep)
        self._tell: Callable[[float], None] = lambda _share_of_cell: None
        self._book = RowBook(workplace, unit, self._split)
        self._clean = clean_outcomes(workplace, unit, find, self._run.judge)
        # Balls of different norms are not nested, so each norm has ladders of its own.
        self._ladders = {norm: [Ladder(outcome) for outcome in self._clean] for norm in NORMS}

    def run(self, progress: Progress) -> pa.Table:
        """Run every cell and return the unit's rows."""
        settings, matrix = self._workplace.settings, self._workplace.matrix
        plan = list(order(self._workplace.cells_of(self._unit), settings.individual, matrix.descend == "each"))
        for place, (cell, eps) in enumerate(plan):
            self._tell = lambda share, done=place: progress((done + share) / len(plan))  # type: ignore[misc]
            targets = [image for image in range(len(self._split)) if self._to_attack(image, cell, eps)]
            self._record(cell, eps, dict(zip(targets, self._shots(cell, eps, targets), strict=True)))
            progress((place + 1) / len(plan))
        return self._book.table()

    def _hear(self, queries: int, _gradients: int, budget: int | None) -> None:
        """An expensive attack at work: its queries show how far it is."""
        if budget:
            self._tell(min(1.0, queries / budget))

    def _alone(self, cell: Cell) -> bool:
        """Whether the cell attacks every image, whatever others have done to it."""
        return cell.unranked or self._workplace.settings.individual

    def _to_attack(self, image: int, cell: Cell, eps: float) -> bool:
        if self._alone(cell):
            return self._clean[image].right
        ladder = self._ladders[cell.norm][image]
        if ladder.broken_at(eps) is not None:
            return False
        if self._workplace.matrix.descend == "each":
            return True
        return ladder.survival_of(cell.name, eps) is None and not self._left_to_others(ladder, cell, eps)

    def _left_to_others(self, ladder: Ladder, cell: Cell, eps: float) -> bool:
        """Whether an expensive cell leaves the image to those that broke it above and failed here.

        Without such a cell it has to try: an attack that could not run above must not pass for one that failed.
        """
        if self._workplace.matrix.descend == "robust" or cell.cost == "inexpensive":
            return False
        others = ladder.felled_above(eps)
        return bool(others) and cell.name not in others and ladder.survival(eps) is not None

    def _shots(self, cell: Cell, eps: float, targets: list[int]) -> list[Shot]:
        elsewhere = self._shared(cell) if cell.same_as and targets else None
        if elsewhere is not None:
            return [replace(elsewhere[(eps, self._split.ids[image])], same_as=cell.lender) for image in targets]
        if not targets:
            return []
        known = self._store.read(cell, eps)
        missing = [image for image in targets if self._split.ids[image] not in known]
        if missing:
            found = self._run.shots(cell, eps, missing)
            known |= {self._split.ids[image]: shot for image, shot in zip(missing, found, strict=True)}
            self._store.keep(cell, eps, known)
        return [known[self._split.ids[image]] for image in targets]

    def _record(self, cell: Cell, eps: float, shots: dict[int, Shot]) -> None:
        """Write one row per image: attacked here, or skipped with the reason why."""
        common = {
            "attack": cell.name,
            "suite": cell.suite,
            "norm": cell.norm,
            "eps_255": eps,
            "unranked": cell.unranked,
            "made_by": self._workplace.made_by(self._unit, cell)[:16],
        }
        for image, clean in enumerate(self._clean):
            ladder = self._ladders[cell.norm][image]
            shot = shots.get(image) or self._follows(image, ladder, cell, eps)
            if shot.outcome is None:
                self._book.add_gap(image, clean.pred, shot.reason, **common, **shot.columns)
                continue
            right = shot.outcome.right and clean.right
            self._book.add(image, shot.outcome, clean.pred, right, reason=shot.reason, **common, **shot.columns)
            if image in shots and not self._alone(cell):
                ladder.record(cell.name, eps, shot.outcome)

    def _follows(self, image: int, ladder: Ladder, cell: Cell, eps: float) -> Shot:
        """The verdict on an image that the cell skips, from what is known of it."""
        broken: Break | None = ladder.breaks[0] if self._alone(cell) else ladder.broken_at(eps)
        outcome = broken.outcome if broken else ladder.survival_of(cell.name, eps) or ladder.survival(eps)
        return Shot(outcome, "", skipped=True, broken_by=broken.text if broken else "")
