"""Running one cell on some images: hand the attack its view, verify its answer, put it to the judge."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pyarrow as pa
from torch import Tensor

from benchmark.access import (
    GradientView,
    LabelView,
    QueryView,
    ScoreView,
    adaptive,
    black_box,
    black_box_labels,
    white_box,
)
from benchmark.attacks.base import CopyingAttack, FittedAttack, Inside
from benchmark.attacks.registry import build
from benchmark.defense.target import Target
from benchmark.engine.batches import Batches
from benchmark.engine.candidates import Answer, answer_of, seed_of, transferred
from benchmark.engine.clean_track import judged, make_judge
from benchmark.engine.fitting import Fit, fit_of, fitted
from benchmark.engine.graph import Find, candidates_node, fit_node, nothing_found
from benchmark.engine.settings import Unit
from benchmark.engine.shots import Shot
from benchmark.engine.workplace import Workplace
from benchmark.host.line import reason_of
from benchmark.matrix import Cell
from benchmark.randomness import Randomness
from benchmark.verify import Verified, verify

LOG = logging.getLogger(__name__)


Listener = Callable[[int, int, int | None], None]
"""Told, now and then during an attack, the most queries and gradients of an image so far and the budget of queries."""

NO_FIT = Fit({}, 0, 0, 0.0)

PATIENCE = 0.5
"""Seconds between two messages to a listener."""


def _now_and_then(listener: Listener, view: GradientView | QueryView) -> Callable[[], None]:
    """Pass a view's counts on, at most twice a second."""
    last = time.monotonic()

    def on_look() -> None:
        nonlocal last
        if time.monotonic() - last >= PATIENCE:
            last = time.monotonic()
            listener(int(view.queries.max()), int(view.gradients.max()), view.budget)

    return on_look


