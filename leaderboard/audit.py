"""Whether the rows of an entry agree with themselves, the matrix and the data set: what hashes alone do not show.

Each function returns clauses that say what does not agree, none where all does. Verdicts that were altered everywhere
alike are found only by computing them again (``bench verify --rerun``).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.errors import BenchError
from benchmark.matrix import Matrix, load_matrix
from benchmark.matrix.diagnostics import GRADIENT, INFERENCE, load_diagnostics
from benchmark.matrix.rules import rules
from benchmark.results.schema import CLEAN, DIAGNOSTIC, EXTERNAL, PERTURBATIONS
from benchmark.task.kinds import robust
from leaderboard.completeness import problems
from leaderboard.entries import EntryRows, is_named, is_unit_wide
from leaderboard.indicators import indicators, reasons
from leaderboard.requirements import in_force, lent_by
from leaderboard.verdicts import clean_scores, verdicts

if TYPE_CHECKING:
    from benchmark.data.card import Card
    from benchmark.data.split import Split

Bools = NDArray[np.bool_]

READ = (
    *("sample_id", "attack", "norm", "eps_255", "unranked", "label", "pred_clean", "pred", "correct", "abstained"),
    *("draws", "right_draws", "skipped", "broken_by", "same_as"),
)
"""Columns that checks of verdicts look at: all of them take long to copy."""

MEASURES = (GRADIENT, INFERENCE)
"""Diagnostic rows that measure something and have no verdict."""


def of_rows(entry: EntryRows) -> list[str]:
    """Check the rows against themselves, the matrix in force and what a ranked entry has.

    Raises:
        BenchError: a file of the entry cannot be read, or repeats rows.
    """
    checks: tuple[Callable[[EntryRows], list[str]], ...] = (
        *(predictions, skipped_rows, copies, cells, repeats, profiles, absent),
    )
    return list(dict.fromkeys(clause for check in checks for clause in check(entry)))


def of_data(entry: EntryRows, card: "Card", test: "Split") -> list[str]:
    """Check labels, patients and, of rows marked official, the images, against the data set."""
    return labels(entry, test) + images(entry, card, test)


def unreadable(entry: EntryRows) -> list[str]:
    """Return why tracks of an entry cannot be read: a damaged file, or rows that occur twice."""
    found = []
    for track in entry.held.tracks:
        try:
            entry.track(track)
        except BenchError as error:
            found.append(str(error).rstrip("."))
    return found


def predictions(entry: EntryRows) -> list[str]:
    """Check that verdicts follow from predictions: correct in at least half of the draws, and correct when clean.

    Rows of old files and imported ones may lack draws or even the prediction; official ones have all of it.
    """
    found = []
    for track, rows in _judged(entry):
        pred, label, draws, right, clean = (
            rows[name].to_numpy(dtype=np.float64) for name in ("pred", "label", "draws", "right_draws", "pred_clean")
        )
        correct, answered = rows["correct"].to_numpy(dtype=bool), np.isfinite(pred)
        counted = np.isfinite(draws) & np.isfinite(right)
        once = answered & ~(draws > 1)
        told = {
            "correct disagrees with pred": once & (correct != (pred == label)),
            "correct disagrees with right_draws": counted & (correct != robust(right, draws)),
            "right_draws disagrees with pred": once & counted & (right != (pred == label)),
            "right_draws is not within draws": counted & ((right < 0) | (right > draws) | (draws < 1)),
            "abstained disagrees with pred": answered & (rows["abstained"].to_numpy(dtype=bool) != (pred == -1)),
        }
        if entry.official:
            told["pred, draws or right_draws is absent"] = ~(answered & counted)
        if track == "clean":
            told["pred disagrees with pred_clean"] = answered & np.isfinite(clean) & (pred != clean)
        else:
            told["correct is true though the image is misclassified when clean"] = correct & _wrong_when_clean(
                rows, entry
            )
        found += _clauses(told, track)
    return found


def skipped_rows(entry: EntryRows) -> list[str]:
    """Check that the verdict of each skipped row follows from a row that was run, as balls of one norm are nested."""
    found = []
    for track, rows in _judged(entry):
        if track == "clean":
            continue
        skipped, correct = rows["skipped"].to_numpy(dtype=bool), rows["correct"].to_numpy(dtype=bool)
        broken_by = _text(rows["broken_by"])
        names = (broken_by != "").to_numpy(dtype=bool)
        at_clean = (broken_by == "clean").to_numpy(dtype=bool)
        told = {
            "broken_by is absent where a misclassified image was skipped": skipped & ~correct & ~names,
            "broken_by is given where a robust image was skipped": skipped & correct & names,
            "broken_by is given though the attack was run": ~skipped & names,
            "broken_by is 'clean' though the image is right when clean": skipped
            & at_clean
            & ~_wrong_when_clean(rows, entry),
        }
        if not any(part.any() for part in told.values()):
            told["broken_by names no attack that broke the image at most at this budget"] = _without_break(rows)
            told["a skipped image counts as robust that no attack was run on at this budget or above"] = (
                _without_survival(rows)
            )
        found += _clauses(told, track)
    return found


def _without_break(rows: pd.DataFrame) -> Bools:
    """Tell which skipped rows name an attack and budget that did not break the image."""
    broken_by = _text(rows["broken_by"])
    wanted = (rows["skipped"] & ~broken_by.isin(["", "clean"])).to_numpy(dtype=bool)
    ran = (~rows["skipped"] & ~rows["correct"] & ~rows["unranked"]).to_numpy(dtype=bool)
    keys = ["sample_id", "norm"]
    broke = rows.loc[ran, keys].astype(object).assign(by=_cell_text(rows[ran]))
    named = rows.loc[wanted, keys].astype(object).assign(by=broken_by[wanted].astype(object))
    missing = ~pd.MultiIndex.from_frame(named).isin(pd.MultiIndex.from_frame(broke))
    budgets = {text: pd.to_numeric(text.rpartition("@")[2], "coerce") for text in named["by"].unique()}
    at = named["by"].map(budgets).to_numpy(dtype=np.float64)
    found = np.zeros(len(rows), dtype=np.bool_)
    found[wanted] = missing | ~(at <= rows.loc[wanted, "eps_255"].to_numpy(dtype=np.float64))
    return found


def _without_survival(rows: pd.DataFrame) -> Bools:
    """Tell which skipped rows count as robust without an attack that failed at their budget or a larger one."""
    wanted = (rows["skipped"] & rows["correct"]).to_numpy(dtype=bool)
    ran = (~rows["skipped"] & rows["correct"] & ~rows["unranked"]).to_numpy(dtype=bool)
    keys = ["sample_id", "norm"]
    survived = rows.loc[ran, [*keys, "eps_255"]].astype(dict.fromkeys(keys, object)).groupby(keys)["eps_255"].max()
    asked = pd.MultiIndex.from_frame(rows.loc[wanted, keys].astype(object))
    largest = survived.reindex(asked).to_numpy(dtype=np.float64)
    found = np.zeros(len(rows), dtype=np.bool_)
    found[wanted] = ~(largest >= rows.loc[wanted, "eps_255"].to_numpy(dtype=np.float64))
    return found


def copies(entry: EntryRows) -> list[str]:
    """Check that rows with ``same_as`` say what the row that they repeat says."""
    found = []
    keys, said = ["sample_id", "attack", "norm", "eps_255"], ["pred", "right_draws", "correct"]
    for track, rows in _judged(entry):
        given = _text(rows["same_as"])
        for lender in sorted(set(given.unique()) - {""}):
            mine = rows.loc[(given == lender).to_numpy(dtype=bool), [*keys, *said]]
            source = next((theirs for name, theirs in _judged(entry) if name == lender), None)
            if source is None:
                found.append(f"{len(mine)} rows of {track} repeat track {lender}, which has no rows")
                continue
            plain = dict.fromkeys(keys[:3], object)
            both = mine.astype(plain).merge(
                source[[*keys, *said]].astype(plain), on=keys, how="left", suffixes=("", "_there")
            )
            differ = np.zeros(len(both), dtype=np.bool_)
            for name in said:
                differ |= both[name].to_numpy(dtype=np.float64) != both[f"{name}_there"].to_numpy(dtype=np.float64)
            found += _clauses({f"a repeated row of {lender} says something else": differ}, track)
    return found


def cells(entry: EntryRows) -> list[str]:
    """Check attacks, budgets and the mark ``unranked`` against the matrix and the diagnostics in force.

    Rows made under another matrix are left alone: nothing is known of its cells.
    """
    matrix, digest = load_matrix()
    found = []
    for track in entry.held.tracks:
        rows = _without_unit_gaps(entry.track(track), ["attack", "norm", "eps_255", "severity", "unranked"])
        in_track = load_diagnostics()[1] if track == DIAGNOSTIC else digest
        if entry.provenance("matrix_hash", [track]) != [in_track]:
            continue
        if track == "corruption":
            found += _unknown_sequences(rows, matrix)
        elif track in (*rules().attack_tracks, DIAGNOSTIC):
            found += _unknown_cells(rows, track, _known_cells(matrix, lent_by(entry.track(track)) or track))
        elif track not in (CLEAN, EXTERNAL):
            found.append(f"there is no track {track}")
    return found


_Cells = dict[tuple[str, str, float], bool]
"""(attack, norm, eps) -> whether it is unranked; the budget of a cell without one is -1."""


def _known_cells(matrix: Matrix, track: str) -> _Cells:
    if track == DIAGNOSTIC:
        measured: _Cells = {(name, "", -1.0): True for name in MEASURES}
        return measured | {
            (cell.name, cell.norm, float(eps)): cell.unranked
            for cell in load_diagnostics()[0].cell
            for eps in cell.eps_255
        }
    return {
        (cell.name, cell.norm, float(eps)): cell.unranked
        for cell in matrix.cell
        if cell.track == track
        for eps in cell.eps_255
    }


def _unknown_cells(rows: pd.DataFrame, track: str, known: _Cells) -> list[str]:
    plain = rows[["attack", "norm", "unranked"]].assign(eps=rows["eps_255"].fillna(-1.0))
    each = plain.groupby(["attack", "norm", "eps", "unranked"], observed=True, dropna=False, sort=False)
    sizes = each.size().reset_index(name="rows")
    found = []
    for attack, norm, eps, unranked, count in zip(
        _text(sizes["attack"]), _text(sizes["norm"]), sizes["eps"], sizes["unranked"], sizes["rows"], strict=True
    ):
        where = f"{attack} {norm} at {eps:g}" if eps >= 0 else str(attack)
        if (attack, norm, eps) not in known:
            found.append(f"the matrix has no cell {track} {where} ({count} rows)")
        elif known[attack, norm, eps] != unranked:
            ranked = "ranked" if unranked else "unranked"
            found.append(f"unranked is {str(unranked).lower()} in {count} rows of {track} {where}, a {ranked} cell")
    return found


def _unknown_sequences(rows: pd.DataFrame, matrix: Matrix) -> list[str]:
    known = _text(rows["attack"]).isin(PERTURBATIONS) & rows["severity"].isin(matrix.corruption.severities)
    return _clauses({"the matrix has no such perturbation or severity": ~known.to_numpy(dtype=bool)}, "corruption")


def repeats(entry: EntryRows) -> list[str]:
    """Check that an image has one row in clean and one under each cell, whatever else may tell two rows apart."""
    alike = {"clean": ["sample_id"], "corruption": ["sample_id", "attack", "severity"]}
    found = []
    for track in entry.held.tracks:
        rows = _without_unit_gaps(entry.track(track), ["sample_id", "attack", "norm", "eps_255", "severity"])
        twice = rows.duplicated(alike.get(track, ["sample_id", "attack", "norm", "eps_255"])).to_numpy(dtype=bool)
        found += _clauses({"an image is there again": twice}, track)
    return found


def profiles(entry: EntryRows) -> list[str]:
    """Check that rows marked official were made with a profile that the matrix calls official."""
    matrix = load_matrix()[0]
    found = []
    for track in entry.held.tracks:
        rows = entry.track(track)
        for name in sorted(_text(rows.loc[rows["official"].to_numpy(dtype=bool), "profile"]).unique()):
            if not name:
                found.append(f"rows of {track} without a profile are marked official")
            elif name not in matrix.profile or not matrix.profile[name].official:
                found.append(f"rows of profile '{name}' are marked official")
    return found


def absent(entry: EntryRows) -> list[str]:
    """Return what an official entry lacks, as the ranking sees it; indicators say nothing against the rows."""
    if not entry.official:
        return []
    required = in_force()
    judged = verdicts(entry, required)
    signs = set(reasons(indicators(entry, judged)))
    return [why for why in problems(entry, judged, required) if why not in signs]


def labels(entry: EntryRows, test: "Split") -> list[str]:
    """Check labels and patients against those of the data set's images."""
    label = pd.Series(test.labels.tolist(), index=list(test.ids), dtype=np.float64)
    patient = pd.Series([g if g != i else "" for i, g in zip(test.ids, test.groups, strict=True)], index=list(test.ids))
    found = []
    for track in entry.held.tracks:
        rows = _without_unit_gaps(entry.track(track), ["sample_id", "group_id", "label"])
        # Each image is told once or a few times, in hundreds of thousands of rows.
        told = pd.DataFrame({"id": rows["sample_id"].astype(str), "label": rows["label"]})
        told["patient"] = rows["group_id"].astype(object).fillna("").astype(str)
        each = told.groupby(["id", "label", "patient"], dropna=False, sort=False).size().reset_index(name="rows")
        here = each["id"].isin(label.index).to_numpy(dtype=bool)
        wrong = here & (each["label"].to_numpy(dtype=np.float64) != label.reindex(each["id"]).to_numpy())
        said = each["patient"].where(each["patient"] != each["id"], "").to_numpy()
        others = here & (said != patient.reindex(each["id"]).to_numpy())
        for what, which in (("label", wrong), ("patient", others)):
            if which.any():
                count, those = int(each.loc[which, "rows"].sum()), each.loc[which, "id"].nunique()
                found.append(f"{what} disagrees with the data set in {count} rows of {track} ({those} images)")
    return found


