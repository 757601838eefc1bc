"""What a check found."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "failed", "warning", "skipped"]


@dataclass(frozen=True)
class Finding:
    """A status and, but for a bare success, one sentence: what is wrong and how to mend it."""

    status: Status
    message: str = ""


def ok(note: str = "") -> Finding:
    """The contract is kept."""
    return Finding("ok", note)


def failed(sentence: str) -> Finding:
    """The contract is broken."""
    return Finding("failed", sentence)


def warning(sentence: str) -> Finding:
    """The contract is kept to the letter, but something looks wrong."""
    return Finding("warning", sentence)


def skipped(reason: str) -> Finding:
    """The check could not be made."""
    return Finding("skipped", reason)
