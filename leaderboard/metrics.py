"""From rows to records: every number of the board with its bootstrap interval."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from benchmark.matrix.rules import rules
from benchmark.results.schema import DIAGNOSTIC, EXTERNAL
from leaderboard.bootstrap import Bootstrap, Floats, bootstrap, interval
from leaderboard.clean import clean_metrics
from leaderboard.clinical import ABSTAINED, class_metrics, worst_case_answers
from leaderboard.corruption import Sequences, sequences
from leaderboard.entries import EntryRows, Required, entries
from leaderboard.gaps import Gaps
from leaderboard.indicators import decision_gflops, indicators
from leaderboard.record import ALL_TRACKS, FOUND_BY_OTHERS, HEADLINE, MEAN, WORST_CASE, Record
from leaderboard.requirements import in_force
from leaderboard.verdicts import Verdicts, verdicts
from leaderboard.votes import over, vote_metrics

__all__ = ["ALL_TRACKS", "HEADLINE", "WORST_CASE", "Record", "headline", "records"]

BASELINE = "natural"
"""Submission against which relative flip probability is measured, per data set."""


def records(rows: pd.DataFrame, required: Required | None = None, baseline: str = BASELINE) -> list[Record]:
    """Compute every record of every entry in ``rows`` (as :func:`leaderboard.rows.read_rows` gives them).

    Args:
        rows: result rows of any number of submissions and data sets, official and unofficial.
        required: what the matrix asks of an entry; by default the matrix in force.
        baseline: submission that relative flip probabilities refer to.
    """
    return records_of(entries(rows), required, baseline)


def records_of(
    everyone: Sequence[EntryRows],
    required: Required | None = None,
    baseline: str = BASELINE,
    beside: Sequence[EntryRows] = (),
) -> list[Record]:
    """Compute what :func:`records` does from rows that are split into entries already.

    Entries ``beside`` these have no records and may serve as their baseline.
    """
    found: list[Record] = []
    required = required or in_force()
    for entry in everyone:
        found += _clean_records(entry)
        found += _attack_records(entry, verdicts(entry, required), required.attack_tracks)
        found += _query_records(entry)
        found += _vote_records(entry)
        found += _external_record(entry, verdicts(entry, required))
        found += _diagnostic_records(
            entry, verdicts(entry, required), _baseline_of(entry, [*everyone, *beside], baseline)
        )
        found += _corruption_records(entry, _baseline_of(entry, [*everyone, *beside], baseline))
    return found


def headline(found: Iterable[Record], submission: str, dataset: str, official: bool = True) -> Record | None:
    """Return the record that ranks an entry: worst case over all tracks at the headline budget; None without one."""
    for record in found:
        if (record.submission, record.dataset, record.official) == (submission, dataset, official) and (
            record.track,
            record.attack,
            record.metric,
            record.norm,
            record.eps_255,
        ) == (ALL_TRACKS, WORST_CASE, HEADLINE, *rules().ranking.place):
            return record
    return None


def _record(
    entry: EntryRows,
    track: str,
    metric: str,
    value: float,
    bounds: tuple[float, float],
    n: int,
    *,
    attack: str = "none",
    norm: str = "",
    eps_255: float | None = None,
    severity: int | None = None,
    missing: str = "",
    upper_bound: bool = False,
) -> Record:
    """Return a record; one for which something is ``missing`` has no value: what did not run is no zero."""
    low, high = (math.nan, math.nan) if missing else bounds
    return Record(
        entry.submission, entry.dataset, track, attack, norm, eps_255, severity, metric,
        math.nan if missing else float(value), float(low), float(high), n, entry.official, not missing, missing,
        upper_bound,
    )  # fmt: skip


def _clean_records(entry: EntryRows) -> list[Record]:
    found: list[Record] = []

    missing = Gaps.of(entry).in_track("clean")

    def add(metric: str, value: float, low: float, high: float, n: int) -> None:
        found.append(_record(entry, "clean", metric, value, (low, high), n, missing=missing))

    clean_metrics(entry, add)
    return found


def _attack_records(entry: EntryRows, judged: Verdicts, asked: tuple[str, ...]) -> list[Record]:
    """Worst case per track and over all, every suite and cell, per norm and eps; clean on the same images.

    Cells that are unranked only have a line of their own and enter no worst case.
    """
    if not judged.images:
        return []
    named: list[tuple[str, str, str, float, str]] = []
    loose: list[bool] = []
    scores: list[Floats] = []
    missing: list[str] = []
    gaps = Gaps.of(entry)

    def take(track: str, attack: str, norm: str, eps: float, columns: list[int], metric: str) -> None:
        worst, sure = judged.worst(columns)
        named.append((track, attack, norm, eps, metric))
        loose.append(judged.skips(columns))
        scores.append(worst)
        missing.append("" if sure.all() else gaps.among([judged.cells[c] for c in columns]))

    for norm, eps in sorted({(cell.norm, cell.eps_255) for cell in judged.cells}):
        here = [c for c, cell in enumerate(judged.cells) if (cell.norm, cell.eps_255) == (norm, eps)]
        for track in rules().in_order(judged.cells[c].track for c in here):
            columns = [c for c in here if judged.cells[c].track == track]
            ranked = judged.ranked(columns)
            if ranked:
                take(track, WORST_CASE, norm, eps, ranked, HEADLINE)
            for suite in sorted({judged.suites[c] for c in ranked} - {""}):
                members = [c for c in ranked if judged.suites[c] == suite]
                take(track, suite, norm, eps, members, _cell_metric(judged, members))
            for column in columns:
                take(track, judged.cells[column].attack, norm, eps, [column], _cell_metric(judged, [column]))
        # Over all tracks there is a figure only when there are all tracks: a missing one may hold the worst case.
        # In other norms than the one that ranks the matrix attacks in some tracks only; there it matters that each one
        # was run.
        ranked = judged.ranked(here)
        counted = [judged.cells[c] for c in ranked] if norm == rules().ranking.norm else judged.cells
        attacked = {cell.track for cell in counted}
        if ranked and attacked >= set(asked):
            take(ALL_TRACKS, WORST_CASE, norm, eps, ranked, HEADLINE)
    resamples = bootstrap(judged.groups)
    table = np.stack(scores, axis=1)
    low, high = interval(resamples.means(table))
    found = [
        _record(entry, track, metric, table[:, i].mean(), (low[i], high[i]), len(table),
                attack=attack, norm=norm, eps_255=eps, missing=missing[i], upper_bound=loose[i])
        for i, (track, attack, norm, eps, metric) in enumerate(named)
    ]  # fmt: skip
    return found + _worst_case_per_class(entry, judged, resamples, asked) + _clean_on_subset(entry, judged, resamples)


def _cell_metric(judged: Verdicts, columns: list[int]) -> str:
    """Name the metric: where other cells skipped images from these, it counts the images that those broke too."""
    return HEADLINE if all(judged.individual[column] for column in columns) else f"{HEADLINE}_cumulative"


def _worst_case_per_class(
    entry: EntryRows, judged: Verdicts, resamples: Bootstrap, asked: tuple[str, ...]
) -> list[Record]:
    """Figures per class under the worst case over all tracks at the headline budget, where there is one."""
    norm, eps = rules().ranking.place
    at_headline = [i for i, cell in enumerate(judged.cells) if (cell.norm, cell.eps_255) == (norm, eps)]
    columns = judged.ranked(at_headline)
    if not {judged.cells[c].track for c in columns} >= set(asked):
        return []
    answers = worst_case_answers(entry, judged, columns)
    if not np.isfinite(answers.labels).all():
        return []
    if not judged.worst(columns)[1].all():
        return []
    found: list[Record] = []

    def add(metric: str, value: float, low: float, high: float, n: int) -> None:
        found.append(
            _record(entry, ALL_TRACKS, metric, value, (low, high), n,
                    attack=WORST_CASE, norm=norm, eps_255=eps)
        )  # fmt: skip

    class_metrics(answers, resamples, add)
    abstained = (answers.given == ABSTAINED).astype(np.float64)
    low, high = interval(resamples.means(abstained[:, None]))
    add("abstention_rate", float(abstained.mean()), float(low[0]), float(high[0]), len(abstained))
    return found


def _clean_on_subset(entry: EntryRows, judged: Verdicts, resamples: Bootstrap) -> list[Record]:
    if np.isnan(judged.clean).any():
        return []
    low, high = interval(resamples.means(judged.clean[:, None]))
    value, n = judged.clean.mean(), len(judged.clean)
    return [_record(entry, "clean", "accuracy_on_attacked_subset", value, (low[0], high[0]), n)]


def _query_records(entry: EntryRows) -> list[Record]:
    """Median number of queries per cell that asks them, over the images that the cell really attacked."""
    return [record for track in rules().with_view("queries") for record in _track_query_records(entry, track)]


def _track_query_records(entry: EntryRows, track: str) -> list[Record]:
    rows = entry.track(track)
    rows = rows[(rows["status"] == "ok") & ~rows["skipped"] & (rows["queries"] > 0)]
    found = []
    by_cell = rows.groupby(["attack", "norm", "eps_255"], observed=True, sort=True)
    for (attack, norm, eps), part in by_cell:
        queries = part["queries"].to_numpy(dtype=np.float64)
        resamples = bootstrap(part["group_id"].astype(object).fillna(part["sample_id"]).astype(str).tolist())
        value = _weighted_median(queries, np.ones((1, len(queries))))[0]
        low, high = interval(np.concatenate([_weighted_median(queries, w) for w in resamples.weights()])[:, None])
        found.append(
            _record(entry, track, "queries_median", value, (low[0], high[0]), len(queries),
                    attack=str(attack), norm=str(norm), eps_255=float(str(eps)))
        )  # fmt: skip
    return found


def _vote_records(entry: EntryRows) -> list[Record]:
    found: list[Record] = []

    def add(track: str, metric: str, value: float, low: float, high: float, n: int) -> None:
        found.append(_record(entry, track, metric, value, (low, high), n, attack=over(track)))

    vote_metrics(entry, add)
    return found


def _external_record(entry: EntryRows, judged: Verdicts) -> list[Record]:
    """Share of images that only outsiders broke, at the budget that ranks; none without any."""
    here = judged.at(*rules().ranking.place)
    theirs = [place for place in here if judged.cells[place].track == EXTERNAL]
    ours = [place for place in here if place not in theirs]
    if not theirs or not ours:
        return []
    share = float((judged.worst(ours)[0] - judged.worst(here)[0]).mean())
    bounds = (math.nan, math.nan)
    return [_record(entry, EXTERNAL, FOUND_BY_OTHERS, share, bounds, len(judged.images))]


def _diagnostic_records(entry: EntryRows, judged: Verdicts, baseline: EntryRows | None) -> list[Record]:
    """The indicators of the gradient, and what a decision costs; measured once, so without an interval."""
    found = []
    for one in indicators(entry, judged):
        if math.isfinite(one.value):
            bounds = (math.nan, math.nan)
            found.append(_record(entry, DIAGNOSTIC, f"indicator_{one.name}", one.value, bounds, len(judged.images)))
    own, usual = decision_gflops(entry), decision_gflops(baseline) if baseline is not None else None
    if own and usual:
        found.append(_record(entry, DIAGNOSTIC, "inference_cost", own / usual, (math.nan, math.nan), 1))
    return found


def _weighted_median(values: Floats, weights: Floats) -> Floats:
    """Lower median of ``values`` (n) under each row of ``weights`` (r, n)."""
    order = np.argsort(values, kind="stable")
    running = np.cumsum(weights[:, order], axis=1)
    place = (running >= running[:, -1:] / 2).argmax(axis=1)
    return np.asarray(values[order][place], dtype=np.float64)


def _baseline_of(entry: EntryRows, everyone: Sequence[EntryRows], name: str) -> EntryRows | None:
    """Find the baseline judged under the same mark, else the official one."""
    same = [other for other in everyone if (other.submission, other.dataset) == (name, entry.dataset)]
    same.sort(key=lambda other: (other.official != entry.official, not other.official))
    return same[0] if same else None


def _corruption_records(entry: EntryRows, baseline: EntryRows | None) -> list[Record]:
    own = sequences(entry)
    if own is None:
        return []
    found = _flip_records(entry, own)
    reference = sequences(baseline) if baseline is not None else None
    if reference is not None and _comparable(own, reference):
        found += _relative_records(entry, own, reference)
    return found


def _comparable(own: Sequences, other: Sequences) -> bool:
    """Tell whether both saw the same images, perturbations and severities."""
    return (own.images, own.perturbations, own.severities) == (other.images, other.perturbations, other.severities)


def _grids(values: Floats) -> Floats:
    """Per image: each (perturbation, severity), each perturbation, each severity, all: shape (n, p*s + p + s + 1)."""
    n = len(values)
    parts = (values.reshape(n, -1), values.mean(axis=2), values.mean(axis=1), values.mean(axis=(1, 2))[:, None])
    return np.concatenate(parts, axis=1)


def _grid_names(own: Sequences) -> list[tuple[str, int | None]]:
    each: list[tuple[str, int | None]] = [(p, s) for p in own.perturbations for s in own.severities]
    each += [(p, None) for p in own.perturbations]
    each += [(MEAN, s) for s in own.severities]
    return [*each, (MEAN, None)]


def _flip_records(entry: EntryRows, own: Sequences) -> list[Record]:
    """Flip probability and accuracy; where the sequence of an image is missing there is no value."""
    found = []
    told = Gaps.of(entry).in_track("corruption")
    resamples = bootstrap(own.groups)
    for metric, values in (("flip_probability", own.flips), ("accuracy", own.right)):
        grid = _grids(values)
        known = np.isfinite(grid)
        filled = np.where(known, grid, 0.0)
        count = known.sum(axis=0)
        low, high = interval(resamples.ratios(filled, known.astype(np.float64)))
        for i, (attack, severity) in enumerate(_grid_names(own)):
            if count[i] == 0:
                continue
            name = f"mean_{metric}" if attack == MEAN and metric == "flip_probability" else metric
            found.append(
                _record(entry, "corruption", name, filled[:, i].sum() / count[i], (low[i], high[i]), int(count[i]),
                        attack=attack, severity=severity,
                        missing="" if known[:, i].all() else told or "some sequences are missing")
            )  # fmt: skip
    return found


def _relative_records(entry: EntryRows, own: Sequences, reference: Sequences) -> list[Record]:
    """FP(model) / FP(baseline), resampled together; left out where the baseline never flips or images are missing."""
    above, below = _grids(own.flips), _grids(reference.flips)
    resamples = bootstrap(own.groups)
    found = []
    drawn = resamples.ratios(np.nan_to_num(above), np.nan_to_num(below))
    low, high = interval(drawn)
    for i, (attack, severity) in enumerate(_grid_names(own)):
        whole = bool(np.isfinite(above[:, i]).all() and np.isfinite(below[:, i]).all())
        if whole and below[:, i].sum() > 0:
            value = above[:, i].sum() / below[:, i].sum()
            found.append(
                _record(entry, "corruption", "relative_flip_probability", value, (low[i], high[i]), len(above),
                        attack=attack, severity=severity)
            )  # fmt: skip
    return found
