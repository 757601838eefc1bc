"""The one exception a user is meant to read."""

from collections.abc import Iterable
from difflib import get_close_matches


class BenchError(Exception):
    """Bad input: one sentence that says what is wrong, where, and how to mend it.

    The command line prints the message without a traceback and exits with code 2.
    """


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for a near miss, else the list of what is known."""
    names = sorted(known)
    close = get_close_matches(wrong, names, n=1)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(names)}." if names else ""
