"""Orders of defenses that papers print, beside the official rows: confirmed, refuted or not told apart.

Usage: ``python docs/orderings.py [--write]``. With ``--write`` it makes ``docs/orderings.md``, which a change of the
official rows makes necessary; a test holds the two together.
"""

import argparse
from collections.abc import Iterable, Sequence
from itertools import groupby

import pandas as pd

from benchmark.root import find_root
from leaderboard.paired import Difference, differences
from leaderboard.published import PublishedNumber, read_published
from leaderboard.record import ALL_TRACKS
from leaderboard.rows import read_rows

ROOT = find_root()
DOCUMENT = ROOT.path / "docs" / "orderings.md"
ATTACK, EPS_255 = "pgd-20", 8.0
"""The published numbers that count: the attack that the survey and MedRDF share, at the budget that ranks here."""

CLAIMS = (
    ("pgd_at", "natural"),
    ("trades", "pgd_at"),
    ("mart", "pgd_at"),
    ("mart", "trades"),
    ("hat", "pgd_at"),
    ("hat", "trades"),
    ("mpadvt", "pgd_at"),
    ("maadvt", "pgd_at"),
    ("trades_awp", "trades"),
    ("pgd_at", "comdefend"),
    ("comdefend", "natural"),
    ("comdefend", "random_rp"),
    ("random_rp", "natural"),
    ("medrdf_sp_mf", "natural"),
    ("medrdf_sp_mf", "pgd_at"),
    ("cushion_jpeg80", "natural"),
    ("hgd", "natural"),
    ("cushion_jpeg80_pgd_at", "pgd_at"),
    ("comdefend_pgd_at", "pgd_at"),
    ("random_rp_pgd_at", "pgd_at"),
    ("medrdf_sp_mf_pgd_at", "pgd_at"),
)
"""Which of two entries a paper puts higher, or would have to for the second defense to be worth its cost."""

VERDICTS = {"higher": "confirmed", "lower": "refuted", "not told apart": "not told apart"}


def in_print(numbers: Iterable[PublishedNumber], higher: str, lower: str) -> tuple[int, int, int]:
    """In how many published experiments the first is above the second, below it, and how many print both.

    Of several settings of a defense in one experiment, such as numbers of votes, the best counts.
    """
    counted = [
        one
        for one in numbers
        if (one.track, one.attack, one.norm, one.eps_255, one.metric)
        == ("white-box", ATTACK, "linf", EPS_255, "accuracy")
        and not one.set_aside
        and one.defense in (higher, lower)
    ]

    def experiment(one: PublishedNumber) -> tuple[str, ...]:
        return (one.source, one.table, one.dataset, one.task, one.model)

    above = below = both = 0
    for _, group in groupby(sorted(counted, key=experiment), key=experiment):
        values = {one.defense: one.value for one in sorted(group, key=lambda one: one.value)}
        if len(values) == 2:
            both += 1
            above += values[higher] > values[lower]
            below += values[higher] < values[lower]
    return above, below, both


def points(one: Difference) -> str:
    """Both shares in % and the difference in points with its interval."""
    return (
        f"{100 * one.first:.1f} and {100 * one.second:.1f}: {100 * one.value:+.1f} "
        f"[{100 * one.low:+.1f}, {100 * one.high:+.1f}]"
    )


def line(higher: str, lower: str, printed: tuple[int, int, int], of: Sequence[Difference]) -> str:
    """One row of the table: a claim on one data set."""
    by_track = {one.track: one for one in of}
    above, below, both = printed
    cells = [f"{higher} above {lower}", f"{above} of {both}, below in {below}" if both else "not printed"]
    cells.append(of[0].dataset)
    cells.append(points(by_track["clean"]) if "clean" in by_track else "")
    for track in ("white-box", ALL_TRACKS):
        told = by_track.get(track)
        cells.append(f"**{VERDICTS[told.verdict]}** ({points(told)})" if told else "no complete rows")
    return f"| {' | '.join(cells)} |"


def document(rows: pd.DataFrame) -> str:
    """The whole document from the official rows."""
    numbers = read_published()
    lines = [
        line(higher, lower, in_print(numbers, higher, lower), list(of))
        for higher, lower in CLAIMS
        for _, of in groupby(differences(rows, higher, lower), key=lambda one: one.dataset)
    ]
    return f"""# Orders of defenses that papers print, and ours

Made by `python docs/orderings.py --write` from the official rows; not edited by hand.

- In print: in how many experiments of the survey and of MedRDF the first is above the second under {ATTACK} at
  {EPS_255:g}/255, of those that print both. The papers' images, networks and sizes are others than ours.
- Clean: accuracy of both entries in %, on all test images. White-box: the worst case at 8/255 of attacks on the bare
  classifier, which for a defense in front of it is an attacker who does not know of it, as in the papers. All tracks:
  the number that ranks; its adaptive attacker knows everything.
- Differences in points with 95 % intervals, paired by image and resampled by patient: *confirmed* where the interval
  lies above zero, *refuted* where it lies below. The intervals are not corrected for the number of claims. Where two
  entries differ on no image, resampling finds no difference either, and the interval is a point.
- An order between two entries that have lost their diagnosis says little: the board marks which are no better than one
  answer for all.

| claim | in print | data set | clean | white-box | all tracks |
| --- | --- | --- | --- | --- | --- |
{chr(10).join(lines)}
"""


def main() -> None:
    """Print the document, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT.path)}")
    given = parser.parse_args()
    text = document(read_rows([ROOT.official_results]))
    if given.write:
        DOCUMENT.write_text(text, "utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
