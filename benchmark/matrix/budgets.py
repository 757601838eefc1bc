"""Which budgets make sense, for cells, profiles and the command line. Imports no torch."""

import math

from benchmark.results.schema import NORMS

SMALLEST_255 = 0.1
"""Below a tenth of a grey level a budget was almost certainly meant in [0, 1]: 8/255 is 8, not 0.03."""

LARGEST_255 = 255.0
"""From one end of the pixel's range to the other."""

NORM_NAMES = {"linf": "L-inf", "l2": "L2", "l0": "L0"}


def wrong_budget(norm: str, eps: float, pixels: int | None = None) -> str:
    """Say what is wrong with a budget and how to mend it, as a clause without a full stop; empty for a sound one.

    Args:
        norm: one of :data:`benchmark.results.schema.NORMS`.
        eps: budget in the unit of the norm.
        pixels: of the image, height times width; None where no image is known.
    """
    if norm not in NORMS:
        return f"norm '{norm}' is unknown; take one of {', '.join(NORMS)}"
    told = f"{eps:g} is no {NORM_NAMES[norm]} budget"
    if norm == "l0":
        if math.isfinite(eps) and eps >= 1 and eps == int(eps) and (pixels is None or eps <= pixels):
            return ""
        most = "" if pixels is None else f" to {pixels}, the pixels of an image"
        return f"{told}: it is a number of pixels, so give a whole number from 1{most}"
    if SMALLEST_255 <= eps <= LARGEST_255:
        return ""
    unit = "1/255" if norm == "linf" else "1/255 per component (root mean square)"
    return f"{told}: it is stated in {unit}, so 8 means 8/255; give {SMALLEST_255:g} to {LARGEST_255:g}"


def in_words(norm: str, eps: float) -> str:
    """Return a budget in the unit of its norm: ``8/255``, ``2/255 RMS``, ``4 pixels``."""
    if norm == "l0":
        return f"{eps:g} pixel{'' if eps == 1 else 's'}"
    return f"{eps:g}/255" + (" RMS" if norm == "l2" else "")
