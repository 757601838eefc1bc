"""Figures that clinicians ask for, per class, of clean images and of the worst case alike.

How abstentions enter: an abstention is never a right answer. It lowers accuracy, the sensitivity of the image's own
class and the specificity of every other class, and it is no class's answer. An image without a verdict counts the same
way. The AUC uses the probabilities of every image, abstained ones too, since it asks how the scores order images
whatever is decided; the calibration error asks whether given answers are as sure as they are right, so it leaves
abstained images out. Of a randomised defense the shares are means over the judge's draws, and probabilities and wrong
answers are those of the first draw.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leaderboard.bootstrap import Bootstrap, Floats, interval
from leaderboard.entries import EntryRows, is_named
from leaderboard.verdicts import CellKey, Verdicts, row_scores

Add = Callable[[str, float, float, float, int], None]
"""Takes metric, value, low, high and n."""

ABSTAINED = -1.0
"""The answer of a defense that gives none."""

BINS = 15
"""Bins of equal width of the calibration error (Guo et al. 2017, On Calibration of Modern Neural Networks)."""

ROBUST_FROM = 0.5
"""Share of right draws from which an image counts as robust, as the judge decides."""


@dataclass(frozen=True)
class Answers:
    """What a defense answered.

    Attributes:
        labels: true class of each image, (n,).
        share: share of right draws, (n,) in [0, 1]; 0 without a verdict.
        given: class that the first draw answered, (n,); ``ABSTAINED`` or NaN where there is none.
    """

    labels: Floats
    share: Floats
    given: Floats

    @property
    def classes(self) -> Floats:
        """Classes that occur, as truth or as answer, ascending."""
        given = self.given[np.isfinite(self.given) & (self.given >= 0)]
        return np.union1d(self.labels, given)


def class_metrics(answers: Answers, resamples: Bootstrap, add: Add) -> None:
    """Add balanced accuracy, the majority class's rate, and sensitivity, specificity and share of answers per class.

    Sensitivity of a class is the share of its images that are answered rightly, specificity the share of all other
    images that are answered by another class; balanced accuracy is the mean sensitivity. For two classes the
    specificity of one is the sensitivity of the other. Of wrong draws after the first nobody knows the answer, so they
    count against the specificity of every class but the image's own. ``majority_class_rate`` is what the best constant
    answer would reach.
    """
    labels, share, given = answers.labels, answers.share, answers.given
    classes = answers.classes
    member = (labels[:, None] == classes).astype(np.float64)
    answered = (given[:, None] == classes).astype(np.float64)
    known = classes[member.any(axis=0)]
    elsewhere_wrongly = (np.isfinite(given) & (given >= 0) & (given != labels))[:, None] & (answered == 0)
    cleared = share[:, None] + (1.0 - share)[:, None] * elsewhere_wrongly
    recall, recalls = _ratio(member * share[:, None], member, resamples)
    special, specials = _ratio((1.0 - member) * cleared, 1.0 - member, resamples)
    rate, rates = _ratio(member, np.ones_like(member), resamples)
    said, saids = _ratio(answered, np.ones_like(answered), resamples)
    present = member.any(axis=0)
    with np.errstate(invalid="ignore"):
        balanced = np.nanmean(recalls[:, present], axis=1)
    _add(add, "balanced_accuracy", float(recall[present].mean()), balanced, len(labels))
    majority = int(rate.argmax())
    _add(add, "majority_class_rate", float(rate[majority]), rates[:, majority], len(labels))
    for index, label in enumerate(classes):
        count = int(member[:, index].sum())
        if label in known:
            _add(add, f"sensitivity_class_{int(label)}", float(recall[index]), recalls[:, index], count)
        if count < len(labels):
            name = f"specificity_class_{int(label)}"
            _add(add, name, float(special[index]), specials[:, index], len(labels) - count)
        _add(add, f"answer_share_class_{int(label)}", float(said[index]), saids[:, index], len(labels))


def calibration_error(probabilities: Floats, answers: Answers, resamples: Bootstrap, add: Add) -> None:
    """Add the expected calibration error of the answers given: how far confidence and rightness lie apart, on average.

    Answers are binned by the probability of the class answered; in each bin the mean confidence is held against the
    share of right answers, and bins count by their images. Noise in small bins only ever adds to it.

    Args:
        probabilities: (n, classes), of the first draw.
        answers: the answers; abstained images are left out.
        resamples: of the same images.
        add: takes the record.
    """
    given = np.where(np.isfinite(answers.given), answers.given, ABSTAINED).astype(np.int64)
    answered = (given >= 0) & (given < probabilities.shape[1])
    if not answered.any():
        return
    confidence = probabilities[np.arange(len(given)), np.where(answered, given, 0)]
    right = given == answers.labels
    # Bins are closed on the right, so that certainty falls into the last one.
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gap = np.zeros((len(given), BINS))
    gap[np.arange(len(given)), place] = np.where(answered, right - confidence, 0.0)
    count = answered.astype(np.float64)[:, None]
    value = np.abs(gap.sum(axis=0)).sum() / count.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.abs(resamples.sums(gap)).sum(axis=1) / resamples.sums(count)[:, 0]
    _add(add, "calibration_error", float(value), drawn, int(answered.sum()))


def worst_case_answers(entry: EntryRows, judged: Verdicts, columns: list[int]) -> Answers:
    """Return what the deployed defense answered each attacked image under its worst cell.

    An image that is robust is predicted correctly; one that is wrong without attack keeps that prediction; another
    gets the wrong prediction of the cell that left it the fewest right draws (of the first such in the order of cells).

    Args:
        entry: the entry.
        judged: its verdicts.
        columns: the cells of ``judged`` that the worst case is over.
    """
    turn = {judged.cells[c]: c for c in columns}
    index = pd.Index(judged.images)
    labels = np.full(len(index), np.nan)
    parts = [_wrong_answers(entry, rows, turn, index, labels) for _, rows in entry.attacks()]
    position, cell, scores, answers = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.lexsort((cell, scores))
    # Written last to first, so that the row with the fewest right draws has the last word.
    order = order[::-1]
    share = judged.worst(columns)[0]
    given = np.full(len(index), np.nan)
    given[position[order]] = answers[order]
    clean = _clean_answers(entry).reindex(index).to_numpy(dtype=np.float64)
    fell_clean = np.isfinite(clean) & (clean != labels)
    given = np.where(fell_clean, clean, given)
    given = np.where(share >= ROBUST_FROM, labels, given)
    return Answers(labels, share, given)


def _wrong_answers(
    entry: EntryRows, rows: pd.DataFrame, turn: dict[CellKey, int], index: "pd.Index[str]", labels: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]:
    """Return place, cell, score and answer of the rows of these cells with a wrong answer; notes labels on the way."""
    rows = rows[is_named(rows) & rows["eps_255"].isin({cell.eps_255 for cell in turn})]
    by_cell = rows.groupby(["track", "attack", "norm", "eps_255"], observed=True, sort=False, dropna=False)
    turns = np.asarray([turn.get(CellKey(*key), -1) for key in by_cell.size().index], dtype=np.int64)
    cell = turns[by_cell.ngroup().to_numpy()] if len(rows) else np.zeros(0, dtype=np.int64)
    rows, cell = rows[cell >= 0], cell[cell >= 0]
    position = np.asarray(index.get_indexer(pd.Index(rows["sample_id"].astype(str))), dtype=np.int64)
    labelled = rows["label"].notna().to_numpy()
    labels[position[labelled]] = rows["label"].to_numpy(dtype=np.float64)[labelled]
    answers = rows["pred"].to_numpy(dtype=np.float64)
    scores = row_scores(rows, entry)
    wrong = np.isfinite(scores) & np.isfinite(answers) & (answers != labels[position])
    return position[wrong], cell[wrong], scores[wrong], answers[wrong]


def _clean_answers(entry: EntryRows) -> pd.Series:
    """Return the clean track's answers, of images that it gets wrong by its verdict alone."""
    rows = entry.track("clean")
    rows = rows[(rows["status"] == "ok") & rows["sample_id"].notna() & ~rows["correct"]]
    answers = pd.Series(rows["pred"].to_numpy(dtype=np.float64), index=rows["sample_id"].astype(str).to_numpy())
    return answers[~answers.index.duplicated()]


def _ratio(above: Floats, below: Floats, resamples: Bootstrap) -> tuple[Floats, Floats]:
    """Return sum(above) / sum(below) per column, and the same of every resample; NaN where there is nothing below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = above.sum(axis=0) / below.sum(axis=0)
    return np.asarray(value, dtype=np.float64), resamples.ratios(above, below)


def _add(add: Add, metric: str, value: float, drawn: Floats, n: int) -> None:
    low, high = interval(drawn[:, None])
    add(metric, value, float(low[0]), float(high[0]), n)
