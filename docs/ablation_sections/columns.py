"""MedRDF, Table III: its other attacks, all of them non-adaptive."""

from ablation_sections.bench import CLEAN, ENTRIES, EPS_255, Bench, Json
from ablation_sections.noise import BARE, CHOSEN, NAMED, grid
from ablation_sections.papers import COVID, printed
from ablation_sections.section import Section
from ablation_sections.tables import HOLLOW, hollow, percent, table, told
from ablation_sections.verdicts import Contrast, contrast
from benchmark.attacks.base import GradientAttack
from benchmark.attacks.pgd import Bim, CwLinf, Pgd
from benchmark.data.split import Split

ATTACKS: dict[str, tuple[str, GradientAttack]] = {
    **{f"I-FGSM-{steps}": (f"bim-{steps}", Bim(steps=steps)) for steps in (1, 2, 5, 7)},
    **{f"PGD-{steps}": (f"pgd-{steps}", Pgd(steps=steps)) for steps in (7, 20, 100)},
    "C&W": ("cw-linf", CwLinf(steps=30)),
}
"""The columns of Table III: name in the table of published numbers, and attack; C&W takes the survey's steps."""


def run_columns(bench: Bench) -> Json:
    """Each attack runs once on the bare classifier; then every defense predicts on its images."""
    found: Json = {}
    for entry in ENTRIES:
        defenses = grid(bench, entry)
        attacked = {name: bench.blind_to(entry, name, attack) for name, (_, attack) in ATTACKS.items()}
        seen = {CLEAN: bench.split.images, **attacked}
        found[entry] = {name: bench.right(defenses, images) for name, images in seen.items()}
    return found


def tell_columns(found: Json, split: Split) -> str:
    """Claim and table."""
    marks = {
        entry: {name: HOLLOW * hollow({CLEAN: {"right": right}}, split) for name, right in seen[CLEAN].items()}
        for entry, seen in found.items()
    }
    gains: dict[str, list[tuple[str, Contrast]]] = {
        entry + marks[entry][CHOSEN]: [(name, contrast(seen[name][CHOSEN], seen[name][BARE])) for name in ATTACKS]
        for entry, seen in found.items()
    }
    claim = told(
        "that noise, denoiser and vote markedly improve the accuracy of the bare network under each of its attacks",
        f"Table III, salt and pepper with median filter: at least {min(_there(CHOSEN, one) for one in ATTACKS):.1f} "
        f"vs. at most {max(_there(BARE, one) for one in ATTACKS):.1f} on COVID-19",
        gains,
    )
    rows = [
        [
            entry,
            *name.split(", "),
            percent(seen[CLEAN][name]) + marks[entry][name],
            *(_cell(entry, name, attack, seen[attack][name]) for attack in ATTACKS),
        ]
        for entry, seen in found.items()
        for name in NAMED
    ]
    return "\n".join([claim, "", table(("classifier", "noise", "denoiser", CLEAN, *ATTACKS), rows)])


def _cell(entry: str, name: str, attack: str, right: Json) -> str:
    """Our accuracy; the paper's follows in brackets for the classifier that is trained like the paper's."""
    return percent(right) if entry != ENTRIES[0] else f"{percent(right)} ({_there(name, attack):.1f})"


def _there(name: str, attack: str) -> float:
    """The paper's accuracy in %."""
    where = {"dataset": COVID, "model": "ResNet-18", "metric": "accuracy", "eps_255": EPS_255}
    return printed("MedRDF", "III", defense=NAMED[name], attack=ATTACKS[attack][0], **where)


SECTION = Section(
    "Noise and denoiser under the paper's other attacks (MedRDF, Table III)",
    "The same defenses under attacks on the bare classifier at 8/255, which ignore the defense. In brackets: the "
    "paper's figure (ResNet-18, COVID-19). The first section shows the accuracy under an adaptive attack. Each attack "
    "has its own random draws.",
    run_columns,
    tell_columns,
)
