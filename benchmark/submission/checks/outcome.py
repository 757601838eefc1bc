"""What a check found."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "failed", "warning", "skipped"]


@dataclass(frozen=True)
class Outcome:
    """A status and, but for a bare success, one sentence: what is wrong and how to mend it."""

    status: Status
    message: str = ""


def ok(note: str = "") -> Outcome:
    """The contract is kept."""
    return Outcome("ok", note)


def failed(sentence: str) -> Outcome:
    """The contract is broken."""
    return Outcome("failed", sentence)


def warning(sentence: str) -> Outcome:
    """The contract is kept to the letter, but something looks wrong."""
    return Outcome("warning", sentence)


def skipped(reason: str) -> Outcome:
    """The check could not be made."""
    return Outcome("skipped", reason)
