"""The deployed defense and the differentiable twin that an adaptive attacker builds of it."""

import copy
import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from benchmark.defense.decision import Decision
from benchmark.defense.features import PENULTIMATE, check_layers, with_features
from benchmark.defense.stage import Backward, Stage
from benchmark.errors import BenchError
from benchmark.layout import laid_out
from benchmark.passes import images_per_pass
from benchmark.randomness import Randomness

ROWS_PER_PASS = 2048
"""Rows that a forward pass of a voting defense holds at once; it bounds memory and changes no result."""

PIXELS_PER_PASS = 1 << 19
"""Likewise in pixels, 128 images of 64 x 64: on a CPU larger passes take twice the time an image, and more memory."""


def rows_per_pass(images: Tensor) -> int:
    """How many rows like these images pass through a defense at once."""
    return min(ROWS_PER_PASS, images_per_pass(images, PIXELS_PER_PASS))


class Vote(Protocol):
    """Turns the classifier's answers on up to n random copies of an image into one decision.

    Attributes:
        copies: n.
        looks: rising numbers of copies after which the vote is asked whether it is settled; the last is n.
    """

    copies: int
    looks: tuple[int, ...]

    def settled(self, votes: Tensor) -> Tensor:
        """Whether an image needs no further copies, (N,) bool, from votes per class (N, K) int64."""
        ...

    def decide(self, votes: Tensor) -> Decision:
        """Decide from votes per class (N, K) int64, at the look at which each image was settled."""
        ...


