"""MedRDF, Tables IV and V: noise and denoiser with the paper's other networks."""

from ablation_sections.bench import Bench, Json
from ablation_sections.noise import grid, medrdf, noise_claims, told_grid
from ablation_sections.section import Section
from benchmark.data.split import Split

IMAGES = 48
NETWORKS = {"natural_resnet50": "IV", "natural_ag_sononet16": "V"}
"""The entries with the paper's other networks, and its table of each."""


def run_networks(bench: Bench) -> Json:
    """Each noise with each denoiser."""
    del bench
    here = Bench(IMAGES)
    return {
        entry: {name: here.measured(entry, defense) for name, defense in grid(here, entry).items()}
        for entry in NETWORKS
    }


def tell_networks(found: Json, split: Split) -> str:
    """Claims and table."""
    del split
    return told_grid(
        found,
        Bench(IMAGES).split,
        noise_claims(*NETWORKS.values()),
        lambda entry, name, dataset: medrdf(NETWORKS[entry], name, dataset),
    )


SECTION = Section(
    "Noise and denoiser with other networks (MedRDF, Tables IV and V)",
    "The same defenses with a narrow ResNet-50 and a narrow AG-Sononet-16 as classifiers, both trained naturally; "
    f"{IMAGES} images. Paper: the same networks at full width, natural accuracy and PGD-20.",
    run_networks,
    tell_networks,
    (
        *Section.sources,
        *(f"submissions/{entry}/{what}" for entry in NETWORKS for what in ("defense.py", "weights/*.safetensors")),
    ),
)
