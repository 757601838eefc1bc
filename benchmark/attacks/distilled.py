"""Attack through a copy: a surrogate that has learned the deployed system's own answers (Papernot et al. 2017)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.access import AnswersView, LabelView, no_box
from benchmark.attacks.ascent import check_at_least_one, check_positive
from benchmark.attacks.base import ascent_signs, project_linf
from benchmark.attacks.confirm import Purse, still_right
from benchmark.attacks.pgd import Pgd
from benchmark.attacks.rays import searched
from benchmark.errors import BenchError
from benchmark.models import NarrowResNet18
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal, Task

WEAKEST = 1 / 8
"""Least radius of the images that the system is asked about, as a share of the largest."""

CRAFTING_STEPS = 10
"""Steps of such an image."""

MIXED = 0.4
"""Most that an image has of another one."""

POOLED = 24
"""Pixels from which on the copy begins with a pool, of which smaller images leave too little."""

BATCH = 128
LEARNING_RATE = 6e-3


@dataclass(frozen=True)
class Distilled:
    """Learn the answers of the deployed system in rounds, attack the copy, and search on from there by labels alone.

    Nothing is needed of the system but its label, so that it does not matter what becomes of its gradients and scores.
    In every round adversarial images of the copy, a narrow ResNet, are made from training images, at many radii;
    the system is asked about these, and the copy learns all answers so far, until its boundary is the system's own
    (Papernot et al. 2017, "Practical Black-Box Attacks against Machine Learning", algorithm 1).

    On the images under attack, PGD on the copy's margin from several starts gives candidates, which the system is asked
    about. Where all fail, RayS goes on with the signs of the last as its first direction (see :class:`Rays`).

    A fit costs ``images`` x (``rounds`` + 1) queries, spread over the images under attack; these cost at most
    ``queries`` each.

    Args:
        queries: most queries per image under attack.
        images: training images per round, as many as there are at most.
        rounds: rounds of adversarial images.
        strongest_255: largest radius of these; about twice the one that is attacked later.
        epochs: passes over all answers in each round.
        width: of the copy.
        steps: of PGD on the copy.
        restarts: of PGD on the copy.

    Raises:
        BenchError: a parameter is out of range.
    """

    queries: int = 2000
    images: int = 3000
    rounds: int = 8
    strongest_255: float = 16.0
    epochs: int = 1
    width: int = 16
    steps: int = 50
    restarts: int = 4
    knowledge: ClassVar[Literal["answers"]] = "answers"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one(
            "distilled",
            queries=self.queries,
            images=self.images,
            rounds=self.rounds,
            epochs=self.epochs,
            width=self.width,
            steps=self.steps,
            restarts=self.restarts,
        )
        check_positive("distilled", strongest_255=self.strongest_255)

    def fit(self, view: AnswersView, task: Task, draw: Randomness) -> dict[str, Tensor]:
        """Learn the system's answers.

        Args:
            view: training images, and the system's answers on any image.
            task: makes goals of classes.
            draw: ONE stream.

        Returns:
            The copy's parameters and buffers.
        """
        copy = self._copy(view.num_classes, view.images.shape, draw.fork("start")).to(view.labels.device)
        optimiser = torch.optim.Adam(copy.parameters(), lr=LEARNING_RATE)
        asked: list[Tensor] = []
        answers: list[Tensor] = []
        for number in range(self.rounds + 1):
            stream = draw.fork("round", number)
            images = _some(view, self.images, stream)
            if number > 0:
                images = _adversarial(copy, task, images, self.strongest_255 / 255, stream)
            labels = view.ask(images)
            kept = labels >= 0
            asked.append(images[kept])
            answers.append(labels[kept])
            _learn(copy, optimiser, asked, answers, self.epochs, stream.fork("order"))
        return {name: value.detach().clone() for name, value in copy.state_dict().items()}

    def apply(
        self,
        state: Mapping[str, Tensor],
        view: LabelView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack images with a fitted copy; arguments as in :class:`benchmark.attacks.base.LabelAttack`.

        Args:
            state: what :meth:`fit` returned.
        """
        copy = self._copy(view.num_classes, images.shape, Randomness([0])).to(images.device)
        _load(copy, state)
        purse = Purse(view, goal, self.queries)
        candidates = images.clone()
        rows = still_right(purse, images)
        for start in range(self.restarts):
            here = rows.to(images.device)
            attack = Pgd(steps=self.steps, loss="margin")
            stream = draw.take(rows).fork("copy", start)
            crafted = attack(no_box(copy, view.num_classes, stream), goal.take(here), images[here], eps_255, stream)
            rows, candidates = self._tried(purse, rows, crafted, candidates)
            if len(rows) == 0:
                return candidates
        here = rows.to(images.device)
        signs = ascent_signs(candidates[here] - images[here])
        signs = torch.where(signs == 0, 1.0, signs)
        for done, points in searched(purse, images[here], rows, eps_255, signs):
            candidates[done.to(images.device)] = points
        return candidates

    @staticmethod
    def _tried(purse: Purse, rows: Tensor, crafted: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Ask about candidates of the images ``rows``; returns the rows that still stand, and all candidates."""
        first = purse.wrong(crafted, rows)
        broken = purse.holds(crafted, rows, first, torch.ones_like(first)).cpu()
        candidates = candidates.clone()
        candidates[rows.to(candidates.device)] = crafted
        return rows[~broken & (purse.left[rows] > 0)], candidates

    def _copy(self, num_classes: int, shape: Sequence[int], draw: Randomness) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(draw.seeds[0] % 2**63)
            return NarrowResNet18(num_classes, shape[1], width=self.width, pool=min(shape[2:]) >= POOLED)


def _some(view: AnswersView, count: int, draw: Randomness) -> Tensor:
    """(n, C, H, W) training images, drawn without putting back, each with something of another one.

    A system that knows the training images could else tell by them that it is being copied, and answer otherwise.
    """
    order = draw.uniform((len(view.images),)).reshape(-1).argsort()[:count].cpu()
    images, others = (view.images[places].to(view.labels.device) for places in (order, order.roll(1)))
    share = draw.fork("mixture").uniform((len(order),), 0.0, MIXED).reshape(-1, 1, 1, 1).to(images.device)
    return images + share * (others - images)


def _adversarial(copy: nn.Module, task: Task, images: Tensor, strongest: float, draw: Randomness) -> Tensor:
    """Images moved up the copy's margin over what it says of them, each at a radius of its own."""
    with torch.no_grad():
        goal = task.goal(torch.cat([copy(part).argmax(dim=1) for part in torch.split(images, BATCH)]))
    radius = draw.fork("radius").uniform((len(images),), WEAKEST * strongest, strongest).reshape(-1, 1, 1, 1)
    start = draw.fork("start").uniform((len(images), *images.shape[1:]), -1, 1).reshape(images.shape)
    parts = []
    for place in torch.split(torch.arange(len(images)), BATCH):
        centre, reach = images[place], radius[place].to(images.device)
        point = (centre + reach * start[place].to(images.device)).clamp(0, 1)
        objective = goal.take(place).margin
        for _ in range(CRAFTING_STEPS):
            leaf = point.detach().requires_grad_()
            with torch.enable_grad():
                (slope,) = torch.autograd.grad(objective(copy(leaf)).sum(), leaf)
            point = project_linf(point + reach / 4 * ascent_signs(slope), centre, reach)
        parts.append(point)
    return torch.cat(parts)


def _learn(
    copy: nn.Module,
    optimiser: torch.optim.Optimizer,
    asked: list[Tensor],
    answers: list[Tensor],
    epochs: int,
    draw: Randomness,
) -> None:
    images, labels = torch.cat(asked), torch.cat(answers)
    copy.train()
    for epoch in range(epochs):
        order = draw.fork(epoch).uniform((len(images),)).reshape(-1).argsort()
        for batch in torch.split(order, BATCH):
            if len(batch) < 2:
                continue
            with torch.enable_grad():
                loss = F.cross_entropy(copy(images[batch]), labels[batch])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    copy.eval()


def _load(copy: nn.Module, state: Mapping[str, Tensor]) -> None:
    try:
        copy.load_state_dict(dict(state))
    except RuntimeError as error:
        raise BenchError(f"distilled: the fitted copy is of another network: {error}; fit it again.") from None
    copy.eval().requires_grad_(False)
