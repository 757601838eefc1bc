"""Inline SVG, drawn without a library: interval bars and curves of robust accuracy against a budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from leaderboard.record import Record

_BAR_WIDTH, _BAR_HEIGHT = 132, 18
_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 196, 14, 40
_MARKS = ("circle", "square", "triangle", "diamond", "cross")
_LABEL_GAP = 15
_DIGIT = 9


@dataclass(frozen=True)
class Series:
    """A curve: its name, and (budget, value, low, high) in rising order of budget; ``strong`` draws the interval."""

    name: str
    points: Sequence[tuple[float, float, float, float]]
    strong: bool = False


def interval_bar(record: Record, mark: float | None = None) -> Markup:
    """Draw a value with its interval on a 0 to 100 % axis; ``mark`` adds a hollow tick, such as clean accuracy."""

    def x(share: float) -> str:
        return f"{4 + share * (_BAR_WIDTH - 8):.1f}"

    middle = _BAR_HEIGHT / 2
    parts = [
        f'<svg class="bar" viewBox="0 0 {_BAR_WIDTH} {_BAR_HEIGHT}" width="{_BAR_WIDTH}" height="{_BAR_HEIGHT}" '
        'aria-hidden="true" focusable="false">',
        f'<line class="axis" x1="4" x2="{_BAR_WIDTH - 4}" y1="{middle}" y2="{middle}"/>',
    ]
    parts += [
        f'<line class="axis" x1="{x(at)}" x2="{x(at)}" y1="{middle - 3}" y2="{middle + 3}"/>' for at in (0.0, 0.5, 1.0)
    ]
    if mark is not None:
        parts.append(f'<line class="reference" x1="{x(mark)}" x2="{x(mark)}" y1="3" y2="{_BAR_HEIGHT - 3}"/>')
    low, high = record.bounds
    parts.append(f'<line class="interval" x1="{x(low)}" x2="{x(high)}" y1="{middle}" y2="{middle}"/>')
    parts.append(f'<circle class="dot" cx="{x(record.value)}" cy="{middle}" r="4"/></svg>')
    return Markup("".join(parts))


def curves(series: Sequence[Series], title: str, axis: str = "eps, in 1/255") -> Markup:
    """Draw robust accuracy (0 to 100 %) against a budget, one line per series, told apart by mark and by a label.

    Budgets stand evenly spaced, not to scale; ``axis`` names them. A key below repeats the labels for narrow screens,
    where the style shows it in place of them.
    """
    budgets = sorted({point[0] for one in series for point in one.points})
    if not budgets:
        return Markup("")
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(budgets) - 1, 1)
    at = {eps: _LEFT + index * step for index, eps in enumerate(budgets)}
    parts = [
        Markup('<div class="plot"><svg class="curves" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            _WIDTH, _HEIGHT, title
        ),
        _grid(budgets, at, axis),
    ]
    # All labels stand in the margin: beside the end of a short line they would cover the longer ones.
    labels = _spread([_y(one.points[-1][1]) for one in series])
    margin = _WIDTH - _RIGHT + 12
    for index, (one, height) in enumerate(zip(series, labels, strict=True)):
        end, value = at[one.points[-1][0]], _y(one.points[-1][1])
        if one.points[-1][0] != budgets[-1] or abs(height - value) > _LABEL_GAP:
            parts.append(
                Markup(
                    f'<line class="leader s{index}" x1="{end + 6:.1f}" y1="{value:.1f}" x2="{margin - 3}" '
                    f'y2="{height:.1f}"/>'
                )
            )
        parts.append(_line(one, index, at))
        parts.append(
            Markup('<text class="label s{}" x="{}" y="{:.1f}">{}</text>').format(index, margin, height + 4, one.name)
        )
    parts.append(Markup("</svg></div>"))
    return Markup("").join([*parts, _key(series)])


def _key(series: Sequence[Series]) -> Markup:
    """Return the lines' names, each beside a piece of its line with its mark."""
    items = []
    for index, one in enumerate(series):
        strong = " strong" if one.strong else ""
        piece = Markup(
            f'<svg viewBox="0 0 34 12" aria-hidden="true" focusable="false">'
            f'<line class="line s{index}{strong}" x1="0" x2="34" y1="6" y2="6"/>'
            f"{_mark(_MARKS[index % len(_MARKS)], 17, 6, index)}</svg>"
        )
        items.append(Markup("<li>{}{}</li>").format(piece, one.name))
    return Markup('<ul class="key curves">') + Markup("").join(items) + Markup("</ul>")


def _y(share: float) -> float:
    return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)


def _grid(budgets: Sequence[float], at: dict[float, float], axis: str) -> Markup:
    lines = [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_y(s):.1f}" y2="{_y(s):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 8}" y="{_y(s) + 4:.1f}" text-anchor="end">{s * 100:.0f}</text>'
        for s in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    lines += [
        f'<text class="tick" x="{at[eps]:.1f}" y="{_HEIGHT - 20}" text-anchor="middle">{eps:g}</text>'
        for eps in _apart(budgets, at)
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    lines.append(f'<text class="tick" x="{middle:.0f}" y="{_HEIGHT - 3}" text-anchor="middle">')
    return Markup("".join(lines)) + axis + Markup("</text>")


def _apart(budgets: Sequence[float], at: dict[float, float]) -> list[float]:
    """Return the budgets whose ticks have room, from the last one down."""
    kept: list[float] = []
    for eps in reversed(budgets):
        if not kept or at[kept[-1]] - at[eps] > _DIGIT * max(len(f"{eps:g}"), len(f"{kept[-1]:g}")):
            kept.append(eps)
    return kept[::-1]


def _line(one: Series, index: int, at: dict[float, float]) -> Markup:
    places = [(at[eps], _y(value)) for eps, value, _, _ in one.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    drawn = []
    if one.strong:
        above = [f"{at[eps]:.1f},{_y(high):.1f}" for eps, _, _, high in one.points]
        below = [f"{at[eps]:.1f},{_y(low):.1f}" for eps, _, low, _ in reversed(one.points)]
        drawn.append(f'<polygon class="band s{index}" points="{" ".join(above + below)}"/>')
    drawn.append(f'<polyline class="line s{index}{" strong" if one.strong else ""}" points="{path}"/>')
    drawn += [_mark(_MARKS[index % len(_MARKS)], x, y, index) for x, y in places]
    return Markup("".join(drawn))


def _mark(kind: str, x: float, y: float, index: int) -> str:
    shapes = {
        "circle": f"M{x - 4:.1f},{y:.1f}a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z",
        "square": f"M{x - 3.5:.1f},{y - 3.5:.1f}h7v7h-7Z",
        "triangle": f"M{x:.1f},{y - 4.5:.1f}l4.5,8h-9Z",
        "diamond": f"M{x:.1f},{y - 5:.1f}l5,5l-5,5l-5,-5Z",
        "cross": f"M{x - 4:.1f},{y - 1.2:.1f}h2.8v-2.8h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8Z",
    }
    return f'<path class="mark s{index}" d="{shapes[kind]}"/>'


def _spread(heights: Sequence[float]) -> list[float]:
    """Move labels down, and the lowest back up, until neighbours are a line apart."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = dict(enumerate(heights))
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + _LABEL_GAP)
    overflow = placed[order[-1]] - (_HEIGHT - _BOTTOM) if order else 0.0
    if overflow > 0:
        placed[order[-1]] -= overflow
        for after, before in pairwise(reversed(order)):
            placed[before] = min(placed[before], placed[after] - _LABEL_GAP)
    return [placed[i] for i in range(len(heights))]
