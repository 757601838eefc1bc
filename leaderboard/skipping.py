"""What skipping costs in truth and saves in work: the same entries' rows with and without ``--individual``."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.matrix.rules import rules
from benchmark.results.schema import NORMS
from leaderboard.costs import track_costs
from leaderboard.entries import EntryRows, is_unit_wide

_PAIR = ["submission", "submission_hash", "dataset", "matrix_hash", "profile"]
"""Rows are compared where these agree."""

_IMAGE = [*_PAIR, "track", "norm", "sample_id"]


@dataclass(frozen=True)
class Spent:
    """What the counted cells spent in all: seconds, forward and backward passes; copied rows are counted once."""

    seconds: float
    queries: float
    gradients: float

    def plus(self, other: "Spent") -> "Spent":
        """Both together."""
        return Spent(self.seconds + other.seconds, self.queries + other.queries, self.gradients + other.gradients)


@dataclass(frozen=True)
class Comparison:
    """Worst cases of one track, norm and budget over the counted cells, image by image.

    Attributes:
        entries: entries (submission and data set) compared.
        images: images judged in both runs, summed over entries.
        missed: images that are misclassified only where every cell attacked every image.
        only_skipping: images that are misclassified only in the skipping run; attacks are randomised per image alone,
            so this and ``missed`` are what a cell does at other budgets or after others.
        skipping, individual: what either run spent at this budget.
    """

    track: str
    norm: str
    eps_255: float
    entries: int
    images: int
    missed: int
    only_skipping: int
    skipping: Spent
    individual: Spent

    def plus(self, other: "Comparison") -> "Comparison":
        """The same of both, at one track, norm and budget."""
        return Comparison(
            self.track,
            self.norm,
            self.eps_255,
            self.entries + other.entries,
            self.images + other.images,
            self.missed + other.missed,
            self.only_skipping + other.only_skipping,
            self.skipping.plus(other.skipping),
            self.individual.plus(other.individual),
        )


def compare(skipping: Iterable[EntryRows], individual: Iterable[EntryRows]) -> list[Comparison]:
    """Compare skipping runs with individual ones of the same entries, data sets, images, profile and matrix.

    An image is robust at a budget when it is right under every counted cell there and below, for balls are nested.
    Images with a gap in either run are left out.

    Args:
        skipping: entries; where official and other rows of an entry are among them, the official ones are taken.
        individual: entries of ``--individual`` runs.
    """
    ours = {(one.submission, one.dataset): one for one in sorted(skipping, key=lambda entry: entry.official)}
    sums: dict[tuple[str, str, float], Comparison] = {}
    for theirs in individual:
        mine = ours.get((theirs.submission, theirs.dataset))
        for one in [] if mine is None else _compared(mine, theirs):
            key = (one.track, one.norm, one.eps_255)
            sums[key] = sums[key].plus(one) if key in sums else one
    return sorted(sums.values(), key=lambda one: (rules().place_of(one.track), NORMS.index(one.norm), one.eps_255))


def _compared(one: EntryRows, other: EntryRows) -> list[Comparison]:
    ours, theirs = _counted(one), _counted(other)
    if ours.empty or theirs.empty:
        return []
    right, right_alone = _standing(ours), _standing(theirs)
    shared = right.index.intersection(right_alone.index)
    right, right_alone = right.loc[shared], right_alone.loc[shared]
    spent, spent_alone = _spent(one, ours, shared), _spent(other, theirs, shared)
    found = []
    for eps in right.columns.intersection(right_alone.columns):
        both = pd.DataFrame({"one": right[eps], "other": right_alone[eps]}).dropna().reset_index()
        for (track, norm), part in both.groupby(["track", "norm"], sort=False):
            kept, kept_alone = part["one"].astype(bool), part["other"].astype(bool)
            key = (str(track), str(norm), float(eps))
            found.append(
                Comparison(
                    *key,
                    entries=1,
                    images=len(part),
                    missed=int((kept & ~kept_alone).sum()),
                    only_skipping=int((kept_alone & ~kept).sum()),
                    skipping=spent.get(key, Spent(0.0, 0.0, 0.0)),
                    individual=spent_alone.get(key, Spent(0.0, 0.0, 0.0)),
                )
            )
    return found


def _counted(entry: EntryRows) -> pd.DataFrame:
    """Return the rows of cells that enter worst cases, without images that have a gap; text is plain text."""
    parts = [rows[~rows["unranked"] & ~is_unit_wide(rows)] for _, rows in entry.attacks()]
    if not parts:
        return entry.track("")
    rows = pd.concat([part.astype(dict.fromkeys(_IMAGE, object)) for part in parts], ignore_index=True)
    gaps = pd.MultiIndex.from_frame(rows.loc[(rows["status"] != "ok").to_numpy(), _IMAGE])
    return rows[~pd.MultiIndex.from_frame(rows[_IMAGE]).isin(gaps)]


def _standing(rows: pd.DataFrame) -> pd.DataFrame:
    """Return per image and budget 1.0 if robust, 0.0 if misclassified there or below, NaN without that budget."""
    by_eps = rows.assign(correct=rows["correct"].astype(float)).pivot_table(
        index=_IMAGE, columns="eps_255", values="correct", aggfunc="min"
    )
    return by_eps.sort_index(axis=1).cummin(axis=1)


def _spent(entry: EntryRows, rows: pd.DataFrame, images: "pd.Index[Any]") -> dict[tuple[str, str, float], Spent]:
    """Sum up, per track, norm and budget, what was spent on these images."""
    rows = rows[pd.MultiIndex.from_frame(rows[_IMAGE]).isin(images)]
    sums: dict[tuple[str, str, float], Spent] = {}
    for (track, eps), part in rows.groupby(["track", "eps_255"]):
        for one in track_costs(entry, str(track), part):
            key = (one.track, one.norm, float(str(eps)))
            sums[key] = sums.get(key, Spent(0.0, 0.0, 0.0)).plus(
                Spent(one.seconds, one.queries * one.attacked, one.gradients * one.attacked)
            )
    return sums
