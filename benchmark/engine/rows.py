"""Collecting the rows of a unit as columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from benchmark import __version__
from benchmark.data.split import Split
from benchmark.engine.made_by import code_hash, code_of
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.host.sandbox import isolation
from benchmark.judge import Judgement
from benchmark.results.compact import compacted
from benchmark.results.migrate import value_type
from benchmark.results.schema import SCHEMA
from benchmark.task.kinds import robust


@dataclass(frozen=True)
class Outcome:
    """The deployed system's answer on one image of one cell, as it enters a row."""

    pred: int
    right_draws: int
    draws: int
    abstained: bool
    score: float | None
    probs: list[float] | None
    copies: int | None = None

    @property
    def right(self) -> bool:
        """Not broken."""
        return bool(robust(self.right_draws, self.draws))


def outcomes(judgement: Judgement) -> list[Outcome]:
    """One outcome per image."""
    first, count = judgement.first, len(judgement.right_draws)
    scores = [None] * count if first.score is None else first.score.tolist()
    copies = [None] * count if first.copies is None else first.copies.tolist()
    probs = first.probs.tolist()
    return [
        Outcome(pred, right, judgement.draws, pred == -1, score, row, taken)
        for pred, right, score, row, taken in zip(
            first.label.tolist(), judgement.right_draws.tolist(), scores, probs, copies, strict=True
        )
    ]


class RowBook:
    """Rows of one unit; what is common to all of them is filled in once, at the end."""

    def __init__(self, workplace: Workplace, unit: Unit, split: Split) -> None:
        self._workplace = workplace
        self._unit = unit
        self._split = split
        self._labels = split.labels.tolist()
        self._rows: list[dict[str, Any]] = []
        self._started = datetime.now(UTC).isoformat(timespec="seconds")

    def add(
        self, image: int, outcome: Outcome | None, pred_clean: int | None, correct: bool | None, **cell: Any
    ) -> None:
        """Add the row of one image; ``outcome`` is None for a gap and for a sequence, whose answers are in lists."""
        row: dict[str, Any] = {
            "sample_id": self._split.ids[image],
            # Nobody's patient: the image stands for itself.
            "group_id": group if (group := self._split.groups[image]) != self._split.ids[image] else None,
            "label": self._labels[image],
            "pred_clean": pred_clean,
            "correct": correct,
            "status": "ok",
            "reason": "",
            "suite": "",
            "norm": "",
            "skipped": False,
            "broken_by": "",
            "same_as": "",
            "queries": 0,
            "gradients": 0,
            "seconds": 0.0,
        }
        if outcome is not None:
            row |= {
                "pred": outcome.pred,
                "abstained": outcome.abstained,
                "draws": outcome.draws,
                "right_draws": outcome.right_draws,
                "score": outcome.score,
                "probs": outcome.probs,
                "copies": outcome.copies,
            }
        self._rows.append(row | cell)

    def add_gap(self, image: int, pred_clean: int | None, reason: str, **cell: Any) -> None:
        """Add a row that says that this cell could not run on this image; paths within the project become relative."""
        told = reason.replace(f"{self._workplace.root.path}/", "")
        self.add(image, None, pred_clean, False, status="gap", reason=told[:500], **cell)

    def table(self) -> pa.Table:
        """All rows under the schema."""
        workplace, unit = self._workplace, self._unit
        entry = workplace.entry(unit.submission)
        common = {
            "submission": entry.name,
            "submission_hash": workplace.entry_hash(unit.submission, unit.dataset),
            "dataset": unit.dataset,
            "dataset_hash": workplace.split(unit.dataset, unit.track).content_hash,
            "split": self._split.name,
            "task": workplace.card(unit.dataset).task,
            "matrix_version": workplace.version_of(unit.track),
            "matrix_hash": workplace.hash_of(unit.track),
            "profile": workplace.settings.profile,
            "official": workplace.official,
            "individual": workplace.settings.individual,
            "track": unit.track,
            "device": workplace.device.type,
            "isolation": isolation(),
            "made_by": code_hash(*code_of(unit.track))[:16],
            "harness_version": __version__,
            "git_commit": workplace.git_commit,
            "started_at": self._started,
        }
        return compacted(to_table([common | row for row in self._rows]))


def to_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows under the schema; a column that a row does not name is null."""
    columns = {
        field.name: pa.array([row.get(field.name) for row in rows], value_type(field.type)).cast(field.type)
        for field in SCHEMA
    }
    return pa.table(columns, schema=SCHEMA)
