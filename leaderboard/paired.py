"""The difference between two entries, image by image."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.results.schema import ATTACK_TRACKS, HEADLINE_EPS
from leaderboard.bootstrap import Floats, bootstrap, interval
from leaderboard.entries import EntryRows, Required, entries
from leaderboard.record import ALL_TRACKS
from leaderboard.requirements import in_force
from leaderboard.verdicts import Verdicts, clean_scores, verdicts


@dataclass(frozen=True)
class Difference:
    """Mean of the first entry's scores less the second's in [-1, 1], with its 95 % interval, on ``n`` common images.

    ``track`` is ``clean``, an attack track (worst case over its L-inf cells at 8/255) or ``all`` for those together.
    """

    dataset: str
    track: str
    first: float
    second: float
    low: float
    high: float
    n: int

    @property
    def value(self) -> float:
        """First less second."""
        return self.first - self.second

    @property
    def verdict(self) -> str:
        """What the interval lets one say of the first entry."""
        return "higher" if self.low > 0 else "lower" if self.high < 0 else "no significant difference"


def differences(rows: pd.DataFrame, first: str, second: str, required: Required | None = None) -> list[Difference]:
    """Compare two submissions on every data set that both were run on, clean and under each track's worst case.

    Both scores of an image are resampled together, by patient, so that what makes an image hard for both cancels out.
    A track is left out where either entry lacks a verdict on a common image, and all tracks together where either lacks
    a track: it may hold the worst case. Attacks of other matrices or profiles are not compared. Official rows are
    preferred.

    Args:
        rows: result rows of any number of submissions and data sets.
        first, second: names of the submissions.
        required: what the matrix asks of an entry; by default the matrix in force.

    Returns:
        By data set, then clean, each attack track and all of them.
    """
    return differences_of(entries(rows[rows["submission"].isin([first, second])]), first, second, required)


def differences_of(
    everyone: list[EntryRows], first: str, second: str, required: Required | None = None, uncounted: bool = False
) -> list[Difference]:
    """Compare as :func:`differences` does, from rows that are split into entries already.

    With ``uncounted`` the worst case is over the unranked cells too, which the ranking leaves out.
    """
    chosen: dict[tuple[str, str], EntryRows] = {}
    for entry in everyone:
        chosen.setdefault((entry.dataset, entry.submission), entry)
    datasets = sorted({dataset for dataset, _ in chosen})
    found = []
    for dataset in datasets:
        one, other = chosen.get((dataset, first)), chosen.get((dataset, second))
        if one is not None and other is not None:
            found += [*_clean(one, other), *_attacked(one, other, required, uncounted)]
    return found


def _clean(one: EntryRows, other: EntryRows) -> list[Difference]:
    if any((entry.track("clean")["status"] != "ok").any() for entry in (one, other)):
        return []
    scores = [clean_scores(entry) for entry in (one, other)]
    scores = [each[~each.index.duplicated()] for each in scores]
    common = scores[0].index.intersection(scores[1].index).sort_values()
    about = one.track("clean").drop_duplicates("sample_id").set_index("sample_id")
    about.index = about.index.astype(str)
    groups = about["group_id"].astype(object).fillna(about.index.to_series()).reindex(common)
    values = [each.reindex(common).to_numpy(dtype=np.float64) for each in scores]
    return _difference(one.dataset, "clean", values, [str(group) for group in groups])


def _attacked(one: EntryRows, other: EntryRows, required: Required | None, uncounted: bool) -> list[Difference]:
    if any(one.provenance(column) != other.provenance(column) for column in ("matrix_hash", "profile")):
        return []
    required = required or in_force()
    judged = [verdicts(entry, required) for entry in (one, other)]
    whole = all({cell.track for cell in each.cells} >= set(required.attack_tracks) for each in judged)
    common = sorted(set(judged[0].images) & set(judged[1].images))
    place = dict(zip(judged[0].images, judged[0].groups, strict=True))
    groups = [place[image] for image in common]
    found = []
    for track in (*ATTACK_TRACKS, *([ALL_TRACKS] if whole else [])):
        worst = [_worst(each, track, common, uncounted) for each in judged]
        if all(np.isfinite(values).all() and len(values) for values in worst):
            found += _difference(one.dataset, track, worst, groups)
    return found


def _worst(judged: Verdicts, track: str, images: list[str], uncounted: bool) -> Floats:
    """Worst score of each image, NaN without a verdict in every cell; nothing where the track has no cell."""
    at_headline = [
        index
        for index, cell in enumerate(judged.cells)
        if (cell.norm, cell.eps_255) == ("linf", HEADLINE_EPS) and track in (cell.track, ALL_TRACKS)
    ]
    columns = at_headline if uncounted else judged.ranked(at_headline)
    if not columns:
        return np.zeros(0)
    scores, complete = judged.worst(columns)
    place = {image: index for index, image in enumerate(judged.images)}
    return np.asarray(np.where(complete, scores, np.nan)[[place[image] for image in images]], dtype=np.float64)


def _difference(dataset: str, track: str, values: list[Floats], groups: list[str]) -> list[Difference]:
    if not groups:
        return []
    low, high = interval(bootstrap(groups).means((values[0] - values[1])[:, None]))
    first, second = (float(each.mean()) for each in values)
    return [Difference(dataset, track, first, second, float(low[0]), float(high[0]), len(groups))]
