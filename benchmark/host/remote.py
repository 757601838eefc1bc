"""A defense that lives in a host, as attacks, views and judge ask it: forward and backward passes run there."""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmark.defense.decision import Decision
from benchmark.defense.features import PENULTIMATE
from benchmark.defense.stage import Backward
from benchmark.errors import BenchError, did_you_mean
from benchmark.host.limits import VOTES_A_PASS
from benchmark.host.line import HostFailed
from benchmark.host.residence import Residence
from benchmark.host.sandbox import Isolation
from benchmark.randomness import Randomness, content_seed

MOST_INNER = 16
"""Networks inside a defense that are attacked, the outermost of them."""

_DECIDED = {"probs": torch.float32, "label": torch.int64, "score": torch.float32, "copies": torch.int64}
"""Parts of a decision and their types."""


class RemoteDefense:
    """A :class:`~benchmark.defense.target.Target` whose passes run in a host.

    Args:
        residence: the host.
        part: the whole defense, its bare classifier, or a network inside it.
        foreseen: a longer vote is foreseen from so many copies; 0 for never.
        inner: which network, where it is one.
        draws: whether that network stands behind a random stage.
    """

    def __init__(
        self,
        residence: Residence,
        part: Literal["whole", "bare", "inner"] = "whole",
        foreseen: int = 0,
        inner: int | None = None,
        draws: bool = False,
    ) -> None:
        self._residence = residence
        self._facts = residence.facts
        self._part = part
        self._foreseen = foreseen
        self._inner = inner
        self._draws = draws
        self.num_classes = self._facts.num_classes
        self.feature_layers = self._facts.feature_layers

    @property
    def isolation(self) -> Isolation:
        """How the defense is shut in."""
        return self._residence.isolation

    @property
    def stochastic(self) -> bool:
        """Whether two decisions on one image may differ."""
        return self._draws if self._part == "inner" else self._facts.stochastic and self._part == "whole"

    @property
    def plain(self) -> bool:
        """Whether the defense is its bare classifier."""
        return self._facts.plain or self._part == "bare"

    @property
    def own(self) -> bool:
        """Whether all of the defense is the benchmark's own code, as its process tells."""
        return self._facts.own

    @property
    def detects(self) -> bool:
        """Whether it has a detector whose score can be followed."""
        return self._facts.detects and self._part == "whole"

    @property
    def alternative_backward(self) -> bool:
        """Whether the backward pass "identity" may differ from the declared one."""
        return self._facts.alternative_backward and self._part == "whole"

    def inner(self, images: Tensor) -> "list[RemoteDefense]":
        """As :meth:`~benchmark.defense.target.Target.inner`."""
        told = self._asked({"op": "inner"}, images.detach()[:1], copies=1)
        drawing = told.get("stochastic")
        if set(told) != {"stochastic"} or drawing is None or drawing.dtype != torch.bool or drawing.dim() != 1:
            raise HostFailed("the defense's process told nothing of the networks inside")
        return [
            RemoteDefense(self._residence, "inner", inner=number, draws=bool(drawn))
            for number, drawn in enumerate(drawing[:MOST_INNER].tolist())
        ]

    def undefended(self) -> "RemoteDefense":
        """The bare classifier as a defense of its own."""
        return RemoteDefense(self._residence, "bare")

    def answering(self, copies: int) -> "RemoteDefense":
        """The defense, a vote of more than so many copies foreseen from these."""
        return RemoteDefense(self._residence, self._part, copies)

    def renew(self) -> None:
        """Let a pristine fork answer the next call."""
        self._residence.renew()

    def predict(self, images: Tensor, draw: Randomness) -> Decision:
        """The deployed decision.

        Raises:
            CallFailed, HostFailed: as :meth:`Residence.call`.
        """
        message = {"op": "decide", **self._drawn(draw), "foreseen": self._foreseen}
        told = self._asked(message, images.detach(), copies=self._copies())
        missing = {"probs", "label"} - set(told)
        if missing:
            raise HostFailed(f"the defense's decision lacks {min(missing)}")
        for name, value in told.items():
            wanted = _DECIDED.get(name)
            if wanted != value.dtype or len(value) != len(images):
                raise HostFailed(
                    f"the defense's decision has {name} of type {value.dtype} and shape {tuple(value.shape)}"
                )
        if bool(((told["label"] < -1) | (told["label"] >= self.num_classes)).any()):
            raise HostFailed("the defense's decision has a label that is no class")
        return Decision(told["probs"], told["label"], told.get("score"), told.get("copies"))

    def flops(self, images: Tensor, draw: Randomness) -> int:
        """Floating point operations of a decision on all these images; raises as :meth:`predict`."""
        told = self._asked({"op": "flops", **self._drawn(draw)}, images, copies=self._copies())
        return int(told["flops"])

    def _copies(self) -> float:
        """What a decision takes of the time that a pass is given."""
        return max(1.0, (self._foreseen or self._facts.copies) / VOTES_A_PASS)

    def logits(self, images: Tensor) -> Tensor:
        """Differentiable logits (N, K) of the bare classifier."""
        return self._passed({"op": "logits"}, images)["logits"]

    def adaptive_logits(self, images: Tensor, draw: Randomness, copies: int, backward: Backward = "declared") -> Tensor:
        """As :meth:`benchmark.defense.Defense.adaptive_logits`."""
        return self._passed(self._pipeline("adaptive_logits", draw, copies, backward), images)["logits"]

    def adaptive_score(self, images: Tensor, draw: Randomness, copies: int, backward: Backward = "declared") -> Tensor:
        """As :meth:`benchmark.defense.Defense.adaptive_score`."""
        return self._passed(self._pipeline("adaptive_score", draw, copies, backward), images)["score"]

    def adaptive_features(
        self, images: Tensor, draw: Randomness, copies: int, layers: Sequence[str], backward: Backward = "declared"
    ) -> tuple[dict[str, Tensor], Tensor]:
        """As :meth:`benchmark.defense.Defense.adaptive_features`."""
        message = {**self._pipeline("adaptive_features", draw, copies, backward), "layers": list(layers)}
        told = self._passed(message, images)
        return {layer: told[f"feature {layer}"] for layer in layers}, told["logits"]

    def check_layers(self, layers: Sequence[str]) -> None:
        """Raise BenchError where a layer is none that the defense declares: others cannot be asked for from here."""
        for layer in layers:
            if layer != PENULTIMATE and layer not in self.feature_layers:
                raise BenchError(
                    f"The defense declares no feature layer '{layer}'.{did_you_mean(layer, self.feature_layers)}"
                )

    def _which(self) -> dict[str, Any]:
        """Which part is asked, as a message says it."""
        return {"part": self._part} if self._inner is None else {"part": self._part, "inner": self._inner}

    def _drawn(self, draw: Randomness) -> dict[str, Any]:
        """Where numbers come from, as a message says it."""
        return {"seeds": self._seeds(draw), "streams": draw.streams}

    def _seeds(self, draw: Randomness) -> list[int]:
        """Seeds as the host sees them: whoever asks, they are no hash that an entry could have in a table.

        A deterministic defense has no use for any.
        """
        if not self._facts.stochastic:
            return [0] * len(draw)
        salt = self._residence.salt
        return [content_seed(salt, seed) for seed in draw.seeds] if salt else draw.seeds

    def _pipeline(self, op: str, draw: Randomness, copies: int, backward: Backward) -> dict[str, Any]:
        return {"op": op, **self._drawn(draw), "copies": copies, "backward": backward}

    def _asked(self, message: Mapping[str, Any], images: Tensor, copies: float) -> dict[str, Tensor]:
        told = self._residence.call({**message, **self._which()}, images, copies)[0]
        return {name: value.to(images.device) for name, value in told.items()}

    def _passed(self, message: Mapping[str, Any], images: Tensor) -> dict[str, Tensor]:
        """A forward pass, with a way back to the images where they ask for one."""
        whole = {**message, **self._which()}
        copies = int(message.get("copies", 1))
        if not (torch.is_grad_enabled() and images.requires_grad):
            told = self._residence.call(whole, images, copies)[0]
            return {name: value.to(images.device) for name, value in told.items()}
        names: list[str] = []
        values = _Pass.apply(images, self._residence, whole, copies, names)  # type: ignore[no-untyped-call]
        return dict(zip(names, values, strict=True))


class _Pass(torch.autograd.Function):
    """A forward pass in the host, and its gradient there."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, images: Tensor, residence: Residence, message: Mapping[str, Any], copies: int, names: list[str]
    ) -> tuple[Tensor, ...]:
        told, differentiable, number = residence.call(message, images, copies, graph=True)
        names += told
        ctx.names, ctx.residence, ctx.number, ctx.passes = tuple(told), residence, number, len(images) * copies
        ctx.held = _Held()
        weakref.finalize(ctx.held, residence.let_go, number).atexit = False
        ctx.set_materialize_grads(False)
        values = tuple(value.to(images.device) for value in told.values())
        ctx.mark_non_differentiable(
            *(value for name, value in zip(told, values, strict=True) if name not in differentiable)
        )
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Any, ...]:  # type: ignore[override]
        given = {name: slope for name, slope in zip(ctx.names, slopes, strict=True) if slope is not None}
        device = next(iter(given.values())).device
        gradient = ctx.residence.gradient(ctx.number, given, ctx.passes)
        return gradient.to(device), None, None, None, None


class _Held:
    """Lives as long as somebody may ask for the gradient of a forward pass."""
