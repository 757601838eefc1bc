"""What an entry's indicators say, on which images they rest, and what its author can do."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.matrix.diagnostics import GRADIENT
from benchmark.matrix.rules import rules
from benchmark.results.schema import DIAGNOSTIC
from leaderboard.bootstrap import Floats
from leaderboard.entries import EntryRows
from leaderboard.indicators import (
    HIDDEN,
    LARGE_RADIUS,
    MONOTONICITY,
    NO_GRADIENT,
    Indicator,
    indicators,
    unaided,
    weakest_other_track,
)
from leaderboard.verdicts import Verdicts, verdicts

MEANS = {
    MONOTONICITY: "robust accuracy in the adaptive track less that in the track that leaves fewest",
    LARGE_RADIUS: "share of images right under PGD at 128/255, where nothing of an image has to be left",
    HIDDEN: "share of images that fall only to attacks which need nothing of the entry",
    NO_GRADIENT: "share of images at which the adaptive gradient is zero or not finite",
}
"""Indicator -> what its number is."""

TO_DO = {
    MONOTONICITY: "Look for a step of the entry that detaches, rounds, compares or saturates, and declare its backward "
    "pass (Stage.bpda); 'bench attack pgd-20 --track adaptive' beside another track shows the difference.",
    LARGE_RADIUS: "Follow the gradient from the logits to the image: somewhere it is lost or turned. If the entry "
    "predicts one class whatever it is shown, train it anew.",
    HIDDEN: "Let adaptive_logits return what the deployed decision is computed from, with its own gradient, and drop "
    "what stands between these scores and the answer: it protects nobody from an attacker who owns the system. "
    "'bench attack inner --track diagnostic --save FOLDER' shows the images.",
    NO_GRADIENT: "Declare a differentiable stand-in for the step that stops the gradient, or leave it: attacks without "
    "gradients decide then.",
}
"""Indicator -> what the author of an entry can do where it fires."""


@dataclass(frozen=True)
class Finding:
    """One indicator of an entry.

    Attributes:
        indicator: its value and bound.
        means: what the number is.
        to_do: what the author can do; empty where it does not fire.
        images: ids of the images that it rests on where it fires.
    """

    indicator: Indicator
    means: str
    to_do: str
    images: tuple[str, ...]


def diagnosis(entry: EntryRows) -> tuple[Finding, ...]:
    """Return all indicators of an entry with what they rest on."""
    judged = verdicts(entry)
    found = indicators(entry, judged)
    return tuple(
        Finding(
            one,
            MEANS[one.name],
            TO_DO[one.name] if one.fires else "",
            tuple(_images(one.name, entry, judged)) if one.fires else (),
        )
        for one in found
    )


def _images(name: str, entry: EntryRows, judged: Verdicts) -> Sequence[str]:
    if name == MONOTONICITY:
        strongest, other = rules().with_view("everything")[-1], weakest_other_track(judged)
        return _fallen(judged, other, _standing(judged, strongest))
    if name == HIDDEN:
        worst = unaided(entry)
        fallen = set(worst.index[worst.to_numpy() == 0])
        return [image for image in _standing(judged) if image in fallen]
    rows = entry.track(DIAGNOSTIC)
    if name == LARGE_RADIUS:
        attacked = rows[((rows["eps_255"] > rules().ranking.eps_255) & (rows["status"] == "ok")).to_numpy()]
        left = attacked.groupby(attacked["sample_id"].astype(str))["correct"].min().astype(bool)
        return sorted(left.index[left.to_numpy()])
    without = ((rows["attack"].astype(str) == GRADIENT) & (rows["score"].fillna(0.0) == 0)).to_numpy()
    return sorted(rows.loc[without, "sample_id"].astype(str))


def _scores(judged: Verdicts, track: str = "") -> Floats:
    return judged.worst(judged.at(*rules().ranking.place, track))[0]


def _standing(judged: Verdicts, track: str = "") -> list[str]:
    """Images that are right under each ranked attack of a track, or of all."""
    return [image for image, score in zip(judged.images, _scores(judged, track), strict=True) if score > 0]


def _fallen(judged: Verdicts, track: str, among: Sequence[str]) -> list[str]:
    fallen = {image for image, score in zip(judged.images, _scores(judged, track), strict=True) if score == 0}
    return [image for image in among if image in fallen]
