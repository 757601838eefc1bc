"""Inline SVG: clean against worst-case accuracy of a board's entries, with intervals and the Pareto front."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from benchmark.matrix.rules import rules
from leaderboard.record import Record
from leaderboard.summary import pareto

_WIDTH, _HEIGHT = 372, 152
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 8, 34
_STEP = 0.1


@dataclass(frozen=True)
class Point:
    """An entry: a key that its row has too, its name, its two figures, and whether it is ranked."""

    key: str
    name: str
    clean: Record
    worst: Record
    ranked: bool


@dataclass(frozen=True)
class _Scale:
    """Shares to pixels, along one axis from ``low`` to ``high``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, share: float) -> float:
        return self.start + (share - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        step = _STEP if self.high - self.low < 0.55 else 2 * _STEP
        count = math.floor((self.high - self.low) / step + 1e-9)
        return [self.low + i * step for i in range(count + 1)]


def scatter(points: Sequence[Point], title: str) -> Markup:
    """Draw the points; entries without a rank are hollow and on no front. Empty without a point."""
    if not points:
        return Markup("")
    x = _scale([share for one in points for share in one.clean.bounds], _LEFT, _WIDTH - _RIGHT)
    y = _scale([0.0, *(share for one in points for share in one.worst.bounds)], _HEIGHT - _BOTTOM, _TOP)
    ranked = [one for one in points if one.ranked]
    front = [ranked[i] for i in pareto([(one.clean.value, one.worst.value) for one in ranked])]
    best = {one.key for one in front}
    start = Markup('<svg class="scatter" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        _WIDTH, _HEIGHT, title
    )
    # Points of the front are drawn last, so that none is hidden.
    drawn = [_point(one, x, y, one.key in best) for one in sorted(points, key=lambda one: one.key in best)]
    return Markup("").join([start, _axes(x, y), _front(front, x, y), *drawn, Markup("</svg>")])


def _scale(shares: Sequence[float], start: float, end: float) -> _Scale:
    low = math.floor(min(shares) / _STEP + 1e-9) * _STEP
    high = math.ceil(max(shares) / _STEP - 1e-9) * _STEP
    return _Scale(low, max(high, low + _STEP), start, end)


def _axes(x: _Scale, y: _Scale) -> Markup:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [
        f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y(at):.1f}" y2="{y(at):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 6}" y="{y(at) + 3.5:.1f}" text-anchor="end">{100 * at:.0f}</text>'
        for at in y.ticks
    ]
    parts += [
        f'<line class="grid" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{_TOP}" y2="{bottom}"/>'
        f'<text class="tick" x="{x(at):.1f}" y="{bottom + 14}" text-anchor="middle">{100 * at:.0f}</text>'
        for at in x.ticks
    ]
    parts.append(
        f'<text class="tick" x="{(_LEFT + right) / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">'
        "clean accuracy, %</text>"
        f'<text class="tick" transform="translate(11 {(_TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"worst case at {rules().ranking.text}, %</text>"
    )
    return Markup("".join(parts))


def _front(front: Sequence[Point], x: _Scale, y: _Scale) -> Markup:
    """Draw the edge of what the front's points are better than, as steps from the left axis to the lower one."""
    corners = sorted({(one.clean.value, one.worst.value) for one in front})
    if not corners:
        return Markup("")
    path = [f"M{x.start:.1f},{y(corners[0][1]):.1f}"]
    for clean, worst in corners:
        path.append(f"V{y(worst):.1f}H{x(clean):.1f}")
    return Markup(f'<path class="front" d="{"".join(path)}V{y.start:.1f}"/>')


def _point(one: Point, x: _Scale, y: _Scale, best: bool) -> Markup:
    at, height = x(one.clean.value), y(one.worst.value)
    (left, right), (below, above) = one.clean.bounds, one.worst.bounds
    kind = " unranked" if not one.ranked else " best" if best else ""
    told = f"{one.name}: clean {_told(one.clean)}, worst case {_told(one.worst)}" + (
        "" if one.ranked else ", not ranked"
    )
    return Markup(
        '<g class="point{}" data-entry="{}"><title>{}</title>'
        '<path class="whisker" d="M{:.1f},{:.1f}H{:.1f}M{:.1f},{:.1f}V{:.1f}"/>'
        '<circle cx="{:.1f}" cy="{:.1f}" r="{}"/></g>'
    ).format(kind, one.key, told, x(left), height, x(right), at, y(below), y(above), at, height, 4 if best else 3.2)


def _told(record: Record) -> str:
    return f"{100 * record.value:.1f} % ({record.interval()})"
