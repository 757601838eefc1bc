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
    """

    outcome: Outcome | None
    reason: str
    seed: int
    linf: float = 0.0
    l2: float = 0.0
    pixels: int = 0
    queries: int = 0
    gradients: int = 0
    seconds: float = 0.0
    spared: bool = False
    broken_by: str = ""

    @property
    def columns(self) -> dict[str, object]:
        """Its columns of the row, besides the outcome."""
        told = ["seed", "spared", "broken_by"]
        if not self.spared:
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
                row["prob_true"],
                row["probs"],
                row["copies"],
            )
        shots[(row["eps_255"], row["sample_id"])] = Shot(
            outcome,
            row["reason"],
            row["seed"],
            row["linf"] or 0.0,
            row["l2"] or 0.0,
            row["pixels"] or 0,
            row["queries"],
            row["gradients"],
            row["seconds"],
            row["spared"],
            row["broken_by"],
        )
    return shots
