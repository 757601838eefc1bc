"""The matrix file as typed data."""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from benchmark.errors import BenchError, did_you_mean
from benchmark.matrix.budgets import wrong_budget
from benchmark.matrix.cell import Budget, Cell, Params, PlainName, Positive
from benchmark.matrix.rules import Ranking, Rules, Track, View, rules
from benchmark.streams import Streams
from benchmark.toml_model import Strict, read_toml

MATRIX_FILE = Path(__file__).parent / "matrix-v1.toml"
"""The matrix in force. It is frozen: a changed cell means a new version in a new file."""

Severity = Annotated[int, Field(ge=1, le=5, strict=True)]


class Corruption(Strict):
    """The corruption track: Robust-Benchmark's sequences.

    ``images`` of the official subset are used: 14 perturbations x 5 severities x 21 frames of each are many.
    """

    mode: Literal["paper", "released-code"]
    severities: Annotated[list[Severity], Field(min_length=1)]
    images: Positive
    source: str


class Profile(Strict):
    """How much of the matrix a run spends.

    Attributes:
        official: whether rows made with it may be ranked.
        images: at most so many images of the official subset; None for all.
        judge_draws: the judge's draws for a randomised defense, odd.
        eot_samples: draws of a randomised pipeline that one gradient averages over.
        caps: upper bounds on attack parameters.
        eps_255: budgets kept in the norm that ranks; None for all.
        severities, corruption_images: bounds on the corruption track; None for the matrix's own.
    """

    official: bool
    images: Positive | None = None
    judge_draws: Positive
    eot_samples: Positive
    caps: dict[str, Positive] = Field(default_factory=dict)
    eps_255: Annotated[list[Budget], Field(min_length=1)] | None = None
    severities: Annotated[list[Severity], Field(min_length=1)] | None = None
    corruption_images: Positive | None = None

    @model_validator(mode="after")
    def _sound(self) -> "Profile":
        if self.judge_draws % 2 == 0:
            raise ValueError(f"judge_draws is {self.judge_draws}; an odd number leaves no tie")
        return self


