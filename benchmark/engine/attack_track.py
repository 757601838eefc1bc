"""A track with an attacker: cells in the order that spares the most work, each attacked, verified and judged."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
from torch import Tensor

from benchmark.access import GradientView, ScoreView, adaptive, black_box, no_box, white_box
from benchmark.attacks.registry import build
from benchmark.defense import Defense
from benchmark.engine.ladder import Fall, Ladder
from benchmark.engine.plain_tracks import Progress, judge_clean, make_judge
from benchmark.engine.rows import Outcome, RowBook, outcomes
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.matrix import Cell
from benchmark.randomness import Randomness, content_seed
from benchmark.surrogates import load_surrogate
from benchmark.task import Classification
from benchmark.verify import verify

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shot:
    """What one cell did to one image: the judged outcome, or why there is none, and what it cost."""

    outcome: Outcome | None
    reason: str
    seed: int
    linf: float
    l2: float
    queries: int
    gradients: int
    seconds: float


def order(cells: list[Cell], individual: bool) -> Iterator[tuple[Cell, float]]:
    """Cheap cells with eps rising, then dear cells from the largest eps down; one by one where each is to be whole."""
    if individual:
        yield from ((cell, eps) for cell in cells for eps in cell.eps_255)
        return
    cheap = [cell for cell in cells if cell.cost == "cheap"]
    for eps in sorted({eps for cell in cheap for eps in cell.eps_255}):
        yield from ((cell, eps) for cell in cheap if eps in cell.eps_255)
    yield from ((cell, eps) for cell in cells if cell.cost == "dear" for eps in reversed(cell.eps_255))


class AttackTrack:
    """The run of one unit of an attack track.

    Args:
        workplace: the run.
        unit: the unit; its track decides the view.
        shared: asked for the shots of a cell that another unit computes (``same_as``); None to compute it here.
    """

    def __init__(
        self,
        workplace: Workplace,
        unit: Unit,
        shared: Callable[[Cell], dict[tuple[float, str], Shot] | None],
    ) -> None:
        self._workplace = workplace
        self._unit = unit
        self._shared = shared
        self._split = workplace.images_of(unit)
        self._task = Classification(len(workplace.card(unit.dataset).classes))
        self._judge = make_judge(workplace, unit)
        self._target = workplace.build(unit)
        self._book = RowBook(workplace, unit, self._split)
        clean = judge_clean(self._judge, self._split, workplace)
        self._ladders = [Ladder(outcome) for outcome in clean]

    def run(self, progress: Progress) -> pa.Table:
        """Run every cell and return the unit's rows."""
        settings = self._workplace.settings
        cells = self._workplace.matrix.cells(
            self._unit.track, stochastic=self._target.stochastic, profile=settings.profile
        )
        plan = list(order(cells, settings.individual))
        for place, (cell, eps) in enumerate(plan):
            targets = [image for image, ladder in enumerate(self._ladders) if self._to_attack(ladder, cell, eps)]
            self._record(cell, eps, targets, self._shots(cell, eps, targets))
            progress((place + 1) / len(plan))
        return self._book.table()

    def _to_attack(self, ladder: Ladder, cell: Cell, eps: float) -> bool:
        if self._workplace.settings.individual:
            return ladder.clean.right
        return ladder.fall_at(eps) is None and ladder.survival_of(cell.name, eps) is None

    def _shots(self, cell: Cell, eps: float, targets: list[int]) -> list[Shot]:
        if not targets:
            return []
        elsewhere = self._shared(cell) if cell.same_as else None
        if elsewhere is not None:
            return [elsewhere[(eps, self._split.ids[image])] for image in targets]
        size = self._workplace.settings.batch_size
        shots: list[Shot] = []
        for start in range(0, len(targets), size):
            batch = targets[start : start + size]
            try:
                shots += self._fire(cell, eps, batch)
            except Exception as error:
                # A failed attack must never look like a strong defense: it leaves a gap that says why.
                reason = f"{type(error).__name__}: {error}"
                LOG.warning("%s %s@%g failed: %s", self._unit, cell.name, eps, reason)
                shots += [Shot(None, reason, self._seed(cell, eps, image), 0, 0, 0, 0, 0) for image in batch]
        return shots

    def _seed(self, cell: Cell, eps: float, image: int) -> int:
        """Seed of an image under a cell: the same wherever view and parameters are the same, whatever the track."""
        params = sorted(cell.params.items())
        return content_seed(self._split.dataset, self._split.ids[image], cell.method, params, cell.norm, f"{eps:g}")

    def _fire(self, cell: Cell, eps: float, batch: list[int]) -> list[Shot]:
        """Attack, verify, judge a batch."""
        device = self._workplace.device
        part = self._split.subset(batch)
        images, labels = part.images.to(device), part.labels.to(device)
        seeds = [self._seed(cell, eps, image) for image in batch]
        draw = Randomness(seeds, device)
        started = time.perf_counter()
        view, candidates = self._attack(cell, eps, images, labels, draw)
        seconds = (time.perf_counter() - started) / len(batch)
        if self._target.training or self._target.classifier.training:
            raise RuntimeError("the attack left the defense in training mode")
        checked = verify(candidates, images, cell.norm, eps)
        for image, note in zip(batch, checked.notes, strict=True):
            if note:
                LOG.warning("%s %s@%g image %s %s", self._unit, cell.name, eps, self._split.ids[image], note)
        purposes = [(part.dataset, name, cell.method, f"{eps:g}", "adversarial") for name in part.ids]
        judged = outcomes(self._judge.judge(checked.images, labels, purposes), part.labels)
        return [
            Shot(
                None if rejected else outcome,
                note,
                seed,
                linf,
                l2,
                queries,
                gradients,
                seconds,
            )
            for outcome, rejected, note, seed, linf, l2, queries, gradients in zip(
                judged,
                checked.rejected.tolist(),
                checked.notes,
                seeds,
                checked.linf.tolist(),
                checked.l2.tolist(),
                view.queries.tolist(),
                view.gradients.tolist(),
                strict=True,
            )
        ]

    def _attack(
        self, cell: Cell, eps: float, images: Tensor, labels: Tensor, draw: Randomness
    ) -> tuple[GradientView | ScoreView, Tensor]:
        attack = build(cell.method, cell.params)
        look = draw.fork("view")
        if attack.knowledge == "scores":
            # In the white-box track the scores are those of the undefended classifier, as AutoAttack has them.
            target = self._target
            if self._unit.track == "white-box" and not target.plain:
                target = Defense(target.classifier, target.num_classes)
            scores = black_box(target, look, int(cell.params["queries"]))
            return scores, attack(scores, self._task, images, labels, eps, draw)
        view = self._gradient_view(look)
        return view, attack(view, self._task, images, labels, eps, draw)

    def _gradient_view(self, look: Randomness) -> GradientView:
        if self._unit.track == "no-box":
            surrogate = load_surrogate(self._workplace.root, self._workplace.card(self._unit.dataset))
            return no_box(surrogate.to(self._workplace.device), self._task.num_classes, look)
        if self._unit.track == "white-box":
            return white_box(self._target, look)
        if self._unit.track == "adaptive":
            return adaptive(self._target, look, self._workplace.profile.eot_samples)
        raise ValueError(f"track '{self._unit.track}' gives no gradients")

    def _record(self, cell: Cell, eps: float, targets: list[int], shots: list[Shot]) -> None:
        """Write one row per image: attacked here, or spared with the reason why."""
        attacked = dict(zip(targets, shots, strict=True))
        common = {"attack": cell.name, "suite": cell.suite, "norm": cell.norm, "eps_255": eps}
        for image, ladder in enumerate(self._ladders):
            shot = attacked.get(image)
            if shot is None:
                self._record_spared(image, ladder, cell, eps, common)
                continue
            cost = {
                "seed": shot.seed,
                "linf": shot.linf,
                "l2": shot.l2,
                "queries": shot.queries,
                "gradients": shot.gradients,
                "seconds": shot.seconds,
            }
            if shot.outcome is None:
                self._book.add_gap(image, ladder.clean.pred, shot.reason, **common, **cost)
                continue
            self._book.add(
                image, shot.outcome, ladder.clean.pred, shot.outcome.right, reason=shot.reason, **common, **cost
            )
            if not self._workplace.settings.individual:
                ladder.record(cell.name, eps, shot.outcome)

    def _record_spared(self, image: int, ladder: Ladder, cell: Cell, eps: float, common: dict[str, object]) -> None:
        fall: Fall | None = ladder.fall_at(eps)
        outcome = fall.outcome if fall else ladder.survival_of(cell.name, eps)
        self._book.add(
            image,
            outcome,
            ladder.clean.pred,
            fall is None,
            spared=True,
            broken_by=fall.text if fall else "",
            seed=self._seed(cell, eps, image),
            **common,
        )


def shots_of(table: pa.Table, cell_name: str) -> dict[tuple[float, str], Shot]:
    """Read a cell's shots back from the rows of the unit that computed it, by (eps, sample)."""
    shots: dict[tuple[float, str], Shot] = {}
    for row in table.to_pylist():
        if row["attack"] != cell_name:
            continue
        outcome = None
        if row["pred"] is not None:
            outcome = Outcome(
                row["pred"],
                row["right_draws"],
                row["draws"],
                row["abstained"],
                row["score"],
                row["prob_true"],
                row["probs"],
            )
        costs = (row["linf"] or 0.0, row["l2"] or 0.0, row["queries"], row["gradients"], row["seconds"])
        shots[(row["eps_255"], row["sample_id"])] = Shot(outcome, row["reason"], row["seed"], *costs)
    return shots
