"""Running one cell on some images: hand the attack its view, verify its answer, put it to the judge."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from benchmark.access import (
    GradientView,
    LabelView,
    QueryView,
    ScoreView,
    adaptive,
    black_box,
    black_box_labels,
    no_box,
    white_box,
)
from benchmark.attacks.base import FittedAttack, Inside
from benchmark.attacks.registry import build
from benchmark.defense.target import Target
from benchmark.engine.clean_track import make_judge
from benchmark.engine.fitting import fitted
from benchmark.engine.rows import outcomes
from benchmark.engine.settings import Unit
from benchmark.engine.shots import Shot
from benchmark.engine.workplace import Workplace
from benchmark.host.client import reason_of
from benchmark.matrix import Cell
from benchmark.randomness import Randomness, content_seed
from benchmark.surrogates import DEFAULT, load_surrogate
from benchmark.verify import Verified, verify

LOG = logging.getLogger(__name__)


Listener = Callable[[int, int, int | None], None]
"""Told, now and then during an attack, the most queries and gradients of an image so far and the budget of queries."""

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


@dataclass(frozen=True)
class Answer:
    """An attack's candidates (N, C, H, W), and the passes that each image cost."""

    candidates: Tensor
    queries: Sequence[int]
    gradients: Sequence[int]
    seconds: float


class CellRun:
    """Cells of one unit: the same target, judge and images for all of them.

    Args:
        workplace: the run.
        unit: the unit.
        listener: told how far the attack in hand is.
    """

    def __init__(self, workplace: Workplace, unit: Unit, listener: Listener | None = None) -> None:
        self._listener = listener
        self._workplace = workplace
        self._unit = unit
        self._split = workplace.images_of(unit)
        self._task = workplace.task(unit.dataset)
        self.judge = make_judge(workplace, unit)
        self.target: Target = workplace.target(unit)

    def seed(self, cell: Cell, eps: float, image: int) -> int:
        """Seed of an image under a cell: the same wherever view and parameters are the same, whatever the track."""
        params = sorted(cell.params.items())
        return content_seed(self._split.dataset, self._split.ids[image], cell.method, params, cell.norm, f"{eps:g}")

    def shots(self, cell: Cell, eps: float, targets: Sequence[int]) -> list[Shot]:
        """Attack the unit's images ``targets``, in batches; a batch whose attack failed becomes gaps that say why."""
        size = self._workplace.settings.batch_size
        found: list[Shot] = []
        for start in range(0, len(targets), size):
            batch = list(targets[start : start + size])
            try:
                found += self.shoot(cell, eps, batch)[0]
            except (Exception, SystemExit) as error:
                # A failed attack must never look like a strong defense.
                reason = reason_of(error)
                LOG.warning("%s %s@%g failed: %s", self._unit, cell.name, eps, reason)
                found += [Shot(None, reason) for _ in batch]
        return found

    def answer(self, cell: Cell, eps: float, batch: list[int]) -> tuple[Answer, Verified]:
        """Attack images and verify the answer.

        Raises:
            Exception: whatever the attack raises.
        """
        device = self._workplace.device
        part = self._split.subset(batch)
        images, labels = part.images.to(device), part.labels.to(device)
        seeds = [self.seed(cell, eps, image) for image in batch]
        answer = self._attack(cell, eps, images, labels, Randomness(seeds, device))
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
        judged = outcomes(self.judge.judge(checked.images, labels, purposes))
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
                judged,
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
        if self._listener is not None:
            view.on_look = _now_and_then(self._listener, view)
        candidates = attack(view, self._task.goal(labels), images, eps, draw)
        seconds = (time.perf_counter() - started) / len(images)
        return Answer(candidates, view.queries.tolist(), view.gradients.tolist(), seconds)

    def _view(
        self, cell: Cell, knowledge: Inside | Literal["scores", "labels"], look: Randomness
    ) -> GradientView | ScoreView | LabelView:
        """What the cell's attacker holds."""
        if knowledge != "scores" and knowledge != "labels":
            return self._gradient_view(cell, knowledge, look)
        target: Target = self.target
        view = self._workplace.view_of(self._unit, cell)
        if view == "undefended" and not target.plain:
            # Without sight of the defense the scores are the undefended classifier's, as AutoAttack has them.
            target = target.undefended()
        answers = black_box if knowledge == "scores" else black_box_labels
        return answers(target, look, int(cell.params["queries"]))

    def _gradient_view(self, cell: Cell, knowledge: Inside, look: Randomness) -> GradientView:
        workplace, view = self._workplace, self._workplace.view_of(self._unit, cell)
        if view == "surrogate":
            surrogate = load_surrogate(workplace.root, workplace.card(self._unit.dataset), cell.surrogate or DEFAULT)
            return no_box(surrogate.to(workplace.device), self._task.outputs, look)
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
        fit = fitted(self._workplace, self._unit, cell, eps, attack, self.target)
        started = time.perf_counter()
        candidates = attack.apply(fit.state, images, eps)
        seconds = (time.perf_counter() - started) / len(images)
        share = len(self._workplace.split(self._unit.dataset, self._unit.track))
        queries, gradients = -(-fit.queries // share), -(-fit.gradients // share)
        size = len(images)
        return Answer(candidates, [queries] * size, [gradients] * size, seconds + fit.seconds / share)