def images(entry: EntryRows, card: "Card", test: "Split") -> list[str]:
    """Check that rows marked official are of exactly the images that the card and the matrix set for their track."""
    from benchmark.data.official import official_subset, stratified_ids

    matrix, diagnostics = load_matrix()[0], load_diagnostics()[0]
    subset = official_subset(card, test)
    bounds = {"corruption": [matrix.corruption.images], DIAGNOSTIC: [diagnostics.images]}
    found = []
    for track in entry.held.tracks:
        rows = entry.track(track)
        rows = rows.loc[(rows["official"] & is_named(rows)).to_numpy(dtype=bool), ["sample_id"]]
        if rows.empty:
            continue
        asked = set(test.ids)
        if track != "clean":
            asked = set(stratified_ids(subset, min([len(subset), *bounds.get(track, [])]), []))
        there = set(rows["sample_id"].astype(str).unique())
        if lacking := len(asked - there):
            found.append(f"{lacking} of {len(asked)} official images have no rows in {track}")
        if beside := len(there - asked):
            found.append(f"{beside} images of {track} are not among its {len(asked)} official ones")
    return found


def _judged(entry: EntryRows) -> Iterator[tuple[str, pd.DataFrame]]:
    """Go through the tracks with one verdict a row, without gaps and measurements; sequences have none."""
    for track in (CLEAN, *entry.attack_tracks, DIAGNOSTIC):
        if track not in entry.held.tracks:
            continue
        rows = entry.track(track)
        kept = (rows["status"] == "ok") & ~is_unit_wide(rows) & ~rows["attack"].isin(MEASURES)
        yield track, rows.loc[kept.to_numpy(dtype=bool), list(READ)]


