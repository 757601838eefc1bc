"""MedRDF, Tables I and III to V: noise and denoiser, and the level of the noise."""

from collections.abc import Callable, Sequence

from ablation_sections.bench import ALPHA, CLEAN, COPIES, ENTRIES, Bench, Json
from ablation_sections.papers import CLEAN_IMAGES, COVID, DERMA, PGD20, PGD100, printed
from ablation_sections.section import Section
from ablation_sections.tables import MEASURED, Claim, abstentions, accuracies, beside, table, tested
from benchmark.data.split import Split
from benchmark.defense import Defense, Stage
from benchmark.defense.stages import (
    BinomialVote,
    GaussianNoise,
    GaussianSmoothing,
    MedianFilter,
    PoissonNoise,
    SaltAndPepper,
)

NOISES: dict[str, Callable[[], list[Stage]]] = {
    "no noise": lambda: [],
    "Gaussian": lambda: [GaussianNoise(0.1)],
    "salt and pepper": lambda: [SaltAndPepper(0.1)],
    "Poisson": lambda: [PoissonNoise(100)],
}
DENOISERS: dict[str, Callable[[], list[Stage]]] = {
    "none": lambda: [],
    "GS": lambda: [GaussianSmoothing()],
    "MF": lambda: [MedianFilter()],
}
_NAMES = {"Gaussian": "gaussian", "salt and pepper": "sp", "Poisson": "poisson", "none": "bare", "GS": "gs", "MF": "mf"}
_BARE = {"none": "natural", "GS": "gaussian_smoothing", "MF": "median_filter"}
NAMED = {
    f"{noise}, {denoiser}": f"medrdf_{_NAMES[noise]}_{_NAMES[denoiser]}" if noise in _NAMES else _BARE[denoiser]
    for noise in NOISES
    for denoiser in DENOISERS
}
"""The names of the grid's defenses in the table of published numbers."""
BARE, CHOSEN = "no noise, none", "salt and pepper, MF"
TABLES = {"III": "ResNet-18", "IV": "ResNet-50", "V": "AG-Sononet-16"}
"""MedRDF's tables of noises and denoisers, and the network of each."""


def medrdf(table: str, name: str, dataset: str) -> list[float]:
    """MedRDF's figures for a defense of the grid: natural accuracy and accuracy under PGD-20 at 8/255, in %."""
    which = {"dataset": dataset, "model": TABLES[table], "defense": NAMED[name]}
    return [printed("MedRDF", table, **which, **row) for row in (CLEAN_IMAGES, PGD20)]


def _figures(numbers: Sequence[str], what: str, *names: str) -> str:
    """The paper's accuracies under PGD-20, per table and data set in the order of the names."""
    told = (
        f"Table {number}: "
        + "; ".join(
            f"{', '.join(f'{medrdf(number, name, dataset)[1]:.1f}' for name in names)} on {short}"
            for dataset, short in ((COVID, "COVID-19"), (DERMA, DERMA))
        )
        for number in numbers
    )
    return f"PGD-20, {what}; " + "; ".join(told)


def noise_claims(*numbers: str) -> tuple[Claim, ...]:
    """The paper's claims about noises and denoisers, with the figures of some of its tables."""
    return (
        Claim(
            "that noise, denoiser and vote markedly improve the accuracy of the bare network under attack",
            _figures(numbers, "salt and pepper with median filter, bare network", CHOSEN, BARE),
            ((CHOSEN, BARE),),
        ),
        Claim(
            "that the vote over noisy copies achieves this, not the denoiser alone",
            _figures(numbers, "median filter with salt and pepper, without noise", CHOSEN, "no noise, MF"),
            ((CHOSEN, "no noise, MF"),),
        ),
        Claim(
            "that the median filter is a better denoiser than Gaussian smoothing, and that either is better than none",
            _figures(
                numbers,
                "salt and pepper with MF, GS, no denoiser",
                *(CHOSEN, "salt and pepper, GS", "salt and pepper, none"),
            ),
            ((CHOSEN, "salt and pepper, GS"), ("salt and pepper, GS", "salt and pepper, none")),
        ),
        Claim(
            "that salt and pepper is the best noise",
            _figures(
                numbers,
                "median filter with salt and pepper, Gaussian, Poisson",
                *(CHOSEN, "Gaussian, MF", "Poisson, MF"),
            ),
            ((CHOSEN, "Gaussian, MF"), (CHOSEN, "Poisson, MF")),
        ),
    )


