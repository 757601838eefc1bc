"""An attack receives a view, and the view is the threat model (survey, Figure 3).

A view counts what an attack spends per image. An attack addresses its images by ``rows``, their places in the batch
that the view was made for, so that it can go on with some of them and the counts stay true.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.defense import Decision
from benchmark.defense.target import Target
from benchmark.randomness import Randomness, content_seed
from benchmark.task.goal import Objective

Forward = Callable[[Tensor, Randomness], Tensor]
"""Maps images (n, C, H, W) and their draw to logits (S, n, K), S samples of a random pipeline."""


COPIES_PER_QUERY = 200
"""Most copies of a vote that answer one query; an attacker near the boundary would have every one of 10 000 taken."""


class QueryBudgetExceeded(Exception):
    """An attack asked for more queries than its budget allows: a fault of the attack, no success of the defense."""


@dataclass(frozen=True)
class Evaluation:
    """One look at the target: ``loss`` (n,), ``gradient`` (n, C, H, W), ``logits`` (n, K); all detached."""

    loss: Tensor
    gradient: Tensor
    logits: Tensor


class _Counting:
    """Counts per image, kept on the CPU.

    Attributes:
        budget: most queries per image; None where there is no bound.
        on_look: told before every look, for a progress bar; it learns nothing of it.
    """

    stochastic: bool = False
    budget: int | None = None

    def __init__(self, draw: Randomness) -> None:
        self._draw = draw
        self.queries = torch.zeros(len(draw), dtype=torch.int64)
        self.gradients = torch.zeros(len(draw), dtype=torch.int64)
        self.on_look: Callable[[], None] = _nothing

    def _next_draw(self, rows: Tensor) -> Randomness:
        """Fresh randomness for this look; a function of the image's own number of looks, not of the batch's."""
        self.on_look()
        seeds = [self._draw.seeds[row] for row in rows.tolist()]
        if self.stochastic:
            looks = self.queries[rows].tolist()
            seeds = [content_seed(seed, "look", look) for seed, look in zip(seeds, looks, strict=True)]
        return self._draw.seeded(seeds)


def _nothing() -> None:
    """Nobody listens."""


class GradientView(_Counting):
    """Gives logits and gradients: of a surrogate (no-box), the bare classifier (white-box) or everything (adaptive).

    Args:
        forward: the differentiable target.
        num_classes: K.
        draw: the attacker's randomness, one stream per image of the batch.
        stochastic: whether two looks at one image may differ.
        samples: forward passes that one look costs per image.
    """

    def __init__(
        self,
        forward: Forward,
        num_classes: int,
        draw: Randomness,
        *,
        stochastic: bool = False,
        samples: int = 1,
    ) -> None:
        super().__init__(draw)
        self._forward = forward
        self.num_classes = num_classes
        self.stochastic = stochastic
        self._samples = samples

    def evaluate(self, images: Tensor, objective: Objective, rows: Tensor) -> Evaluation:
        """Value and gradient of an objective, averaged over the samples of a random pipeline (EOT).

        Args:
            images: (n, C, H, W) current iterates of the images ``rows``.
            objective: maps logits (n, K) to values (n,).
            rows: (n,) int64 places in the view's batch, on the CPU.
        """
        draw = self._next_draw(rows)
        self.queries[rows] += self._samples
        self.gradients[rows] += self._samples
        with torch.enable_grad():
            leaf = images.detach().requires_grad_(True)
            logits = self._forward(leaf, draw)
            loss = torch.stack([objective(sample) for sample in logits]).mean(dim=0)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return Evaluation(loss.detach(), gradient, mean_logits(logits.detach()))

    @torch.no_grad()
    def logits(self, images: Tensor, rows: Tensor) -> Tensor:
        """Logits (n, K) without a gradient; of a random pipeline the log of the mean softmax."""
        draw = self._next_draw(rows)
        self.queries[rows] += self._samples
        return mean_logits(self._forward(images, draw))

    def differentiable(self, images: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits (n, K) with autograd attached, for attacks of other libraries.

        The cost is spread evenly over the images ``rows``, all of the view's where it cannot tell them apart.
        Deterministic targets only.

        Raises:
            ValueError: the target is stochastic.
        """
        if self.stochastic:
            raise ValueError("a stochastic target has no single differentiable function; use evaluate")
        self.on_look()
        rows = torch.arange(len(self.queries)) if rows is None else rows
        share = -(-len(images) // max(1, len(rows)))
        self.queries[rows] += share
        if torch.is_grad_enabled() and images.requires_grad:
            self.gradients[rows] += share
        return self._forward(images, self._draw.seeded([0] * len(images)))[0]


class QueryView(_Counting):
    """Puts queries to the deployed defense, counts them per image and stops at the budget.

    A subclass decides how much of the output the
    attacker sees. A vote of more than :data:`COPIES_PER_QUERY` copies predicts from these, as it would if the others
    voted alike (:class:`~benchmark.defense.stages.ForeseenVote`); the judge puts the attack's result to the whole vote.

    Args:
        defense: the deployed defense.
        draw: randomness of the deployed system's answers, one stream per image.
        budget: queries per image.
    """

    def __init__(self, defense: Target, draw: Randomness, budget: int) -> None:
        super().__init__(draw)
        self._defense = defense.answering(COPIES_PER_QUERY)
        self.num_classes = defense.num_classes
        self.stochastic = defense.stochastic
        self.budget: int = budget

    def remaining(self, rows: Tensor) -> Tensor:
        """(n,) int64 queries left for these images."""
        return self.budget - self.queries[rows]

    def _ask(self, images: Tensor, rows: Tensor) -> Decision:
        """Put (n, C, H, W) images to the defense; a row that occurs k times costs its image k queries."""
        asked = torch.bincount(rows, minlength=len(self.queries))
        if bool(((self.queries + asked > self.budget) & (asked > 0)).any()):
            raise QueryBudgetExceeded(f"an attack asked for more than its {self.budget} queries per image")
        draw = self._next_draw(rows)
        self.queries += asked
        return self._defense.predict(images, draw)

    def _next_draw(self, rows: Tensor) -> Randomness:
        self.on_look()
        seeds = [self._draw.seeds[row] for row in rows.tolist()]
        if self.stochastic:
            looks = _numbered(rows, self.queries)
            seeds = [content_seed(seed, "look", look) for seed, look in zip(seeds, looks, strict=True)]
        return self._draw.seeded(seeds)


class ScoreView(QueryView):
    """Answers queries with the deployed scores and label; arguments as in :class:`QueryView`."""

    def query(self, images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities (n, K) and the deployed label (n,), -1 = abstained.

        A row may occur several times: each occurrence is a query of its own.

        Raises:
            QueryBudgetExceeded: an image has no query left.
        """
        decision = self._ask(images, rows)
        return decision.probs.clamp_min(1e-30).log(), decision.label

    def take_back(self, rows: Tensor, counts: Tensor) -> None:
        """Count queries no more that were asked ahead of the attack's order and whose answers it does not use.

        Args:
            rows: (n,) images.
            counts: (n,) int64 of each image's last queries.

        Raises:
            ValueError: the system is random: the next look's randomness would be that of one that was seen.
        """
        if self.stochastic and bool(counts.any()):
            raise ValueError("queries to a random system cannot be taken back")
        self.queries[rows] -= counts


def _numbered(rows: Tensor, asked: Tensor) -> list[int]:
    """Number of each look among all looks at its image; ``asked`` (N,) looks were taken before."""
    following = asked.tolist()
    numbers = []
    for row in rows.tolist():
        numbers.append(following[row])
        following[row] += 1
    return numbers


def mean_logits(logits: Tensor) -> Tensor:
    """Logits (n, K) of S samples (S, n, K): the log of their mean softmax, the samples' own where S = 1."""
    if logits.shape[0] == 1:
        return logits[0]
    return logits.log_softmax(dim=2).logsumexp(dim=0) - math.log(logits.shape[0])


def no_box(surrogate: nn.Module, num_classes: int, draw: Randomness) -> GradientView:
    """Only a surrogate that the attacker trained; the target is not within reach at all."""
    return GradientView(lambda images, _: surrogate(images).unsqueeze(0), num_classes, draw)


def white_box(target: Target, draw: Randomness) -> GradientView:
    """Gradients of the undefended classifier, the setting in which the seed papers report their defenses."""
    return GradientView(lambda images, _: target.logits(images).unsqueeze(0), target.num_classes, draw)


def black_box(defense: Target, draw: Randomness, budget: int) -> ScoreView:
    """Deployed scores and labels, ``budget`` queries per image."""
    return ScoreView(defense, draw, budget)
