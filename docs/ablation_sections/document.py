"""The text of ``docs/ablations.md``."""

import textwrap
from collections.abc import Mapping

from ablation_sections import SECTIONS
from ablation_sections.bench import EOT, EPS_255, IMAGES, LONG, ROOT, STEPS
from ablation_sections.tables import HOLLOW, percent
from ablation_sections.verdicts import NORMAL
from benchmark.data.split import Split

DOCUMENT = ROOT.path / "docs" / "ablations.md"

WIDEST = 100 * NORMAL * 0.5 / IMAGES**0.5


def document(parts: Mapping[str, str], split: Split, seconds: float) -> str:
    """The whole document from the text of each section."""
    texts = "\n\n".join(
        f"## {SECTIONS[name].title}\n\n{textwrap.fill(SECTIONS[name].note, 118, break_on_hyphens=False)}\n\n{text}"
        for name, text in parts.items()
    )
    classes = " / ".join(split.classes)
    commonest = percent((split.labels == split.labels.mode().values).tolist())
    return f"""# The papers' ablations, measured again

Made by `python docs/ablations.py --write`; not edited by hand.

- Images: {IMAGES} of PneumoniaMNIST's official subset (28 x 28, two classes), where no section says otherwise.
  Classifiers: those of the entries `natural` and `pgd_at`, a narrow ResNet-18.
- Numbers are accuracies in % unless named otherwise; an abstention counts as wrong. An accuracy of {IMAGES} images has
  a 95 % interval of up to {WIDEST:.0f} points to each side. By class: {classes}.
- {HOLLOW}: this defense knows fewer than half of the clean images of some class. One and the same answer to all scores
  {commonest}, whatever the attack: much of what such a defense keeps under attack is no diagnosis. (The board's mark,
  †, has a rule of its own, told under the table of `bench compare --claims`.)
- Non-adaptive: PGD-{STEPS} at {EPS_255:g}/255 on the bare classifier; it knows nothing of stages and vote.
- Adaptive: begins with what that attack has found; then PGD-{STEPS} through BPDA and EOT, {EOT} draws per step where
  the defense is random, on what still stands: on the cross-entropy, then on the margin with the identity for every
  backward pass; then targeted Auto-PGD of {LONG} steps.
- Verdicts: differences in points with 95 % intervals (Tango's for two defenses on the same images); *confirmed* where
  the interval lies above zero, or above what the claim is held against, *refuted* where it lies below, else *not told
  apart*. A claim of several pairs has a verdict for each; the intervals are not corrected for their number. Costs have
  no such interval: there whole ranges must not overlap.
- Papers: MedRDF on COVID-19 radiographs (224 x 224) and DermaMNIST; it does not say whether its attacks knew of noise
  and vote. Other images, networks and numbers of classes: the papers' figures stand beside ours for their order.
- Everything but times and memory is the same at every run. The whole took {seconds / 60:.0f} minutes of processor time.

{texts}
"""
