"""What a host can be asked about the defense that it has built.

Each call takes tensors and plain values and returns tensors. Its answers are copied into plain tensors here, whatever
subclass the defense made of them; the harness checks shapes and types again on its side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmark.defense import Decision, Defense
from benchmark.defense.inner import is_all_own, landmarks
from benchmark.randomness import Randomness

Answer = Mapping[str, Tensor]

_OF_TWIN = ("decide", "logits", "adaptive_logits", "adaptive_score")
"""Calls that a twin answers: none about features, whose modules it lacks."""


@dataclass
class Graph:
    """A forward pass whose gradient may be asked for."""

    leaf: Tensor
    outputs: dict[str, Tensor]


@dataclass
class Served:
    """A defense, ready to be asked.

    Attributes:
        defense: as built.
        device: where it runs.
        twin: what attacks are answered from; the defense itself, or its fast twin.
        shape: (C, H, W) of its images.
        graphs: forward passes that the harness still holds, by its numbers.
    """

    defense: Defense
    device: torch.device
    twin: Defense
    shape: tuple[int, int, int]
    graphs: dict[int, Graph] = field(default_factory=dict)
    _inner: list[Defense] | None = None

    def facts(self) -> dict[str, Any]:
        """What the harness has to know of the defense."""
        defense = self.defense
        vote = defense.vote
        return {
            "stochastic": bool(defense.stochastic),
            "plain": bool(defense.plain),
            "own": is_all_own(defense),
            "alternative_backward": bool(defense.alternative_backward),
            "detects": bool(defense.detects),
            "feature_layers": [str(layer) for layer in defense.feature_layers],
            "copies": 1 if vote is None else int(vote.copies),
        }

    def release(self, numbers: Sequence[int]) -> None:
        """Forget forward passes that nobody will ask about again."""
        for number in numbers:
            self.graphs.pop(number, None)

    def answer(self, message: Mapping[str, Any], given: Mapping[str, Tensor]) -> Answer:
        """Answer one call.

        Args:
            message: the call: ``op`` and its plain arguments.
            given: its tensors.

        Raises:
            Exception: whatever the defense raises.
        """
        op = message["op"]
        if op == "backward":
            return self._backward(int(message["graph"]), given)
        images = given["images"].to(self.device)
        if op == "inner":
            stochastic = [part.stochastic for part in self._inner_defenses()]
            return {"stochastic": torch.tensor(stochastic, dtype=torch.bool)}
        target = self._part(message, self.twin if op in _OF_TWIN else self.defense)
        if op == "decide":
            return _told(target.predict(images, self._draw(message)))
        if op == "flops":
            with FlopCounterMode(display=False) as counter:
                target.predict(images, self._draw(message))
            return {"flops": torch.tensor(counter.get_total_flops(), dtype=torch.int64)}
        return self._forward(target, images, message)

    def _inner_defenses(self) -> list[Defense]:
        """The defense's inner networks, found once in a process and the same in each."""
        if self._inner is None:
            self._inner = list(self.defense.inner(landmarks(self.shape).to(self.device)))
        return self._inner

    def _part(self, message: Mapping[str, Any], defense: Defense) -> Defense:
        """The whole defense, its bare classifier, a network inside it, or the defense with a vote that ends early."""
        inner = message.get("inner")
        if inner is not None:
            return self._inner_defenses()[int(inner)]
        if message["part"] == "bare":
            return defense.undefended()
        copies = int(message.get("foreseen", 0))
        return defense.answering(copies) if copies else defense

    def _draw(self, message: Mapping[str, Any]) -> Randomness:
        return Randomness(message["seeds"], self.device, streams=message["streams"])

    def _forward(self, target: Defense, images: Tensor, message: Mapping[str, Any]) -> Answer:
        number = message["graph"]
        with torch.set_grad_enabled(number is not None):
            leaf = images.requires_grad_(number is not None)
            outputs = {name: _plain(name, value) for name, value in self._outputs(target, leaf, message).items()}
        if number is not None:
            self.graphs[int(number)] = Graph(leaf, outputs)
        return outputs

    def _outputs(self, target: Defense, images: Tensor, message: Mapping[str, Any]) -> Answer:
        op = message["op"]
        if op == "logits":
            return {"logits": target.logits(images)}
        backward, copies = message["backward"], int(message["copies"])
        if op == "adaptive_logits":
            return {"logits": target.adaptive_logits(images, self._draw(message), copies, backward)}
        if op == "adaptive_score":
            return {"score": target.adaptive_score(images, self._draw(message), copies, backward)}
        if op == "adaptive_features":
            layers = message["layers"]
            target.check_layers(layers)
            features, logits = target.adaptive_features(images, self._draw(message), copies, layers, backward)
            return {**{f"feature {layer}": features[layer] for layer in layers}, "logits": logits}
        raise ValueError(f"a host has no call '{op}'")

    def _backward(self, number: int, given: Mapping[str, Tensor]) -> Answer:
        graph = self.graphs[number]
        outputs = [graph.outputs[name] for name in given]
        cotangents = [value.to(self.device) for value in given.values()]
        (gradient,) = torch.autograd.grad(outputs, graph.leaf, cotangents, retain_graph=True)
        return {"gradient": _plain("the gradient", gradient)}


def _told(decision: object) -> Answer:
    if not isinstance(decision, Decision):
        raise TypeError(f"predict returned {type(decision).__name__}; return a benchmark.defense.Decision")
    said = {"probs": decision.probs, "label": decision.label, "score": decision.score, "copies": decision.copies}
    floats = ("probs", "score")
    return {
        name: _plain(f"Decision.{name}", value).to(torch.float32 if name in floats else torch.int64)
        for name, value in said.items()
        if value is not None
    }


def _plain(name: str, value: object) -> Tensor:
    """The value as a tensor of no subclass.

    Raises:
        TypeError: it is no tensor.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is of type {type(value).__name__}, not a tensor")
    if type(value) is Tensor:
        return value
    return value.as_subclass(Tensor)
