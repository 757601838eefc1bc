"""MedRDF, Table X: geometric transformations instead of noise."""

from collections.abc import Callable

from ablation_sections.bench import ALPHA, ATTACKERS, COPIES, ENTRIES, Bench, Json
from ablation_sections.papers import CLEAN_IMAGES, PGD20, printed
from ablation_sections.section import Section
from ablation_sections.tables import MEASURED, Claim, abstentions, accuracies, beside, table, tested
from benchmark.data.split import Split
from benchmark.defense import Stage
from benchmark.defense.stages import BinomialVote, MedianFilter, RandomResize, RandomRotation, SaltAndPepper

GEOMETRIES: dict[str, Callable[[], Stage]] = {
    "random rotation": RandomRotation,
    "random resizing": RandomResize,
    "salt and pepper": SaltAndPepper,
}
_SETTINGS = {"random rotation": "random rotate", "random resizing": "random resize", "salt and pepper": "salt pepper"}
MEDRDF_X = {
    name: [printed("MedRDF", "X", setting, model="ResNet-18", **column) for column in (CLEAN_IMAGES, PGD20)]
    for name, setting in _SETTINGS.items()
}
"""MedRDF, Table X (ResNet-18, COVID-19): natural accuracy and PGD-20 in %."""


def run_geometry(bench: Bench) -> Json:
    """Each randomisation before the median filter."""
    return {
        entry: {
            name: bench.measured(entry, bench.defense(entry, [make(), MedianFilter()], BinomialVote(COPIES, ALPHA)))
            for name, make in GEOMETRIES.items()
        }
        for entry in ENTRIES
    }


def tell_geometry(found: Json, split: Split) -> str:
    """Claim and table."""
    claim = Claim(
        "that noise is better than random resizing, and random resizing better than random rotation",
        "Table X, PGD-20: 90.2, 62.2, 28.8; clean: 91.2, 90.8, 49.6",
        (("salt and pepper", "random resizing"), ("random resizing", "random rotation")),
        ATTACKERS,
    )
    rows = [
        [entry, name, *accuracies(row, split), abstentions(row), beside(entry, MEDRDF_X[name])]
        for entry, named in found.items()
        for name, row in named.items()
    ]
    header = ("classifier", "randomisation", *MEASURED, "abstained", "paper: COVID-19")
    return "\n".join([tested(claim, found, split), "", table(header, rows)])


SECTION = Section(
    "Rotation and resizing instead of noise (MedRDF, Table X)",
    "Angles of 10 to 100 degrees and sizes of 200/224 to 1, as in the paper; then the median filter and the vote of "
    "the first section. Paper: ResNet-18, natural accuracy and PGD-20.",
    run_geometry,
    tell_geometry,
)
