"""What finished cells did, kept image by image: a unit that is made anew computes only what other code made.

A file holds one cell at one budget on one chunk. Its name has the identity of all that can alter a shot: entry, data,
the cell's own parameters, draws, and the code of attack, view and judge. A changed attack, or a changed cell of the
matrix, leaves the files of all others as they are.
"""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.attacks.registry import ATTACKS, place_of
from benchmark.engine.graph import Keep
from benchmark.engine.made_by import CELL, code_hash
from benchmark.engine.rows import Outcome
from benchmark.engine.settings import CELLS, Unit
from benchmark.engine.shots import Shot
from benchmark.engine.workplace import Workplace
from benchmark.host.sandbox import isolation
from benchmark.matrix import Cell
from benchmark.randomness import content_seed
from benchmark.surrogates import DEFAULT, surrogate_hash

_OUTCOME = {
    "pred": pa.int16(),
    "right_draws": pa.int16(),
    "draws": pa.int16(),
    "abstained": pa.bool_(),
    "score": pa.float64(),
    "probs": pa.list_(pa.float64()),
    "copies": pa.int32(),
}
_SHOT = {
    "reason": pa.string(),
    "linf": pa.float64(),
    "l2": pa.float64(),
    "pixels": pa.int32(),
    "queries": pa.int64(),
    "gradients": pa.int64(),
    "seconds": pa.float64(),
}
_SCHEMA = pa.schema({"sample_id": pa.string(), **_OUTCOME, **_SHOT})


class CellStore:
    """The shots of one unit's cells that are known from before.

    Args:
        workplace: the run.
        unit: the unit.
        keep: takes files to write.
    """

    def __init__(self, workplace: Workplace, unit: Unit, keep: Keep) -> None:
        self._workplace, self._unit, self._keep = workplace, unit, keep

    def path(self, cell: Cell, eps: float) -> Path:
        """File of a cell at a budget."""
        unit = self._unit
        folder = self._workplace.settings.results / CELLS / unit.dataset / self._workplace.entry(unit.submission).name
        return folder / f"{unit.track}-{cell.name}-{eps:g}-{unit.chunk:03d}-{self._identity(cell, eps)}.parquet"

    def read(self, cell: Cell, eps: float) -> dict[str, Shot]:
        """Shots by sample; none where the file is missing or damaged."""
        try:
            rows = pq.read_table(self.path(cell, eps), schema=_SCHEMA, partitioning=None).to_pylist()
        except (pa.ArrowException, OSError, ValueError):
            return {}
        return {row["sample_id"]: Shot(Outcome(**_part(row, _OUTCOME)), **_part(row, _SHOT)) for row in rows}

    def keep(self, cell: Cell, eps: float, shots: Mapping[str, Shot]) -> None:
        """Give away the shots that have an outcome: what failed is tried again."""
        rows = [
            {"sample_id": sample}
            | {name: getattr(shot.outcome, name) for name in _OUTCOME}
            | {name: getattr(shot, name) for name in _SHOT}
            for sample, shot in shots.items()
            if shot.outcome is not None
        ]
        if rows:
            sink = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), sink, compression="zstd")
            self._keep(self.path(cell, eps), sink.getvalue())

    def _identity(self, cell: Cell, eps: float) -> str:
        workplace, unit = self._workplace, self._unit
        view = workplace.view_of(unit, cell)
        imitates = ATTACKS[cell.method].knowledge in ("training", "answers", "references")
        parts = (
            code_hash(CELL, place_of(cell.method)),
            workplace.entry_hash(unit.submission, unit.dataset),
            workplace.split(unit.dataset, unit.track).content_hash,
            workplace.training_hash(unit.dataset) if imitates else "",
            surrogate_hash(workplace.root, unit.dataset, cell.surrogate or DEFAULT) if view == "surrogate" else "",
            workplace.profile.judge_draws,
            workplace.profile.eot_samples,
            workplace.device.type,
            workplace.arithmetic,
            # Rows say how the entry was shut in; what was done otherwise is not taken up.
            isolation(),
            unit.track,
            view,
            unit.chunk,
            *(getattr(cell, name) for name in ("method", "norm", "backward")),
            sorted(cell.params.items()),
            f"{eps:g}",
        )
        return f"{content_seed(*parts):016x}"


def _part(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}