def _without_unit_gaps(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return some columns of the rows that name an image and a cell."""
    return rows.loc[~is_unit_wide(rows).to_numpy(dtype=bool), list(columns)]


def _wrong_when_clean(rows: pd.DataFrame, entry: EntryRows) -> Bools:
    """Tell which attack rows are of images that are misclassified when clean.

    A row's own clean label tells it, as other batches may round otherwise on a GPU; of a randomised defense that is the
    first draw alone, and the clean track tells it.
    """
    clean = clean_scores(entry)
    share = clean[~clean.index.duplicated()].reindex(rows["sample_id"].astype(str)).to_numpy(dtype=np.float64)
    own = (rows["pred_clean"] != rows["label"]).to_numpy(dtype=bool)
    by_track = (rows["draws"] > 1).to_numpy(dtype=bool) & np.isfinite(share)
    return np.asarray(np.where(by_track, share < 0.5, own), dtype=np.bool_)


def _cell_text(rows: pd.DataFrame) -> pd.Series:
    """``attack@eps`` of each row, as ``broken_by`` writes it."""
    eps = rows["eps_255"].map({value: f"@{value:g}" for value in rows["eps_255"].dropna().unique()})
    return rows["attack"].astype(object) + eps.astype(object)


def _text(column: pd.Series) -> pd.Series:
    return column.astype(object).fillna("").astype(str)


def _clauses(told: dict[str, Bools], track: str) -> list[str]:
    """Say of each kind of disagreement in how many rows it is."""
    counts = {what: int(which.sum()) for what, which in told.items()}
    return [f"{what} in {n} row{'s' if n != 1 else ''} of {track}" for what, n in counts.items() if n]
