"""Training records beside weight files: which of them tell how a file was made. Imports no torch."""

import json
from pathlib import Path
from typing import Any

UNTRAINED = "untrained"
"""``method`` in the record of a scaffold's weights, which nobody trained and every training may replace."""


def record_path(weights: Path) -> Path:
    """Where the record of a weight file lies: what the run was and cost, JSON."""
    return weights.with_name(f"{weights.stem}.training.json")


def table_path(weights: Path) -> Path:
    """Where the log of a weight file lies as CSV."""
    return weights.with_name(f"{weights.stem}.log.csv")


def curve_path(weights: Path) -> Path:
    """Where the log of a weight file lies as a picture, SVG."""
    return weights.with_name(f"{weights.stem}.curve.svg")


def companions(weights: Path) -> tuple[Path, Path, Path]:
    """What training leaves beside a weight file: log, curve and record."""
    return table_path(weights), curve_path(weights), record_path(weights)


def untrained_record(dataset: str, sha256: str) -> bytes:
    """The record of a scaffold's weights."""
    return (json.dumps({"method": UNTRAINED, "dataset": dataset, "sha256": sha256}, indent=2) + "\n").encode()


def read_record(path: Path) -> dict[str, Any] | None:
    """Read a record; None where there is none or it is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def records_of(weights: Path, sha256: str) -> list[dict[str, Any]]:
    """Records beside a weight file, those of repeats included, that name ``sha256`` as what they made."""
    beside = (path for path in weights.parent.iterdir() if _is_record(path.name, weights.stem))
    return [record for record in map(read_record, sorted(beside)) if record and record.get("sha256") == sha256]


def _is_record(name: str, stem: str) -> bool:
    return name.startswith(f"{stem}.") and name.endswith(".training.json")


def is_untrained(weights: Path, sha256: str) -> bool:
    """Whether a weight file is a scaffold's, as a record beside it tells."""
    return any(record.get("method") == UNTRAINED for record in records_of(weights, sha256))
