"""Orders of defenses that papers print, or need, beside ours: confirmed, refuted or no significant difference."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from benchmark.matrix.rules import rules
from benchmark.results.schema import CLEAN
from leaderboard.constant import hollow
from leaderboard.entries import EntryRows, Required
from leaderboard.metrics import records_of
from leaderboard.paired import Difference, differences_of
from leaderboard.published import PublishedNumber
from leaderboard.record import ALL_TRACKS, Record

ATTACK, (NORM, EPS_255) = "pgd-20", rules().ranking.place
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
    ("fat", "pgd_at"),
    ("ima", "pgd_at"),
    ("ard", "pgd_at"),
    ("ensemble_at", "natural"),
    ("defensive_distillation", "natural"),
    ("pgd_at", "comdefend"),
    ("comdefend", "natural"),
    ("comdefend", "random_rp"),
    ("random_rp", "natural"),
    ("medrdf_sp_mf", "natural"),
    ("medrdf_sp_mf", "pgd_at"),
    ("medrdf_sp_mf_10k", "natural"),
    ("medrdf_sp_mf_10k", "pgd_at"),
    ("medrdf_sp_mf_10k", "medrdf_sp_mf"),
    ("cushion_jpeg80", "natural"),
    ("hgd", "natural"),
    ("cushion_jpeg80_pgd_at", "pgd_at"),
    ("comdefend_pgd_at", "pgd_at"),
    ("random_rp_pgd_at", "pgd_at"),
    ("medrdf_sp_mf_pgd_at", "pgd_at"),
    ("medrdf_sp_mf_10k_pgd_at", "pgd_at"),
    ("medrdf_sp_mf_10k_pgd_at", "medrdf_sp_mf_pgd_at"),
    ("average_pooling", "natural"),
    ("bounded_relu", "pgd_at"),
    ("drop_max", "pgd_at"),
    ("dual_batch_norm", "pgd_at"),
)
"""Which of two entries a paper puts higher, or would have to for the second defense to be worth its cost."""

PRINTED_AS = {"medrdf_sp_mf_10k": "medrdf_sp_mf"}
"""Entries that are a printed defense under a longer name: two numbers of copies here, one in print."""

TRACKS = (CLEAN, *rules().with_view("undefended"), ALL_TRACKS)
"""What a claim is held against: no attack, the papers' attacker, who ignores the defense, and all that rank here."""

HOLLOW = "†"
"""Stands behind an entry whose robustness is no diagnosis, see :func:`leaderboard.constant.hollow`."""

HOLLOW_MEANS = (
    "a degenerate classifier on this data set, clean or under attack: it misses a class or predicts nearly one class "
    "(the board says how), so that its robust accuracy says little of a diagnosis"
)

VERDICTS = {"higher": "confirmed", "lower": "refuted", "no significant difference": "no significant difference"}
"""What a difference says of the claim that its first entry is above its second."""


@dataclass(frozen=True)
class Printed:
    """In how many published experiments the first is above the second, below it, and how many print both.

    ``otherwise_above`` and ``otherwise`` say the same of white-box experiments with another attack or budget, and of
    those whose numbers were set aside.
    """

    above: int
    below: int
    both: int
    otherwise_above: int = 0
    otherwise: int = 0

    def __str__(self) -> str:
        """``2 of 4, below in 1``; without such an experiment what others print."""
        if self.both:
            return f"{self.above} of {self.both}, below in {self.below}"
        if self.otherwise:
            return f"not so; otherwise {self.otherwise_above} of {self.otherwise}"
        return "not printed"


@dataclass(frozen=True)
class Ordering:
    """The claim that ``higher`` is more robust than ``lower``, on one data set.

    ``differences`` is keyed by track, of :data:`TRACKS`; one in which an entry lacks a verdict is not there.
    ``uncounted`` holds the same with the unranked attacks, which the ranking leaves out, in the worst case.
    ``hollow`` names those of the two whose robustness is no diagnosis on this data set.
    """

    higher: str
    lower: str
    printed: Printed
    dataset: str
    differences: dict[str, Difference]
    uncounted: dict[str, Difference]
    hollow: tuple[str, ...] = ()

    @property
    def claim(self) -> str:
        """``A above B``, with :data:`HOLLOW` behind an entry whose robustness is no diagnosis."""
        return " above ".join(f"{name}{HOLLOW * (name in self.hollow)}" for name in (self.higher, self.lower))

    def overturned(self, track: str) -> Difference | None:
        """The difference under the uncounted attacks too, where it leads to another verdict; else None."""
        counted, every = self.differences.get(track), self.uncounted.get(track)
        return every if counted and every and track != "clean" and every.verdict != counted.verdict else None

    def verdict(self, track: str) -> str:
        """A word of :data:`VERDICTS`; empty without complete rows, and without an attacker."""
        told = self.differences.get(track)
        return VERDICTS[told.verdict] if told and track != "clean" else ""

    def told(self, track: str) -> str:
        """The verdict, both shares in % and the difference in points with its interval; empty without a verdict."""
        one = self.differences.get(track)
        if one is None:
            return ""
        verdict = self.verdict(track)
        other = self.overturned(track)
        beside = f"; with the uncounted attacks {VERDICTS[other.verdict]}: {_figures(other)}" if other else ""
        return f"{verdict}{': ' if verdict else ''}{_figures(one)}{beside}"


