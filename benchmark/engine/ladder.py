"""What an attack track knows of each image: at which budget it was broken, by what, and what it survived.

Balls are nested: an image that is broken at 2/255 is broken at 8/255, and one that an expensive cell could not break at
8/255 counts as having survived that cell below (DESIGN, idea 5).
"""

from dataclasses import dataclass, field

from benchmark.engine.rows import Outcome


@dataclass(frozen=True)
class Break:
    """How an image was broken."""

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
    breaks: list[Break] = field(default_factory=list)
    survived: dict[str, tuple[float, Outcome]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.clean.right:
            self.breaks.append(Break("clean", 0.0, self.clean))

    def broken_at(self, eps_255: float) -> Break | None:
        """The break at the smallest budget that also counts at ``eps_255``; None while the image is robust there."""
        within = [broken for broken in self.breaks if broken.eps_255 <= eps_255]
        return min(within, key=lambda broken: broken.eps_255) if within else None

    def survival_of(self, cell: str, eps_255: float) -> Outcome | None:
        """The outcome at a budget of at least ``eps_255`` that this cell failed at."""
        eps, outcome = self.survived.get(cell, (-1.0, None))
        return outcome if eps >= eps_255 else None

    def felled_above(self, eps_255: float) -> set[str]:
        """The cells that broke the image at a budget above ``eps_255``."""
        return {broken.by for broken in self.breaks if broken.eps_255 > eps_255}

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
            self.breaks.append(Break(cell, eps_255, outcome))