class Matrix(Rules):
    """The whole matrix file.

    Attributes:
        track, ranking: tracks, and by what entries are ranked; those in force where the file has none.
        version: raised when a cell changes.
        chunk: images of a unit of work.
        descend: below its largest budget an expensive cell tries every image not yet misclassified there, or only what
            it broke itself at the next budget above; what others broke there has been tried below by those. (Version
            1 of the file calls these standing and felled.) With "each" it is tried at each budget on every image that
            is not yet misclassified there, also on those that it could not break above: the curve is exact.
        streams: what random numbers come from.
        twin: whether attacks follow the gradient of a defense's fast twin
            (:func:`~benchmark.defense.twin.twin_of`); judged is the original.
    """

    track: list[Track] = Field(default_factory=lambda: rules().track)
    ranking: Ranking = Field(default_factory=lambda: rules().ranking)
    version: PlainName
    chunk: Positive
    descend: Literal["robust", "own", "each"] = "robust"
    streams: Streams = "mersenne"
    twin: bool = False
    corruption: Corruption
    profile: dict[str, Profile]
    cell: list[Cell]

    @field_validator("descend", mode="before")
    @classmethod
    def _words_of_version_1(cls, value: object) -> object:
        return {"standing": "robust", "felled": "own"}.get(str(value), value)

    @model_validator(mode="after")
    def _consistent(self) -> "Matrix":
        self._check_tracks()
        self._check_budgets()
        names = [(cell.track, cell.name) for cell in self.cell]
        for track, name in names:
            if names.count((track, name)) > 1:
                raise ValueError(f"cell '{track}/{name}' is there twice")
        known = {f"{track}/{name}" for track, name in names}
        for cell in self.cell:
            if cell.same_as and cell.same_as not in known:
                raise ValueError(f"cell '{cell.track}/{cell.name}' is the same as '{cell.same_as}', which is no cell")
            if cell.same_as:
                self._check_source(cell)
        return self

    def _check_tracks(self) -> None:
        attacked = super().attack_tracks
        for cell in self.cell:
            if cell.track not in attacked:
                raise ValueError(
                    f"cell '{cell.track}/{cell.name}': '{cell.track}' is no track with an attacker."
                    f"{did_you_mean(cell.track, attacked)}"
                )

    def _check_budgets(self) -> None:
        """Every ranked cell of the norm that ranks has the budget that ranks; profiles name budgets of that norm."""
        norm, eps = self.ranking.place
        for cell in self.cell:
            if cell.norm == norm and not cell.unranked and eps not in cell.eps_255:
                raise ValueError(f"cell '{cell.track}/{cell.name}' lacks the budget that ranks, {self.ranking.text}")
        for profile in self.profile.values():
            wrong = next(filter(None, (wrong_budget(norm, value) for value in profile.eps_255 or ())), "")
            if wrong:
                raise ValueError(f"a profile's eps_255: {wrong}")

    def _check_source(self, cell: Cell) -> None:
        """The rows of ``same_as`` are taken over as they are, so that cell must make the same ones."""
        source = next(one for one in self.cell if f"{one.track}/{one.name}" == cell.same_as)
        told = f"cell '{cell.track}/{cell.name}' is the same as '{cell.same_as}', but"
        # Only the black box is seen alike from other tracks; a cell of the own track would wait for itself.
        lenders, borrowers = self.with_view("queries"), self.with_view("undefended", "everything")
        if source.track not in lenders or cell.track not in borrowers:
            raise ValueError(
                f"{told} only {' and '.join(borrowers)} cells can be that of a {' or '.join(lenders)} cell; "
                "remove same_as"
            )
        for field in ("method", "norm", "params", "unranked"):
            if getattr(source, field) != getattr(cell, field):
                raise ValueError(f"{told} field '{field}' differs between them; make it equal or remove same_as")
        if not set(cell.eps_255) <= set(source.eps_255) or source.when == "stochastic" or source.needs:
            raise ValueError(f"{told} that one does not run at all of its budgets; give it all, or remove same_as")

    def cells(self, track: str, *, stochastic: bool, profile: str, has: Collection[str] = ()) -> list[Cell]:
        """Cells of a track that a defense of this kind is evaluated with, cut down to a profile's budgets."""
        bounds = self.profile_named(profile)
        met = [cell for cell in self.cell if cell.track == track and cell.applies(stochastic, has)]
        kept = (_within(cell, bounds, stochastic, self.ranking.norm) for cell in met)
        return [cut for cut in kept if cut.eps_255]

    def profile_named(self, name: str) -> Profile:
        """Return a profile.

        Raises:
            BenchError: there is none of that name.
        """
        if name not in self.profile:
            raise BenchError(f"the matrix has no profile '{name}'.{did_you_mean(name, self.profile)}")
        return self.profile[name]

    @property
    def tracks(self) -> tuple[str, ...]:
        """All tracks that the matrix has cells for, in order."""
        held = self.attack_tracks
        return tuple(track.name for track in self.track if not track.attacked or track.name in held)

    @property
    def attack_tracks(self) -> tuple[str, ...]:
        """The tracks among them that have an attacker."""
        held = {cell.track for cell in self.cell}
        return tuple(track for track in super().attack_tracks if track in held)

    def view_of(self, cell: Cell) -> View:
        """What the attacker of a cell holds."""
        return self.named(cell.track).view


def _within(cell: Cell, profile: Profile, stochastic: bool, norm: str) -> Cell:
    """Apply a randomised defense's parameters, then the profile's caps."""
    params: Params = {
        name: min(value, profile.caps[name]) if name in profile.caps and isinstance(value, (int, float)) else value
        for name, value in {**cell.params, **(cell.stochastic if stochastic else {})}.items()
    }
    eps = cell.eps_255
    if profile.eps_255 is not None:
        # A profile names budgets of the norm that ranks; of the other norms' it keeps the largest.
        eps = [value for value in eps if value in profile.eps_255] if cell.norm == norm else eps[-1:]
    return cell.model_copy(update={"params": params, "eps_255": eps, "stochastic": {}})


def load_matrix(path: Path = MATRIX_FILE) -> tuple[Matrix, str]:
    """Read the matrix and return it with the sha256 of its file.

    Raises:
        BenchError: the file is missing or wrong, or another one than the matrix in force has a cell that cannot run.
    """
    if not path.is_file():
        mend = "reinstall medrobustbench" if path == MATRIX_FILE else "give the path of a matrix file"
        raise BenchError(f"the matrix file {path} is missing; {mend}.")
    matrix = read_toml(path, Matrix)
    if path != MATRIX_FILE:
        # The one in force is checked by a test, so that listings and the site need no torch.
        from benchmark.matrix.checked import check_matrix

        try:
            check_matrix(matrix)
        except BenchError as error:
            raise BenchError(f"{path}: {error}") from None
    return matrix, hashlib.sha256(path.read_bytes()).hexdigest()
