"""What an attack track knows of each image: at which budget it fell, to what, and what it survived.

Balls are nested: an image that fell at 2/255 has fallen at 8/255, and one that a dear cell could not fell at 8/255
counts as having survived that cell below (DESIGN, idea 5).
"""

from dataclasses import dataclass, field

from benchmark.engine.rows import Outcome


@dataclass(frozen=True)
class Fall:
    """How an image fell."""

    by: str
    eps_255: float
    outcome: Outcome

    @property
    def text(self) -> str:
        """``attack@eps`` as rows carry it."""
        return self.by if self.by == "clean" else f"{self.by}@{self.eps_255:g}"


@dataclass
class Ladder:
    """The state of one image through the cells of one track."""

    clean: Outcome
    falls: list[Fall] = field(default_factory=list)
    survived: dict[str, tuple[float, Outcome]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.clean.right:
            self.falls.append(Fall("clean", 0.0, self.clean))

    def fall_at(self, eps_255: float) -> Fall | None:
        """The fall at the smallest budget that also counts at ``eps_255``; None while the image stands there."""
        within = [fall for fall in self.falls if fall.eps_255 <= eps_255]
        return min(within, key=lambda fall: fall.eps_255) if within else None

    def survival_of(self, cell: str, eps_255: float) -> Outcome | None:
        """The outcome at a budget of at least ``eps_255`` that this cell failed at."""
        eps, outcome = self.survived.get(cell, (-1.0, None))
        return outcome if eps >= eps_255 else None

    def felled_above(self, eps_255: float) -> set[str]:
        """The cells that felled the image at a budget above ``eps_255``."""
        return {fall.by for fall in self.falls if fall.eps_255 > eps_255}

    def survival(self, eps_255: float) -> Outcome | None:
        """The outcome at a budget of at least ``eps_255`` that any cell failed at, the last one's; None without."""
        outcomes = [outcome for eps, outcome in self.survived.values() if eps >= eps_255]
        return outcomes[-1] if outcomes else None

    def record(self, cell: str, eps_255: float, outcome: Outcome) -> None:
        """Note what a cell did to the image."""
        if outcome.right:
            if eps_255 > self.survived.get(cell, (-1.0, outcome))[0]:
                self.survived[cell] = (eps_255, outcome)
        else:
            self.falls.append(Fall(cell, eps_255, outcome))
