"""What the official runs took, per image and track, so that a run can say beforehand what it will take."""

from collections.abc import Iterable

from leaderboard.entries import EntryRows

Effort = dict[str, dict[str, object]]
"""``dataset/submission`` -> ``stochastic`` and ``tracks``: track -> [forward, backward passes, attacks] per image."""


def efforts(members: Iterable[EntryRows]) -> Effort:
    """Sum up what each entry's attacks took; rows that repeat another track's took nothing."""
    found: Effort = {}
    for entry in members:
        tracks: dict[str, list[float]] = {}
        stochastic = False
        for track, rows in entry.attacks():
            images = max(1, rows["sample_id"].nunique())
            own = rows[(rows["same_as"].astype(object).fillna("") == "") & ~rows["skipped"]]
            counts = (float(own["queries"].sum()), float(own["gradients"].sum()), float(len(own)))
            tracks[track] = [round(count / images, 2) for count in counts]
            stochastic |= bool((rows["draws"] > 1).any())
        found[f"{entry.dataset}/{entry.submission}"] = {"stochastic": stochastic, "tracks": tracks}
    return found
