"""MedRDF, Tables I and III to V: noise and denoiser, and the level of the noise."""

from collections.abc import Callable

from ablation_sections.bench import ALPHA, CLEAN, COPIES, ENTRIES, Bench, Json
from ablation_sections.section import Section
from ablation_sections.tables import MEASURED, Claim, abstentions, accuracies, beside, table, tested
from benchmark.data.split import Split
from benchmark.defense import Stage
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
MEDRDF_III = {
    "no noise, none": ((94.4, 0.0), (74.1, 0.0)),
    "no noise, GS": ((94.4, 0.0), (71.5, 1.1)),
    "no noise, MF": ((94.4, 0.0), (72.5, 15.1)),
    "Gaussian, none": ((28.8, 28.8), (44.6, 12.3)),
    "Gaussian, GS": ((94.8, 55.0), (67.9, 53.3)),
    "Gaussian, MF": ((94.2, 82.2), (70.9, 64.8)),
    "salt and pepper, none": ((65.4, 26.2), (68.5, 17.1)),
    "salt and pepper, GS": ((95.6, 64.2), (68.4, 56.0)),
    "salt and pepper, MF": ((91.2, 90.2), (69.0, 65.1)),
    "Poisson, none": ((32.4, 28.6), (58.9, 18.9)),
    "Poisson, GS": ((94.4, 62.8), (68.3, 55.0)),
    "Poisson, MF": ((92.2, 81.0), (69.4, 63.9)),
}
"""MedRDF, Table III (ResNet-18): natural accuracy and accuracy under PGD-20 at 8/255 in %, COVID-19 and DermaMNIST."""

BARE, CHOSEN = "no noise, none", "salt and pepper, MF"
NOISE_CLAIMS = (
    Claim(
        "that noise, denoiser and vote markedly improve the accuracy of the bare network under attack",
        "Table III, PGD-20, salt and pepper with median filter: 90.2 against 0.0 on COVID-19, 65.1 against 0.0 on "
        "DermaMNIST",
        ((CHOSEN, BARE),),
    ),
    Claim(
        "that the vote over noisy copies does this and not the denoiser alone",
        "Table III, PGD-20, with the median filter: 90.2 against 0.0 without noise on COVID-19, 65.1 against 15.1 on "
        "DermaMNIST",
        ((CHOSEN, "no noise, MF"),),
    ),
    Claim(
        "that the median filter is a better denoiser than Gaussian smoothing, and either better than none",
        "Table III, PGD-20, salt and pepper: 90.2, 64.2, 26.2 on COVID-19, 65.1, 56.0, 17.1 on DermaMNIST",
        ((CHOSEN, "salt and pepper, GS"), ("salt and pepper, GS", "salt and pepper, none")),
    ),
    Claim(
        "that salt and pepper is the noise to choose",
        "Table III, PGD-20, with the median filter, against Gaussian and Poisson: 90.2, 82.2, 81.0 on COVID-19, 65.1, "
        "64.8, 63.9 on DermaMNIST",
        ((CHOSEN, "Gaussian, MF"), (CHOSEN, "Poisson, MF")),
    ),
)


def run_noise(bench: Bench) -> Json:
    """Every noise with every denoiser; without noise all copies are equal, and there is no vote."""
    found: Json = {entry: {} for entry in ENTRIES}
    for entry in ENTRIES:
        for noise, noisy in NOISES.items():
            for denoiser, denoised in DENOISERS.items():
                vote = BinomialVote(COPIES, ALPHA) if noisy() else None
                defense = bench.defense(entry, [*noisy(), *denoised()], vote)
                found[entry][f"{noise}, {denoiser}"] = bench.measured(entry, defense)
    return found


def tell_noise(found: Json, split: Split) -> str:
    """Claims and table."""
    rows = [
        [
            entry,
            *name.split(", "),
            *accuracies(row, split),
            abstentions(row) if name.split(", ")[0] != "no noise" else "–",
        ]
        + [beside(entry, values) for values in MEDRDF_III[name]]
        for entry, named in found.items()
        for name, row in named.items()
    ]
    header = ("classifier", "noise", "denoiser", *MEASURED, "abstained", "paper: COVID-19", "paper: DermaMNIST")
    return "\n".join([*(tested(claim, found, split) for claim in NOISE_CLAIMS), "", table(header, rows)])


NOISE = Section(
    "Noise and denoiser (MedRDF, Table III)",
    f"Level 0.1 of each noise; GS: Gaussian smoothing of one pixel, MF: 3 x 3 median. With noise a vote of up to "
    f"{COPIES} copies at alpha {ALPHA:g}; without it all copies are equal. In the paper a denoiser alone falls to "
    f"15.1 at most and a vote behind it does not, as if the two rows had been attacked in different ways. "
    f"Abstained: clean / non-adaptive / adaptive. Paper: ResNet-18, natural accuracy and PGD-20.",
    run_noise,
    tell_noise,
)

MEDRDF_I = {0.05: (93.4, 91.1), 0.1: (91.6, 91.2), 0.15: (77.4, 84.8), 0.2: (50.0, 59.6), 0.25: (45.8, 47.0)}
MEDRDF_I |= {0.3: (30.0, 44.2)}
"""MedRDF, Table I (ResNet-50, COVID-19): accuracy in % at eps 0 and under PGD-100 at 8/255, per level."""


def run_level(bench: Bench) -> Json:
    """Salt and pepper of each level, with the median filter."""
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
            "that clean accuracy falls as the level of the noise rises",
            "Table I: 91.6 at level 0.1, 50.0 at 0.2, 30.0 at 0.3",
            (("0.1", "0.2"), ("0.2", "0.3")),
            (CLEAN,),
        ),
        Claim(
            "that the level 0.1 is the one for attacks at 8/255",
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
    "Salt and pepper with the median filter, vote as above. Paper: ResNet-50, natural accuracy and PGD-100.",
    run_level,
    tell_level,
)
