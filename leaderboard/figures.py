"""Figures for a paper, drawn by matplotlib: accuracy against the budget, clean against robust, and corruption."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt

from benchmark.matrix.rules import rules
from leaderboard.board import Board
from leaderboard.record import ALL_TRACKS, HEADLINE, MEAN, WORST_CASE, Record
from leaderboard.summary import Line, lines, pareto

FORMATS = ("svg", "pdf")

MOST = 10
"""Curves in one figure; more could not be told from each other."""

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "medrobustbench",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "figure.constrained_layout.use": True,
}


def draw(board: Board, titles: Mapping[str, str], folder: Path) -> list[Path]:
    """Draw three figures per data set into a folder and return the files; the same board gives the same SVG.

    Args:
        board: what to draw.
        titles: names of entries and data sets -> what to call them.
        folder: made if it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = lines(board)
    made: list[Path] = []
    kinds: dict[str, Callable[[Any, Sequence[Line], Sequence[Record], Mapping[str, str]], bool]] = {
        "budget": _against_budget,
        "clean-robust": _clean_against_robust,
        "corruption": _against_severity,
    }
    for dataset in dict.fromkeys(line.placement.dataset for line in told):
        here = [line for line in told if line.placement.dataset == dataset]
        records = [record for record in board.records if record.dataset == dataset and record.known]
        for kind, paint in kinds.items():
            with plt.rc_context(_STYLE):
                figure, axes = plt.subplots(figsize=(5.2, 3.6))
                if paint(axes, here, records, titles):
                    axes.set_title(titles.get(dataset, dataset), fontsize=9)
                    for suffix in FORMATS:
                        path = folder / f"{dataset}-{kind}.{suffix}"
                        figure.savefig(path, metadata={"Date": None} if suffix == "svg" else {"CreationDate": None})
                        made.append(path)
                plt.close(figure)
    return made


def _against_budget(axes: Any, here: Sequence[Line], records: Sequence[Record], titles: Mapping[str, str]) -> bool:
    """Worst case over all tracks at each budget of the norm that ranks; below the largest it is an upper bound."""
    drawn, place = False, (ALL_TRACKS, WORST_CASE, rules().ranking.norm, HEADLINE)
    for line in here[:MOST]:
        mine = _of(line, records)
        points = sorted(
            (record.eps_255, record.value)
            for record in mine
            if (record.track, record.attack, record.norm, record.metric) == place and record.eps_255 is not None
        )
        start = next((r.value for r in mine if (r.track, r.metric) == ("clean", "accuracy_on_attacked_subset")), None)
        if start is not None:
            points.insert(0, (0.0, start))
        if points:
            drawn = True
            _curve(axes, points, _name(line, titles))
    axes.set(
        xlabel=r"$\epsilon$ in 1/255 (below the largest: upper bounds)", ylabel="robust accuracy in %", ylim=(0, 100)
    )
    if drawn:
        axes.legend(fontsize=6, frameon=False)
    return drawn


def _clean_against_robust(
    axes: Any, here: Sequence[Line], records: Sequence[Record], titles: Mapping[str, str]
) -> bool:
    """Clean against worst-case accuracy with intervals; the Pareto front of ranked entries as a line."""
    del records
    known = [line for line in here if line.clean and line.worst and line.clean.known and line.worst.known]
    for line in known:
        assert line.clean is not None
        assert line.worst is not None
        x, y = 100 * line.clean.value, 100 * line.worst.value
        (left, right), (below, above) = line.clean.bounds, line.worst.bounds
        spread = ([[x - 100 * left], [100 * right - x]], [[y - 100 * below], [100 * above - y]])
        ranked = line.placement.rank is not None
        axes.errorbar(
            x, y, xerr=spread[0], yerr=spread[1], fmt="o" if ranked else "x", markersize=4, linewidth=0.6, alpha=0.8
        )
        axes.annotate(_name(line, titles), (x, y), fontsize=5, xytext=(3, 3), textcoords="offset points")
    ranked_points = [
        (line.clean.value, line.worst.value)
        for line in known
        if line.placement.rank is not None and line.clean and line.worst
    ]
    front = sorted(ranked_points[i] for i in pareto(ranked_points))
    axes.plot([100 * x for x, _ in front], [100 * y for _, y in front], color="0.5", linewidth=0.8, zorder=0)
    axes.set(xlabel="clean accuracy in %", ylabel=f"worst case at {rules().ranking.text} in %")
    return bool(known)


def _against_severity(axes: Any, here: Sequence[Line], records: Sequence[Record], titles: Mapping[str, str]) -> bool:
    """Accuracy on corrupted images at each severity, over all perturbations."""
    drawn = False
    for line in here[:MOST]:
        points = sorted(
            (record.severity, record.value)
            for record in _of(line, records)
            if (record.track, record.attack, record.metric) == ("corruption", MEAN, "accuracy")
            and record.severity is not None
        )
        if points:
            drawn = True
            _curve(axes, points, _name(line, titles))
    axes.set(xlabel="severity", ylabel="accuracy on corrupted images in %")
    if drawn:
        axes.legend(fontsize=6, frameon=False)
    return drawn


def _curve(axes: Any, points: Sequence[tuple[float, float]], label: str) -> None:
    axes.plot([x for x, _ in points], [100 * y for _, y in points], marker="o", markersize=3, label=label)


def _of(line: Line, records: Sequence[Record]) -> list[Record]:
    key = (line.placement.submission, line.placement.official)
    return [record for record in records if (record.submission, record.official) == key]


def _name(line: Line, titles: Mapping[str, str]) -> str:
    own = "" if line.placement.official else " (own)"
    return titles.get(line.placement.submission, line.placement.submission) + own
