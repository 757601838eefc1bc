"""The difference between two entries, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.matrix.rules import rules
from leaderboard.bootstrap import Floats, bootstrap, interval
from leaderboard.entries import EntryRows, Required, entries, once_per_entry
from leaderboard.gaps import Gaps
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
    everyone: Sequence[EntryRows], first: str, second: str, required: Required | None = None, uncounted: bool = False
) -> list[Difference]:
    """Compare as :func:`differences` does, from rows that are split into entries already.

    With ``uncounted`` the worst case is over the unranked cells too, which the ranking leaves out.
    """
    pairs = _pairs(everyone, first, second)
    return [told for one, other in pairs for told in (*_clean(one, other), *_attacked(one, other, required, uncounted))]


@dataclass(frozen=True)
class Undecided:
    """A track, or ``all``, on which two entries cannot be compared, and why."""

    dataset: str
    track: str
    reason: str


def undecided_of(
    everyone: Sequence[EntryRows], first: str, second: str, required: Required | None = None
) -> list[Undecided]:
    """Return what :func:`differences_of` leaves out, with the reason: a gap, a track without rows, another matrix."""
    told = {(one.dataset, one.track) for one in differences_of(everyone, first, second, required)}
    found = []
    for one, other in _pairs(everyone, first, second):
        apart = _settings_apart(one, other)
        if apart:
            found.append(Undecided(one.dataset, ALL_TRACKS, apart))
            continue
        for track in ("clean", *rules().attack_tracks, ALL_TRACKS):
            if (one.dataset, track) not in told:
                reasons = (_why(entry, track, required) for entry in (one, other))
                found.append(Undecided(one.dataset, track, next(filter(None, reasons), "no verdict on some images")))
    return found


def _why(entry: EntryRows, track: str, required: Required | None) -> str:
    tracks = (required or in_force()).attack_tracks if track == ALL_TRACKS else (track,)
    absent = [name for name in tracks if name not in entry.tracks]
    if absent:
        return f"{entry.submission} has no rows of the track {', '.join(absent)}"
    gaps = Gaps.of(entry)
    if track == "clean":
        return f"{entry.submission}: {gaps.in_track(track)}" if gaps.in_track(track) else ""
    judged = verdicts(entry, required)
    columns = [c for c in judged.ranked(range(len(judged.cells))) if judged.cells[c].track in tracks]
    missing = [judged.cells[c] for c in columns if np.isnan(judged.scores[:, c]).any()]
    return f"{entry.submission}: {gaps.among(missing)}" if missing else ""


def _pairs(everyone: Sequence[EntryRows], first: str, second: str) -> list[tuple[EntryRows, EntryRows]]:
    """The two entries on each data set that has both; official rows are preferred."""
    chosen: dict[tuple[str, str], EntryRows] = {}
    for entry in everyone:
        chosen.setdefault((entry.dataset, entry.submission), entry)
    datasets = sorted({dataset for dataset, _ in chosen})
    pairs = ((chosen.get((dataset, first)), chosen.get((dataset, second))) for dataset in datasets)
    return [(one, other) for one, other in pairs if one is not None and other is not None]


def _settings_apart(one: EntryRows, other: EntryRows) -> str:
    """Say in what two entries' runs differ so that attacks do not compare; empty where they agree."""
    for column, words in (("matrix_hash", "matrices"), ("profile", "profiles")):
        values = [", ".join(entry.provenance(column, rules().attack_tracks)) for entry in (one, other)]
        if values[0] != values[1]:
            told = f" ({values[0]} and {values[1]})" if column == "profile" else ""
            return f"evaluated with different {words}{told}"
    return ""


def _clean(one: EntryRows, other: EntryRows) -> list[Difference]:
    sides = [_clean_side(entry) for entry in (one, other)]
    if not all(len(scores) for scores, _ in sides):
        return []
    common = sides[0][0].index.intersection(sides[1][0].index).sort_values()
    values = [scores.reindex(common).to_numpy(dtype=np.float64) for scores, _ in sides]
    return _difference(one.dataset, "clean", values, [str(group) for group in sides[0][1].reindex(common)])


@once_per_entry
def _clean_side(entry: EntryRows) -> tuple[pd.Series, pd.Series]:
    """Clean scores and groups by image; empty where an image has no verdict."""
    rows = entry.track("clean")
    if (rows["status"] != "ok").any():
        rows = rows.iloc[:0]
    scores = clean_scores(entry) if len(rows) else pd.Series(dtype=np.float64)
    about = rows.drop_duplicates("sample_id").set_index("sample_id")
    about.index = about.index.astype(str)
    groups = about["group_id"].astype(object).fillna(about.index.to_series())
    return scores[~scores.index.duplicated()], groups


def _attacked(one: EntryRows, other: EntryRows, required: Required | None, uncounted: bool) -> list[Difference]:
    if _settings_apart(one, other):
        return []
    required = required or in_force()
    judged = [verdicts(entry, required) for entry in (one, other)]
    whole = all({cell.track for cell in each.cells} >= set(required.attack_tracks) for each in judged)
    common = sorted(set(judged[0].images) & set(judged[1].images))
    place = dict(zip(judged[0].images, judged[0].groups, strict=True))
    groups = [place[image] for image in common]
    found = []
    for track in (*rules().attack_tracks, *([ALL_TRACKS] if whole else [])):
        worst = [_worst(each, track, common, uncounted) for each in judged]
        if all(np.isfinite(values).all() and len(values) for values in worst):
            found += _difference(one.dataset, track, worst, groups)
    return found


def _worst(judged: Verdicts, track: str, images: list[str], uncounted: bool) -> Floats:
    """Worst score of each image, NaN without a verdict in every cell; nothing where the track has no cell."""
    at_headline = [
        index
        for index, cell in enumerate(judged.cells)
        if (cell.norm, cell.eps_255) == rules().ranking.place and track in (cell.track, ALL_TRACKS)
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
