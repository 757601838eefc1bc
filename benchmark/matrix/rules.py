"""Tracks and ranking as data: records of a matrix file, or of the file beside it. Imports no torch."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from benchmark.matrix.budgets import in_words, wrong_budget
from benchmark.results.schema import CLEAN, CORRUPTION, DIAGNOSTIC, EXTERNAL
from benchmark.toml_model import Strict, read_toml

RULES_FILE = Path(__file__).parent / "tracks-v1.toml"
"""Tracks and ranking in force. Frozen: rows carry the hash of the matrix file, which is evaluated by these."""

View = Literal["none", "corruption", "surrogate", "queries", "training", "undefended", "everything"]
"""What the attacker holds; the first two have none."""

RESERVED = {CLEAN: "none", CORRUPTION: "corruption"}
"""Tracks without an attacker: rows and seeds know them by these names."""

Passes = Annotated[float, Field(ge=0)]


class Cost(Strict):
    """What a track takes per image where no official run tells: passes, and attacks that are judged."""

    forward: Passes = 0.0
    backward: Passes = 0.0
    attacks: Passes = 0.0


class Track(Strict):
    """One track.

    Attributes:
        name: what rows, cells and the command line call it.
        title, about: its words on pages: a heading and one sentence.
        view: what its attackers hold.
        fitted: its attacks are fitted before any image under attack is known, which takes the same for few images.
        needs: what a data set must have for it.
        cost: of an image.
        plain_as: track whose rows a classifier without a defense takes over here; empty for none.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    title: Annotated[str, Field(min_length=1)]
    about: Annotated[str, Field(min_length=1)]
    view: View
    fitted: bool = False
    needs: list[Literal["surrogates", "training"]] = Field(default_factory=list)
    cost: Cost = Field(default_factory=Cost)
    plain_as: str = ""

    @property
    def attacked(self) -> bool:
        """Whether it has an attacker."""
        return self.view not in RESERVED.values()

    @model_validator(mode="after")
    def _known_by_its_name(self) -> "Track":
        if RESERVED.get(self.name, "") != (self.view if not self.attacked else ""):
            told = ", ".join(f"'{name}' has view '{view}'" for name, view in RESERVED.items())
            raise ValueError(
                f"track '{self.name}' has view '{self.view}', but {told} and no other track; rename it or correct view"
            )
        if self.name in (DIAGNOSTIC, EXTERNAL, "all"):
            raise ValueError(f"'{self.name}' means something else where rows and pages name tracks; take another name")
        return self


class Ranking(Strict):
    """By what entries are ranked: the worst case over all tracks at this budget."""

    norm: Literal["linf", "l2", "l0"]
    eps_255: Annotated[float, Field(strict=True)]
    metric: Literal["robust_accuracy"]

    @property
    def place(self) -> tuple[str, float]:
        """Norm and budget, as cells and records have them."""
        return (self.norm, self.eps_255)

    @property
    def text(self) -> str:
        """The budget in words: ``8/255``."""
        return in_words(self.norm, self.eps_255)

    @model_validator(mode="after")
    def _sound(self) -> "Ranking":
        wrong = wrong_budget(self.norm, self.eps_255)
        if wrong:
            raise ValueError(f"ranking: {wrong}")
        return self


class Rules(Strict):
    """Tracks, knowledge rising, and ranking."""

    track: list[Track]
    ranking: Ranking

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tracks, in order."""
        return tuple(track.name for track in self.track)

    @property
    def attack_tracks(self) -> tuple[str, ...]:
        """Names of the tracks with an attacker."""
        return tuple(track.name for track in self.track if track.attacked)

    def named(self, name: str) -> Track:
        """Return a track.

        Raises:
            KeyError: there is none of that name.
        """
        return {track.name: track for track in self.track}[name]

    def with_view(self, *views: View) -> tuple[str, ...]:
        """Names of the tracks with one of these views."""
        return tuple(track.name for track in self.track if track.view in views)

    def place_of(self, name: str) -> tuple[int, str]:
        """What to sort names of tracks by: their order here; those of other matrices come last, by name."""
        return (self.names.index(name) if name in self.names else len(self.names), name)

    def in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        """Names of tracks in their order, each once."""
        return tuple(sorted(set(names), key=self.place_of))

    @model_validator(mode="after")
    def _tracks_agree(self) -> "Rules":
        views = {track.name: track.view for track in self.track}
        if len(views) < len(self.track):
            twice = next(name for name in views if self.names.count(name) > 1)
            raise ValueError(f"track '{twice}' is there twice")
        for track in self.track:
            if track.plain_as and (track.view != "everything" or views.get(track.plain_as) != "undefended"):
                raise ValueError(
                    f"track '{track.name}': plain_as is '{track.plain_as}'; only a track with view 'everything' has "
                    "it, and names one with view 'undefended'"
                )
        return self


@cache
def rules() -> Rules:
    """Tracks and ranking of the matrix in force.

    Raises:
        BenchError: the file is wrong.
    """
    return read_toml(RULES_FILE, Rules)
