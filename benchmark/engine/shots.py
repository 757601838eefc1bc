"""What one cell did to one image, and how it is read back from rows that another unit computed."""

from dataclasses import dataclass

import pyarrow as pa

from benchmark.engine.rows import Outcome


@dataclass(frozen=True)
class Shot:
    """The judged outcome, or why there is none, and what it cost.

    Attributes:
        outcome: None for a gap.
        reason: why there is a gap, or how the candidate was projected.
        broken_by: set on a shot whose verdict follows from another cell, which was therefore not run.
        same_as: track of the unit that computed the shot, where it was not this one.
    """

    outcome: Outcome | None
    reason: str
    linf: float = 0.0
    l2: float = 0.0
    pixels: int = 0
    queries: int = 0
    gradients: int = 0
    seconds: float = 0.0
    skipped: bool = False
    broken_by: str = ""
    same_as: str = ""

    @property
    def columns(self) -> dict[str, object]:
        """Its columns of the row, besides the outcome."""
        told = ["skipped", "broken_by", "same_as"]
        if not self.skipped:
            told += ["linf", "l2", "pixels", "queries", "gradients", "seconds"]
        return {name: getattr(self, name) for name in told}


def shots_of(table: pa.Table, cell_name: str) -> dict[tuple[float, str], Shot]:
    """Read a cell's shots back from the rows of the unit that computed it, by (eps, sample)."""
    shots: dict[tuple[float, str], Shot] = {}
    for row in table.to_pylist():
        if row["attack"] != cell_name:
            continue
        outcome = None
        if row["pred"] is not None:
            outcome = Outcome(
                row["pred"],
                row["right_draws"],
                row["draws"],
                row["abstained"],
                row["score"],
                None,
                row["copies"],
            )
        shots[(row["eps_255"], row["sample_id"])] = Shot(
            outcome,
            row["reason"],
            row["linf"] or 0.0,
            row["l2"] or 0.0,
            row["pixels"] or 0,
            row["queries"] or 0,
            row["gradients"] or 0,
            row["seconds"] or 0.0,
            row["skipped"],
            row["broken_by"],
        )
    return shots