def grid(bench: Bench, entry: str) -> dict[str, Defense]:
    """Each noise with each denoiser; without noise all copies are equal, so there is no vote."""
    return {
        f"{noise}, {denoiser}": bench.defense(
            entry, [*noisy(), *denoised()], BinomialVote(COPIES, ALPHA) if noisy() else None
        )
        for noise, noisy in NOISES.items()
        for denoiser, denoised in DENOISERS.items()
    }


def run_noise(bench: Bench) -> Json:
    """Each noise with each denoiser."""
    return {
        entry: {name: bench.measured(entry, defense) for name, defense in grid(bench, entry).items()}
        for entry in ENTRIES
    }


def told_grid(
    found: Json, split: Split, claims: Sequence[Claim], papers: Callable[[str, str, str], list[float]]
) -> str:
    """Claims and table; ``papers`` returns the paper's figures for an entry, a defense and a data set."""
    rows = [
        [
            entry,
            *name.split(", "),
            *accuracies(row, split),
            abstentions(row) if name.split(", ")[0] != "no noise" else "–",
            *(", ".join(f"{value:.1f}" for value in papers(entry, name, dataset)) for dataset in (COVID, DERMA)),
        ]
        for entry, named in found.items()
        for name, row in named.items()
    ]
    header = ("classifier", "noise", "denoiser", *MEASURED, "abstained", "paper: COVID-19", "paper: DermaMNIST")
    return "\n".join([*(tested(claim, found, split) for claim in claims), "", table(header, rows)])


def tell_noise(found: Json, split: Split) -> str:
    """Claims and table; the paper's figures belong to the classifier that is trained like the paper's."""
    return told_grid(
        found,
        split,
        noise_claims("III"),
        lambda entry, name, dataset: medrdf("III", name, dataset) if entry == ENTRIES[0] else [],
    )


NOISE = Section(
    "Noise and denoiser (MedRDF, Table III)",
    f"Each noise has level 0.1. GS: Gaussian smoothing with a sigma of one pixel; MF: 3 x 3 median filter. With noise "
    f"there is a vote of up to {COPIES} copies at alpha {ALPHA:g}; without noise all copies are equal and there is no "
    f"vote. In the paper the accuracy of a denoiser alone drops to at most 15.1, but with noise and vote it does not: "
    f"the attacks on the two may have differed. Abstained: clean / non-adaptive / adaptive. Paper: ResNet-18, natural "
    f"accuracy and PGD-20. The next sections cover its other networks and attacks.",
    run_noise,
    tell_noise,
)

MEDRDF_I = {
    level: [
        printed("MedRDF", "I", f"sigma {level:g},", model="ResNet-50", **column) for column in (CLEAN_IMAGES, PGD100)
    ]
    for level in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
}
"""MedRDF, Table I (ResNet-50, COVID-19): accuracy in % at eps 0 and under PGD-100 at 8/255, by level."""


def run_level(bench: Bench) -> Json:
    """Salt and pepper at each level, with the median filter."""
    return {
        entry: {
            f"{level:g}": bench.measured(
                entry, bench.defense(entry, [SaltAndPepper(level), MedianFilter()], BinomialVote(COPIES, ALPHA))
            )
            for level in MEDRDF_I
        }
        for entry in ENTRIES[:1]
    }


def tell_level(found: Json, split: Split) -> str:
    """Claim and table."""
    claims = (
        Claim(
            "that clean accuracy decreases as the noise level increases",
            "Table I: 91.6 at level 0.1, 50.0 at 0.2, 30.0 at 0.3",
            (("0.1", "0.2"), ("0.2", "0.3")),
            (CLEAN,),
        ),
        Claim(
            "that 0.1 is the best level against attacks at 8/255",
            "Table I, PGD-100 at 8/255: 91.2 at level 0.1, 91.1 at 0.05, 59.6 at 0.2",
            (("0.1", "0.05"), ("0.1", "0.2")),
        ),
    )
    rows = [
        [entry, level, *accuracies(row, split), abstentions(row), beside(entry, MEDRDF_I[float(level)])]
        for entry, named in found.items()
        for level, row in named.items()
    ]
    header = ("classifier", "level", *MEASURED, "abstained", "paper: COVID-19")
    return "\n".join([*(tested(claim, found, split) for claim in claims), "", table(header, rows)])


LEVEL = Section(
    "Level of the noise (MedRDF, Table I)",
    "Salt and pepper with the median filter and the vote of the first section. Paper: ResNet-50, natural accuracy and "
    "PGD-100.",
    run_level,
    tell_level,
)