class CellRun:
    """Cells of one unit: the same target, judge and images for all of them.

    Args:
        workplace: the run.
        unit: the unit.
        listener: told how far the attack in hand is.
        find: finds fits and candidates that were computed before.
    """

    def __init__(
        self, workplace: Workplace, unit: Unit, listener: Listener | None = None, find: Find = nothing_found
    ) -> None:
        self._find = find
        self._fits: dict[str, Fit] = {}
        self._crafted: tuple[str, pa.Table | None] = ("", None)
        self._listener = listener
        self._workplace = workplace
        self._unit = unit
        self._split = workplace.images_of(unit)
        self._task = workplace.task(unit.dataset)
        self.judge = make_judge(workplace, unit)
        self.target: Target = workplace.target(unit)
        settings = workplace.settings
        self._batches = Batches(self._split.images[0, 0].numel(), settings.batch_pixels, settings.batch_size)

    def seed(self, cell: Cell, eps: float, image: int) -> int:
        """Seed of an image under a cell."""
        return seed_of(self._split, cell, eps, image)

    def shots(self, cell: Cell, eps: float, targets: Sequence[int]) -> list[Shot]:
        """Attack the unit's images ``targets``, in batches; a batch whose attack failed becomes gaps that say why."""

        def failed(batch: list[int], error: BaseException) -> list[Shot]:
            # A failed attack must never look like a strong defense.
            reason = reason_of(error)
            LOG.warning("%s %s@%g failed: %s", self._unit, cell.name, eps, reason)
            return [Shot(None, reason) for _ in batch]

        return self._batches.over(targets, lambda batch: self.shoot(cell, eps, batch)[0], failed)

    def answer(self, cell: Cell, eps: float, batch: list[int]) -> tuple[Answer, Verified]:
        """Attack images and verify the answer.

        Raises:
            Exception: whatever the attack raises.
        """
        device = self._workplace.device
        part = self._split.subset(batch)
        images, labels = part.images.to(device), part.labels.to(device)
        if self._workplace.view_of(self._unit, cell) == "surrogate":
            answer = self._transferred(cell, eps, batch)
        else:
            seeds = [self.seed(cell, eps, image) for image in batch]
            answer = self._attack(cell, eps, images, labels, self._workplace.randomness(seeds))
        return answer, verify(answer.candidates, images, cell.norm, eps)

    def shoot(self, cell: Cell, eps: float, batch: list[int]) -> tuple[list[Shot], Verified]:
        """Attack, verify, judge; raises as :meth:`answer`."""
        answer, checked = self.answer(cell, eps, batch)
        for image, note in zip(batch, checked.notes, strict=True):
            if note:
                LOG.warning("%s %s@%g image %s %s", self._unit, cell.name, eps, self._split.ids[image], note)
        part = self._split.subset(batch)
        purposes = [(part.dataset, name, cell.method, f"{eps:g}", "adversarial") for name in part.ids]
        labels = part.labels.to(self._workplace.device)
        verdicts = judged(self._workplace, self.judge, checked.images, labels, purposes)
        shots = [
            Shot(
                None if rejected else outcome,
                note,
                linf,
                l2,
                pixels,
                queries,
                gradients,
                answer.seconds,
            )
            for outcome, rejected, note, linf, l2, pixels, queries, gradients in zip(
                verdicts,
                checked.rejected.tolist(),
                checked.notes,
                checked.linf.tolist(),
                checked.l2.tolist(),
                checked.pixels.tolist(),
                answer.queries,
                answer.gradients,
                strict=True,
            )
        ]
        return shots, checked

    def _attack(self, cell: Cell, eps: float, images: Tensor, labels: Tensor, draw: Randomness) -> Answer:
        attack = build(cell.method, cell.params)
        started = time.perf_counter()
        if attack.knowledge == "training":
            return self._apply(cell, eps, attack, images)
        view: Any = self._view(cell, attack.knowledge, draw.fork("view"))
        self._listen(view)
        goal, fit = self._task.goal(labels), NO_FIT
        if attack.knowledge == "answers":
            fit = self._fit(cell, eps, attack)
            started = time.perf_counter()
            candidates = attack.apply(fit.state, view, goal, images, eps, draw)
        else:
            candidates = attack(view, goal, images, eps, draw)
        seconds = (time.perf_counter() - started) / len(images)
        share = self._attackable
        queries = [count + -(-fit.queries // share) for count in view.queries.tolist()]
        return Answer(candidates, queries, view.gradients.tolist(), seconds + fit.seconds / share)

    def _view(
        self, cell: Cell, knowledge: Inside | Literal["scores", "labels", "answers"], look: Randomness
    ) -> GradientView | ScoreView | LabelView:
        """What the cell's attacker holds."""
        if knowledge != "scores" and knowledge != "labels" and knowledge != "answers":
            return self._gradient_view(cell, knowledge, look)
        answers = black_box if knowledge == "scores" else black_box_labels
        return answers(self._asked(cell), look, int(cell.params["queries"]))

    def _asked(self, cell: Cell) -> Target:
        """The system that the cell's attacker asks."""
        view = self._workplace.view_of(self._unit, cell)
        if view == "undefended" and not self.target.plain:
            # Without sight of the defense the answers are the undefended classifier's, as AutoAttack has them.
            return self.target.undefended()
        return self.target

    def _gradient_view(self, cell: Cell, knowledge: Inside, look: Randomness) -> GradientView:
        workplace, view = self._workplace, self._workplace.view_of(self._unit, cell)
        # Only who imitates training images pays for loading them.
        references = workplace.references(self._unit.dataset) if knowledge == "references" else None
        if view == "undefended" and knowledge != "gradient":
            return adaptive(self.target.undefended(), look, 1, references=references)
        if view == "undefended":
            return white_box(self.target, look)
        if view == "everything":
            return adaptive(self.target, look, workplace.profile.eot_samples, cell.backward, references)
        raise ValueError(f"track '{cell.track}' gives no gradients")

    def _apply(self, cell: Cell, eps: float, attack: FittedAttack, images: Tensor) -> Answer:
        """Apply a fitted attack; what fitting cost is spread over all images that the track may attack."""
        fit = self._fit(cell, eps, attack)
        started = time.perf_counter()
        candidates = attack.apply(fit.state, images, eps)
        seconds = (time.perf_counter() - started) / len(images)
        share = self._attackable
        queries, gradients = -(-fit.queries // share), -(-fit.gradients // share)
        size = len(images)
        return Answer(candidates, [queries] * size, [gradients] * size, seconds + fit.seconds / share)

    @property
    def _attackable(self) -> int:
        """Images that the track may attack, over which what fitting cost is spread."""
        return len(self._workplace.split(self._unit.dataset, self._unit.track))

    def _fit(self, cell: Cell, eps: float, attack: FittedAttack | CopyingAttack) -> Fit:
        node = fit_node(self._workplace, self._unit, cell, eps)
        if node.key not in self._fits:
            table = self._find(node)
            self._fits[node.key] = (
                fitted(self._workplace, self._unit, cell, node.eps, attack, self._asked(cell))
                if table is None
                else fit_of(table, self._workplace)
            )
        return self._fits[node.key]

    def _transferred(self, cell: Cell, eps: float, batch: list[int]) -> Answer:
        """Candidates from their node; crafted for the batch alone where there is none."""
        node = candidates_node(self._workplace, self._unit, cell, eps)
        if self._crafted[0] != node.key:
            self._crafted = (node.key, self._find(node))
        table = self._crafted[1]
        if table is not None:
            return answer_of(table, self._workplace, self._unit, batch)
        return transferred(self._workplace, self._unit, cell, eps, batch, self._listen)

    def _listen(self, view: Any) -> None:
        if self._listener is not None:
            view.on_look = _now_and_then(self._listener, view)
