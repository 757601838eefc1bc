"""Adversarial images by outsiders: verified and judged as an attack's own, and kept as rows of their own track."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from benchmark.engine.clean_track import judge_clean, judged, make_judge
from benchmark.engine.rows import Outcome, RowBook
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.results.schema import EXTERNAL
from benchmark.verify import verify


@dataclass(frozen=True)
class Offer:
    """What became of one image that was offered.

    Attributes:
        sample_id: of the clean image.
        broken: whether the deployed system gets the adversarial image wrong, though it gets the clean one right.
        note: how it had to be mended, or why it is none; empty for a sound one.
    """

    sample_id: str
    broken: bool
    note: str


def external_rows(
    workplace: Workplace,
    unit: Unit,
    offered: Mapping[str, Tensor],
    by: str,
    norm: str,
    eps_255: float,
    before: Mapping[str, Mapping[str, object]],
) -> tuple[pa.Table, list[Offer]]:
    """Verify and judge adversarial images of the official subset.

    Every image of the subset has a row: one for which nothing was offered stands as it does when clean. Where others
    broke an image before, their row remains.

    Args:
        workplace: the run.
        unit: entry and data set, in the track :data:`~benchmark.results.schema.EXTERNAL`.
        offered: sample id -> image (C, H, W) float32.
        by: who found them.
        norm: of the ball.
        eps_255: its radius, in the units of that norm.
        before: sample id -> an earlier row that holds a broken image.

    Raises:
        HostFailed, CallFailed: the entry cannot be asked.
    """
    split, judge = workplace.split(unit.dataset, unit.track), make_judge(workplace, unit)
    clean = judge_clean(judge, split, workplace)
    places = [place for place, name in enumerate(split.ids) if name in offered]
    part = split.subset(places)
    images, labels = part.images.to(workplace.device), part.labels.to(workplace.device)
    given = torch.stack([offered[name] for name in part.ids]).to(workplace.device)
    checked = verify(given, images, norm, eps_255)
    purposes = [(part.dataset, name, EXTERNAL, f"{eps_255:g}", "adversarial") for name in part.ids]
    verdicts = judged(workplace, judge, checked.images, labels, purposes)
    book, offers = RowBook(workplace, unit, split), []
    common: dict[str, Any] = {"attack": EXTERNAL, "norm": norm, "eps_255": eps_255, "unranked": False}
    found = dict(zip(places, range(len(places)), strict=True))
    for place, name in enumerate(split.ids):
        was_right, at = clean[place].right, found.get(place)
        if at is not None:
            offers.append(Offer(name, was_right and not verdicts[at].right, checked.notes[at]))
        if name in before:
            book.add(place, _outcome(before[name]), clean[place].pred, False, **common, **_told(before[name]))
        elif at is None or bool(checked.rejected[at]):
            by_clean = "" if was_right else "clean"
            book.add(place, clean[place], clean[place].pred, was_right, skipped=True, broken_by=by_clean, **common)
        else:
            distances = {
                "linf": float(checked.linf[at]),
                "l2": float(checked.l2[at]),
                "pixels": int(checked.pixels[at]),
            }
            right = was_right and verdicts[at].right
            told = {"suite": by, "reason": checked.notes[at]}
            book.add(place, verdicts[at], clean[place].pred, right, **common, **distances, **told)
    return book.table(), offers


_OUTCOME = ("pred", "right_draws", "draws", "abstained")
_TOLD = ("suite", "reason", "linf", "l2", "pixels")


def _outcome(row: Mapping[str, object]) -> Outcome:
    return Outcome(**{name: row[name] for name in _OUTCOME}, score=None, probs=None, copies=None)  # type: ignore[arg-type]


def _told(row: Mapping[str, object]) -> dict[str, Any]:
    return {name: row[name] for name in _TOLD}
