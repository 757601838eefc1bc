"""Medical Aegis, Table 5: the choice of Cushion."""

from collections.abc import Callable

from ablation_sections.bench import CLEAN, ENTRIES, Bench, Json
from ablation_sections.papers import printed
from ablation_sections.section import Section
from ablation_sections.tables import MEASURED, Claim, accuracies, beside, table, tested
from benchmark.data.split import Split
from benchmark.defense import Stage
from benchmark.defense.stages import BitDepth, Jpeg, TotalVariation

CUSHIONS: dict[str, Callable[[], list[Stage]]] = {
    "none": lambda: [],
    "JPEG-90": lambda: [Jpeg(90)],
    "JPEG-80": lambda: [Jpeg(80)],
    "JPEG-70": lambda: [Jpeg(70)],
    "last 3 bits cleared": lambda: [BitDepth(5)],
    "last 4 bits cleared": lambda: [BitDepth(4)],
    "TVM": lambda: [TotalVariation()],
}
_AS_PRINTED = {
    "none": ("natural", "no Cushion"),
    "JPEG-90": ("cushion_jpeg90", "Cushion JPEG-90"),
    "JPEG-80": ("cushion_jpeg80", "Cushion JPEG-80"),
    "JPEG-70": ("cushion_jpeg70", "Cushion JPEG-70"),
    "last 3 bits cleared": ("cushion_bit3", "Cushion Bit-3"),
    "last 4 bits cleared": ("cushion_bit4", "Cushion Bit-4"),
    "TVM": ("cushion_tvm", "Cushion TVM"),
}
AEGIS_5 = {
    name: [
        printed("Medical Aegis", "5", defense=defense, metric="diagnosis_performance"),
        printed("Medical Aegis", "5", detector, attack="wb", metric="auc"),
    ]
    for name, (defense, detector) in _AS_PRINTED.items()
}
"""Medical Aegis, Table 5 (VGG-16; fundus images, since it agrees with Table 3): the column "Model", and the AUC of its
detector under the adaptive attack WB, both in %."""
SLIGHTLY = AEGIS_5["none"][0] - min(model for model, _ in AEGIS_5.values())
"""The paper's largest loss, which it calls slight, in points."""


def run_cushion(bench: Bench) -> Json:
    """Each Cushion before the classifier, without Medical Aegis's detector."""
    return {
        entry: {name: bench.measured(entry, bench.defense(entry, make())) for name, make in CUSHIONS.items()}
        for entry in ENTRIES
    }


def tell_cushion(found: Json, split: Split) -> str:
    """Claims and table."""
    others = [name for name in CUSHIONS if name != "none"]
    claims = (
        Claim(
            "that every Cushion weakens the adaptive attack, which uses BPDA",
            "Table 5, AUC of the detector under WB: 99.3 to 100 with a Cushion vs. 92.0 without; the paper reports no "
            "accuracy of the diagnosis under attack",
            tuple((name, "none") for name in others),
        ),
        Claim(
            "that a Cushion affects the diagnosis of clean images only slightly, tested as a loss below the paper's "
            "largest loss",
            f"Table 5, Model: 96.8 to 99.7 with a Cushion vs. 99.7 without, a loss of at most {SLIGHTLY:.1f} points",
            tuple((name, "none") for name in others),
            (CLEAN,),
            SLIGHTLY,
        ),
    )
    rows = [
        [entry, name, *accuracies(row, split), beside(entry, AEGIS_5[name])]
        for entry, named in found.items()
        for name, row in named.items()
    ]
    header = ("classifier", "Cushion", *MEASURED, "paper: Model, AUC")
    return "\n".join([*(tested(claim, found, split) for claim in claims), "", table(header, rows)])


SECTION = Section(
    "Choice of Cushion (Medical Aegis, Table 5)",
    "Accuracy of the classifier with each Cushion, without the detector of Medical Aegis. The paper's figure, the AUC "
    "of the detector at 16/256, is another measure: only its order is comparable with ours.",
    run_cushion,
    tell_cushion,
)
