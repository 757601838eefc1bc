"""What the foot of every page says of the rows that the site is made from."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from leaderboard.entries import EntryRows


@dataclass(frozen=True)
class Footing:
    """Day of the newest official row (``2026-01-31``, UTC; empty without rows), and the harness versions, ascending."""

    newest: str
    harness: tuple[str, ...]


def footing(found: Iterable[EntryRows]) -> Footing:
    """Read the footing off official entries: off the rows alone, so that the same rows give the same pages."""
    official = [entry for entry in found if entry.official]
    days = [when[:10] for entry in official for when in entry.provenance("started_at", entry.held.tracks)]
    versions = {version for entry in official for version in entry.provenance("harness_version", entry.held.tracks)}
    return Footing(max(days, default=""), tuple(sorted(versions, key=_in_order)))


def _in_order(version: str) -> tuple[list[int], str]:
    """Sort 0.3.10 after 0.3.9."""
    return [int(part) for part in re.findall(r"\d+", version)], version
