"""One call of each fork is put to the next fork too: a defense that answers by what it was asked before is found out.

Which call it is nobody knows beforehand, so that no state which grows with calls, wherever it is kept, goes unseen for
long.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmark.host.wire import CAPACITY

TOLERANCE = 1e-4
"""By how much two answers to one call may differ, for each unit of the largest number in them."""

LARGEST = CAPACITY // 8
"""Bytes of a call's tensors that are kept to be put again."""

HISTORY_DEPENDENT = (
    "the defense answers by what it was asked before: a fresh copy of it gives another answer to the same call"
)


@dataclass
class Call:
    """A call that a fork has answered.

    Attributes:
        message: its plain part.
        given: its tensors.
        answer: the tensors of its answer.
        seconds: that an answer may take.
        back: its backward pass, if one was asked for.
    """

    message: Mapping[str, Any]
    given: dict[str, Tensor]
    answer: dict[str, Tensor]
    seconds: float
    back: "Call | None" = None

    def answered_alike(self, again: Mapping[str, Tensor]) -> bool:
        """Whether another answer is the same but for the last bits, and labels that they tip."""
        told = self.answer
        if told.keys() != again.keys():
            return False
        same = all(_same(value, again[name]) for name, value in told.items() if name != "label")
        return same and ("label" not in told or _same_labels(told["label"], again["label"], told.get("probs")))


@dataclass
class Audit:
    """Draws one of the calls of a fork, each of them as likely as another."""

    chosen: Call | None = None
    _seen: int = field(default=0)

    def note(
        self, message: Mapping[str, Any], given: Mapping[str, Tensor], answer: Mapping[str, Tensor], seconds: float
    ) -> None:
        """Take note of a call and its answer; an attack may go on to write into these tensors."""
        if message["op"] == "backward":
            self._note_gradient(message, given, answer, seconds)
            return
        self._seen += 1
        if secrets.randbelow(self._seen) == 0:
            size = sum(tensor.nbytes for tensor in given.values())
            self.chosen = Call(message, _copied(given), _copied(answer), seconds) if size <= LARGEST else None

    def _note_gradient(
        self, message: Mapping[str, Any], given: Mapping[str, Tensor], answer: Mapping[str, Tensor], seconds: float
    ) -> None:
        call = self.chosen
        if call is not None and message["graph"] == call.message["graph"] and call.back is None:
            call.back = Call(message, _copied(given), _copied(answer), seconds)


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _same_labels(told: Tensor, again: Tensor, probs: Tensor | None) -> bool:
    """Whether labels differ only where the two largest probabilities are as good as equal: attacks seek such images."""
    if told.shape != again.shape or told.dtype != again.dtype:
        return False
    differ = told != again
    if probs is None or probs.dim() != 2 or len(probs) != len(told) or probs.shape[1] < 2:
        return not bool(differ.any())
    largest = probs.topk(2, dim=1).values
    return not bool((differ & (largest[:, 0] - largest[:, 1] > 2 * TOLERANCE)).any())


def _same(told: Tensor, again: Tensor) -> bool:
    if told.shape != again.shape or told.dtype != again.dtype:
        return False
    if not told.is_floating_point():
        return torch.equal(told, again)
    most = float(told.nan_to_num(0.0, 0.0, 0.0).abs().max()) if told.numel() else 0.0
    return torch.allclose(told, again, rtol=0.0, atol=TOLERANCE * max(most, 1e-12), equal_nan=True)
