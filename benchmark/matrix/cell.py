"""A cell of the matrix: one attack with its parameters and budgets. Imports no torch."""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import AliasChoices, ConfigDict, Field, field_validator, model_validator

from benchmark.matrix.budgets import wrong_budget
from benchmark.toml_model import Strict

# Numbers are strict: text that looks like one is a slip, as it is in an attack's parameters.
Positive = Annotated[int, Field(ge=1, strict=True)]
Budget = Annotated[float, Field(strict=True)]
PlainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
Params = dict[str, int | float | str | bool]


class Cell(Strict):
    """One attack of one track.

    Attributes:
        name: what rows and pages call it, unique inside its track.
        method: the attack's name in the attack registry; ``params`` are its parameters.
        suite: group reported together, such as ``autoattack``; empty for a single attack.
        eps_255: budgets, ascending, in the units of the norm (:data:`benchmark.results.schema.NORMS`).
        cost: ``inexpensive`` cells run with eps rising on images not yet broken, ``expensive`` ones from the largest
            eps down. (Version 1 of the file calls them cheap and dear, and ``unranked`` informative.)
        unranked: the cell attacks every image that is right when clean, for tables like the papers', and stays out
            of the worst case; cells that never changed one are marked so.
        when: kind of defense that is evaluated with the cell: one without randomness, one with, or both.
        needs: what only some defenses have: stages whose backward pass can also be the identity, a detector's
            score, or code that is not the benchmark's.
        surrogate: what an attacker without the target attacks, one of the data set's surrogates or ``ensemble`` for all
            of them; empty for the usual one.
        backward: backward pass of the adaptive view: the stand-ins that the stages declare, or the identity.
        stochastic: parameters that differ for a randomised defense.
        same_as: ``track/name`` of a cell with the same view, parameters and seed wherever the defense makes the two
            views coincide; it is computed once, there.
    """

    track: str
    name: PlainName
    method: str
    suite: str = ""
    norm: Literal["linf", "l2", "l0"] = "linf"
    eps_255: Annotated[list[Budget], Field(min_length=1)]
    cost: Literal["inexpensive", "expensive"]
    unranked: bool = Field(default=False, validation_alias=AliasChoices("unranked", "informative"))
    when: Literal["always", "deterministic", "stochastic"] = "always"
    needs: Literal["", "alternative-backward", "detector", "code-of-its-own"] = ""
    surrogate: str = ""
    backward: Literal["declared", "identity"] = "declared"
    params: Params = Field(default_factory=dict)
    stochastic: Params = Field(default_factory=dict)
    same_as: str = ""
    knowledge: str
    objective: str
    source: str

    model_config = ConfigDict(populate_by_name=True)

    @field_validator("cost", mode="before")
    @classmethod
    def _words_of_version_1(cls, value: object) -> object:
        return {"cheap": "inexpensive", "dear": "expensive"}.get(str(value), value)

    @field_validator("name")
    @classmethod
    def _not_taken(cls, value: str) -> str:
        if value in ("none", "clean", "worst-case"):
            raise ValueError(f"'{value}' means something else where rows and pages name attacks; take another name")
        return value

    @model_validator(mode="after")
    def _sound_budgets(self) -> "Cell":
        wrong = next(filter(None, (wrong_budget(self.norm, eps) for eps in self.eps_255)), "")
        if wrong:
            raise ValueError(f"cell '{self.track}/{self.name}': {wrong}")
        if self.eps_255 != sorted(set(self.eps_255)):
            raise ValueError(f"cell '{self.track}/{self.name}': eps_255 must be ascending, not {self.eps_255}")
        return self

    @property
    def lender(self) -> str:
        """Track of the cell that this one is the same as; empty without one."""
        return self.same_as.partition("/")[0]

    def applies(self, stochastic: bool, has: Collection[str] = ()) -> bool:
        """Whether a defense of this kind is evaluated with the cell; ``has`` names what it offers of :attr:`needs`."""
        kind = self.when == "always" or (self.when == "stochastic") == stochastic
        return kind and (not self.needs or self.needs in has)
