"""Which figures the entry pages and the published numbers mark as upper bounds."""

from benchmark.results.schema import HEADLINE_EPS
from leaderboard.record import Record


def is_bound(record: Record | None) -> bool:
    """Whether a figure is marked as an upper bound; never at the budget that ranks, the largest of all tracks but one.

    The track with larger budgets has inexpensive attacks alone, which skip nothing that could lower a figure.
    """
    if record is None or not record.known:
        return False
    return record.upper_bound and (record.norm, record.eps_255) != ("linf", HEADLINE_EPS)
