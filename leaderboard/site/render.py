"""Templates to text: Jinja2 with autoescape on for every template, and the filters that pages share."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmark.matrix.markdown import idle_mark
from benchmark.matrix.rules import rules
from leaderboard.claims import HOLLOW, HOLLOW_MEANS, VERDICTS
from leaderboard.claims import TRACKS as CLAIM_TRACKS
from leaderboard.constant import spread
from leaderboard.record import Record
from leaderboard.site.charts import interval_bar
from leaderboard.site.matrix import meets, parameters
from leaderboard.site.tracks import METRIC_TEXT, NORM_TEXT, TRACK_TEXT, budget

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, context: Mapping[str, object]) -> str:
    """Render one template of the site's folder."""
    return _environment().get_template(template).render(context)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        # True, not select_autoescape(): that one goes by suffix and would leave '.html.j2' unescaped.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        span=span,
        spread=spread,
        times=times,
        points=points,
        number=number,
        size=size,
        web=web,
        words=_words,
        metric=metric_words,
        budget=budget,
    )
    environment.globals.update(
        interval_bar=interval_bar,
        parameters=parameters,
        meets=meets,
        TRACK_TEXT=TRACK_TEXT,
        NORM_TEXT=NORM_TEXT,
        RANKED_AT=rules().ranking.text,
        RANKED_NORM=NORM_TEXT[rules().ranking.norm],
        CLAIM_TRACKS=CLAIM_TRACKS,
        VERDICTS=VERDICTS,
        HOLLOW=HOLLOW,
        HOLLOW_MEANS=HOLLOW_MEANS,
        idle_mark=idle_mark,
    )
    return environment


def percent(record: Record) -> str:
    """Return the value in percent with one decimal."""
    return f"{record.value * 100:.1f}"


def span(record: Record) -> str:
    """Return the 95 % interval in percent; the one-sided bound where no image, or every one, is counted."""
    return record.interval()


def times(record: Record) -> str:
    """Return a multiple: ``1.0×``, ``183×``."""
    return f"{record.value:.0f}×" if record.value >= 99.5 else f"{record.value:.1f}×"


def points(difference: float) -> str:
    """Return a difference of shares in signed points; a zero has no sign."""
    told = f"{difference * 100:.1f}"
    if float(told) == 0:
        return "0.0"
    return told.replace("-", "\N{MINUS SIGN}") if difference < 0 else f"+{told}"


def number(value: float) -> str:
    """Return a number without trailing zeros, thousands apart."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def size(count: int) -> str:
    """Return bytes as kB or MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(count / 1e3, 0.1):.1f} kB"


def web(url: str) -> str:
    """Return the address if it is a web address, else nothing: 'javascript:' and the like are never linked."""
    return url if url.startswith(("https://", "http://")) else ""


def metric_words(name: str) -> str:
    """Return a metric's words."""
    return METRIC_TEXT.get(name, name.replace("_", " "))


def _words(name: str) -> str:
    return name.replace("_", " ")