class Defense(nn.Module):
    """Stages, then a classifier, then (optionally) a vote over random copies.

    The classifier maps (N, C, H, W) images in [0, 1] to (N, K) logits; normalisation lives inside it.

    Args:
        classifier: the undefended network.
        num_classes: K.
        stages: steps before the classifier, in order.
        vote: how the answers on random copies become one decision; None for a single pass.
        feature_layers: modules of the classifier, by name, whose outputs attacks on features follow; none means the
            input of its last layer (:func:`~benchmark.defense.features.with_features`).

    Raises:
        BenchError: the classifier has no such feature layer.
        ValueError: a vote is given but no stage is stochastic, so that all copies would be equal.
    """

    def __init__(
        self,
        classifier: nn.Module,
        num_classes: int,
        stages: Sequence[Stage] = (),
        vote: Vote | None = None,
        feature_layers: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.classifier = laid_out(classifier)
        self.num_classes = num_classes
        self.stages = nn.ModuleList(stages)
        self.vote = vote
        if feature_layers:
            check_layers(classifier, feature_layers)
        self.feature_layers = tuple(feature_layers) or (PENULTIMATE,)
        if vote is not None and not self.stochastic:
            raise ValueError("a vote needs at least one stochastic stage: without one all copies are equal")
        self.eval()

    @property
    def stochastic(self) -> bool:
        """Whether two calls of :meth:`predict` on one image may differ."""
        return any(stage.stochastic for stage in self._stages())

    @property
    def plain(self) -> bool:
        """Whether the defense is its bare classifier, so that white-box and adaptive attacks coincide."""
        # What a subclass puts in the way of an image or behind an answer is a defense too.
        as_is = all(getattr(type(self), name) is getattr(Defense, name) for name in _PIPELINE)
        return as_is and len(self.stages) == 0 and self.vote is None

    @property
    def alternative_backward(self) -> bool:
        """Whether the backward pass "identity" may differ from the declared one, so that an attacker tries both."""
        return any(not stage.declares_identity for stage in self._stages())

    def _stages(self) -> list[Stage]:
        return [stage for stage in self.stages if isinstance(stage, Stage)]

    def _through_stages(self, images: Tensor, draw: Randomness, copies: int, backward: Backward | None) -> Tensor:
        """Pass images through the stages; from the first stochastic stage on each image has ``copies`` rows.

        With a ``backward`` pass the stages are an attacker's, through BPDA; without one they are as deployed.
        """
        rows = self._pass(images, draw, self._steady(), backward)
        if copies > 1:
            rows, draw = rows.repeat_interleave(copies, dim=0), draw.repeated(copies)
        return self._pass(rows, draw, self._random(), backward)

    def _steady(self) -> range:
        """Positions of the stages before the first stochastic one, which all copies of an image share."""
        stages = self._stages()
        return range(next((place for place, stage in enumerate(stages) if stage.stochastic), len(stages)))

    def _random(self) -> range:
        return range(len(self._steady()), len(self._stages()))

    def _pass(self, rows: Tensor, draw: Randomness, places: range, backward: Backward | None) -> Tensor:
        stages = self._stages()
        for place in places:
            stage, stage_draw = stages[place], draw.fork("stage", place)
            if backward is None:
                rows = stage(rows, stage_draw)
            else:
                rows = (
                    stage.bpda(rows, stage_draw) if backward == "declared" else stage.straight_through(rows, stage_draw)
                )
        return rows

    @torch.no_grad()
    def predict(self, images: Tensor, draw: Randomness) -> Decision:
        """Decide as deployed.

        Args:
            images: (N, C, H, W) float32 in [0, 1].
            draw: the randomness of this call, one stream per image.
        """
        at_once = rows_per_pass(images)
        parts = [
            self._decide(images[start : start + at_once], draw.take(range(len(images))[start:][:at_once]))
            for start in range(0, len(images), at_once)
        ]
        return Decision.cat(parts) if parts else self._empty(images)

    def _decide(self, images: Tensor, draw: Randomness) -> Decision:
        if self.vote is not None:
            return self._poll(images, draw, self.vote)
        logits = self.classifier(self._through_stages(images, draw, 1, backward=None))
        return Decision(probs=logits.softmax(dim=1), label=logits.argmax(dim=1))

    def _poll(self, images: Tensor, draw: Randomness, vote: Vote) -> Decision:
        """Ask for copies look by look; an image leaves at the look at which its vote is settled.

        One on whose copies the classifier has no finite answer has no votes, and shares that are not finite.
        """
        steady = self._pass(images, draw, self._steady(), backward=None)
        votes = torch.zeros(len(images), self.num_classes, dtype=torch.int64, device=images.device)
        going = torch.arange(len(images), device=images.device)
        taken = 0
        for look in vote.looks:
            new, answered = self._votes(steady[going], draw.take(going), range(taken, look))
            votes[going] = (votes[going] + new) * answered[:, None]
            going, taken = going[answered & ~vote.settled(votes[going])], look
            if len(going) == 0:
                break
        return vote.decide(votes)

    def _votes(self, steady: Tensor, draw: Randomness, copies: range) -> tuple[Tensor, Tensor]:
        """Votes per class, (N, K), of some copies of images that have passed the stages that copies share.

        The second is whether all logits are finite, (N,) bool: the largest of no numbers is the first class.
        """
        most = rows_per_pass(steady)
        at_once = max(1, most // len(copies))
        parts = []
        for start in range(0, len(steady), at_once):
            part = steady[start : start + at_once]
            part_draw = draw.take(range(start, start + len(part)))
            votes = torch.zeros(len(part), self.num_classes, dtype=torch.int64, device=steady.device)
            answered = torch.ones(len(part), dtype=torch.bool, device=steady.device)
            for first in range(0, len(copies), most):
                asked = copies[first : first + most]
                rows = part.repeat_interleave(len(asked), dim=0)
                logits = self.classifier(self._pass(rows, part_draw.copies_of(asked), self._random(), backward=None))
                answers = logits.argmax(dim=1).reshape(len(part), len(asked))
                votes += one_hot(answers, self.num_classes).sum(dim=1)
                answered &= torch.isfinite(logits).all(dim=1).reshape(len(part), len(asked)).all(dim=1)
            parts.append((votes, answered))
        return torch.cat([votes for votes, _ in parts]), torch.cat([answered for _, answered in parts])

    def _empty(self, images: Tensor) -> Decision:
        return Decision(
            probs=torch.empty(0, self.num_classes, device=images.device),
            label=torch.empty(0, dtype=torch.int64, device=images.device),
        )

    def logits(self, images: Tensor) -> Tensor:
        """Differentiable logits (N, K) of the bare classifier at (N, C, H, W) images."""
        logits: Tensor = self.classifier(images)
        return logits

    def renew(self) -> None:
        """As :meth:`~benchmark.defense.target.Target.renew`; this process is the only one."""

    def check_layers(self, layers: Sequence[str]) -> None:
        """Make sure that the classifier has these feature layers; raises as :func:`check_layers`."""
        check_layers(self.classifier, layers)

    def inner(self, images: Tensor) -> "Sequence[Defense]":
        """As :meth:`~benchmark.defense.target.Target.inner`."""
        from benchmark.defense.inner import inner_defenses

        return inner_defenses(self, images)

    def undefended(self) -> "Defense":
        """The bare classifier as a defense of its own, with the feature layers that this one declares."""
        layers = [] if self.feature_layers == (PENULTIMATE,) else self.feature_layers
        return Defense(self.classifier, self.num_classes, feature_layers=layers)

    def answering(self, copies: int) -> "Defense":
        """The defense itself, or with the same parts and a foreseen vote in place of one of more copies than these."""
        # The stages' package imports this module.
        from benchmark.defense.stages import BinomialVote, ForeseenVote

        if not isinstance(self.vote, BinomialVote) or self.vote.copies <= copies:
            return self
        answering = copy.copy(self)
        answering.vote = ForeseenVote(self.vote, copies)
        return answering

    def adaptive_logits(self, images: Tensor, draw: Randomness, copies: int, backward: Backward = "declared") -> Tensor:
        """Differentiable logits of the whole pipeline through BPDA.

        A vote's stand-in is the log of the mean softmax over the copies (the expected vote, softened).

        Args:
            images: (N, C, H, W), may require grad.
            draw: the attacker's own randomness, one stream per image.
            copies: random copies per image (EOT samples).
            backward: how gradients pass the stages: :meth:`Stage.bpda` or :meth:`Stage.straight_through`.

        Returns:
            (S, N, K): S = 1 for a voting defense, else one slice per copy, whose losses EOT averages.
        """
        if not self.stochastic:
            copies = 1
        flat: Tensor = self.classifier(self._through_stages(images, draw, copies, backward))
        logits = flat.reshape(len(images), copies, self.num_classes)
        if self.vote is not None:
            expected: Tensor = logits.log_softmax(dim=2).logsumexp(dim=1) - math.log(copies)
            return expected.unsqueeze(0)
        slices: Tensor = logits.transpose(0, 1)
        return slices

    def adaptive_features(
        self, images: Tensor, draw: Randomness, copies: int, layers: Sequence[str], backward: Backward = "declared"
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Differentiable features and logits of each random copy through BPDA; arguments as :meth:`adaptive_logits`.

        Returns:
            For each layer (S, N, ...), and logits (S, N, K): one slice per copy, of a voting defense too, because a
            vote is taken on answers and features have none.

        Raises:
            BenchError: the classifier has no such layer.
        """
        if not self.stochastic:
            copies = 1
        found, flat = with_features(self.classifier, self._through_stages(images, draw, copies, backward), layers)
        features = {layer: _slices(found[layer], len(images), copies) for layer in layers}
        return features, _slices(flat, len(images), copies)

    @property
    def detects(self) -> bool:
        """Whether the defense has a detector whose score an adaptive attacker can follow."""
        return type(self).adaptive_score is not Defense.adaptive_score

    def adaptive_score(self, images: Tensor, draw: Randomness, copies: int, backward: Backward = "declared") -> Tensor:
        """Differentiable acceptance score of a detector, (S, N), higher = accepted more readily.

        A defense with a detector overrides this; arguments and S as :meth:`adaptive_features`.

        Raises:
            BenchError: this defense has no detector.
        """
        raise BenchError(
            "This defense has no adaptive_score: only one with a detector has a score to attack; override it there."
        )


_PIPELINE = (
    "predict", "_decide", "_poll", "_through_stages", "_pass", "adaptive_logits", "adaptive_features", "adaptive_score",
)  # fmt: skip
"""Methods of :class:`Defense` through which images pass; only where none is overridden can a defense be plain."""


def _slices(rows: Tensor, images: int, copies: int) -> Tensor:
    """Turn (N * S, ...) rows, copies of an image side by side, into (S, N, ...)."""
    return rows.reshape(images, copies, *rows.shape[1:]).transpose(0, 1)