def _figures(one: Difference) -> str:
    interval = f"{100 * one.value:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f})"
    return f"{100 * one.first:.1f} and {100 * one.second:.1f}, {interval}"


def orderings(
    everyone: list[EntryRows],
    numbers: Iterable[PublishedNumber],
    required: Required | None = None,
    claims: Sequence[tuple[str, str]] = CLAIMS,
    records: Iterable[Record] | None = None,
) -> list[Ordering]:
    """Hold every claim against each data set on which both of its entries have official rows; others confirm nothing.

    Args:
        everyone: entries, from :func:`leaderboard.entries.entries`.
        numbers: what papers print, from :func:`leaderboard.published.read_published`.
        required: what the matrix asks of an entry; by default the matrix in force.
        claims: pairs of submissions, the one that is said to be more robust first.
        records: those of ``everyone``, where they are known already.
    """
    known, official = list(numbers), [entry for entry in everyone if entry.official]
    empty = _hollow(records_of(official, required) if records is None else records)
    found = []
    for higher, lower in claims:
        printed = in_print(known, PRINTED_AS.get(higher, higher), PRINTED_AS.get(lower, lower))
        counted, every = (
            _by_dataset(differences_of(official, higher, lower, required, uncounted)) for uncounted in (False, True)
        )
        found += [
            Ordering(
                higher,
                lower,
                printed,
                dataset,
                told,
                every.get(dataset, {}),
                tuple(name for name in (higher, lower) if (name, dataset) in empty),
            )
            for dataset, told in counted.items()
        ]
    return found


def _hollow(records: Iterable[Record]) -> set[tuple[str, str]]:
    """Which official (submission, data set) are robust without telling classes apart."""
    own: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.official:
            own.setdefault((record.submission, record.dataset), []).append(record)
    return {place for place, found in own.items() if hollow(found)}


def _by_dataset(found: Iterable[Difference]) -> dict[str, dict[str, Difference]]:
    kept: dict[str, dict[str, Difference]] = {}
    for one in found:
        if one.track in TRACKS:
            kept.setdefault(one.dataset, {})[one.track] = one
    return kept


def in_print(numbers: Iterable[PublishedNumber], higher: str, lower: str) -> Printed:
    """Count the published experiments that print both defenses under :data:`ATTACK` at :data:`EPS_255`.

    Of several settings of a defense in one experiment, such as numbers of votes, the best counts.
    """
    attacked = [
        one
        for one in numbers
        if one.track in TRACKS[1:-1] and (one.norm, one.metric) == (NORM, "accuracy") and one.defense in (higher, lower)
    ]
    counted = [one for one in attacked if (one.attack, one.eps_255) == (ATTACK, EPS_255) and not one.set_aside]
    above, below, both = _outcomes(counted, higher, lower)
    otherwise_above, _, otherwise = _outcomes([one for one in attacked if one not in counted], higher, lower)
    return Printed(above, below, both, otherwise_above, otherwise)


def _outcomes(numbers: Iterable[PublishedNumber], higher: str, lower: str) -> tuple[int, int, int]:
    """In how many experiments the first is above the second, below it, and how many have both."""

    def experiment(one: PublishedNumber) -> tuple[object, ...]:
        budget = (one.printed_attack, one.attack, one.steps or 0, -1.0 if one.eps_255 is None else one.eps_255)
        return (one.source, one.table, one.dataset, one.task, one.model, *budget)

    above = below = both = 0
    for _, group in groupby(sorted(numbers, key=experiment), key=experiment):
        values = {one.defense: one.value for one in sorted(group, key=lambda one: one.value)}
        if len(values) == 2:
            both += 1
            above += values[higher] > values[lower]
            below += values[higher] < values[lower]
    return above, below, both
