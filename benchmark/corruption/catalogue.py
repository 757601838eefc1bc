"""What Robust-Benchmark v1 holds: names, severities, frames, steps and orders of comparison, all as data.

Source: Xu et al., "Towards Evaluating the Robustness of Deep Diagnostic Models by Adversarial Attack" (Medical Image
Analysis 2021), section on Robust-Benchmark and Figure 4, and the code released with it; the parameters are those of
ImageNet-P (Hendrycks and Dietterich, 2019).
"""

from dataclasses import dataclass
from typing import Literal, get_args

from benchmark.errors import BenchError, did_you_mean
from benchmark.randomness import Randomness
from benchmark.results.schema import PERTURBATIONS as PERTURBATIONS

Mode = Literal["paper", "released-code"]
Comparison = Literal["first", "previous"]

SEVERITIES = (1, 2, 3, 4, 5)
MODES: tuple[Mode, ...] = get_args(Mode)

FRAMES = 21
"""Frames of a paper-mode sequence: the clean image and 20 steps (Figure 4: n = 0 ... 20)."""

RELEASED_FRAMES = 10
"""Frames of a sequence as the released code writes it."""

REFERENCE_SIZE = 224
"""Image side, in pixels, at which pixel-valued parameters hold as written; others are scaled by min(H, W) / 224."""

STEP_FACTORS = {1: 0.5, 2: 0.75, 3: 1.0, 4: 1.25, 5: 1.5}
"""Severity -> factor on the released code's step (everything but the three noises)."""

NOISE_LEVELS = {
    "gaussian_noise": {1: 0.01, 2: 0.02, 3: 0.03, 4: 0.05, 5: 0.08},
    "shot_noise": {1: 1200.0, 2: 600.0, 3: 300.0, 4: 120.0, 5: 60.0},
    "speckle_noise": {1: 0.02, 2: 0.035, 3: 0.05, 4: 0.10, 5: 0.15},
}
"""Severity -> standard deviation (Gaussian, speckle) or photons at white (shot). Severity 3 is the released code's
level, 4 and 5 are ImageNet-P's two harder levels, 1 and 2 continue the row downward."""


@dataclass(frozen=True)
class Sweep:
    """A perturbation that is one number per frame.

    Attributes:
        start: the released code's value in frame 0.
        step: the released code's change per frame.
        clean: the value at which the image is unchanged; a paper-mode sequence starts there.
        towards: +1 or -1, the way in which a paper-mode sequence leaves ``clean``.
    """

    start: float
    step: float
    clean: float = 0.0
    towards: int = 1


SWEEPS = {
    "gaussian_blur": Sweep(start=0.25, step=0.035),
    "brightness": Sweep(start=-0.30, step=0.02),
    "translate": Sweep(start=-20.0, step=1.0),
    "rotate": Sweep(start=-15.0, step=1.0),
    "shear": Sweep(start=-15.0, step=1.0),
    # Shrinking stays inside the released range of 0.40 to 1.15; growing would leave it at once.
    "scale": Sweep(start=0.40, step=0.025, clean=1.0, towards=-1),
    "tilt": Sweep(start=-15.0, step=1.0),
}


@dataclass(frozen=True)
class Course:
    """One sequence to be made: which, how strong, in which mode, with which random streams."""

    name: str
    severity: int
    mode: Mode
    draw: Randomness

    @property
    def steps(self) -> range:
        """Frame numbers to be made; paper mode leaves out frame 0, which is the clean image."""
        return range(1, FRAMES) if self.mode == "paper" else range(RELEASED_FRAMES)

    @property
    def factor(self) -> float:
        """What severity multiplies the step by; the released code knows one step only."""
        return STEP_FACTORS[self.severity] if self.mode == "paper" else 1.0

    def value(self, step: int) -> float:
        """The swept number of a frame (degrees, reference pixels, share of the range, or scale)."""
        sweep = SWEEPS[self.name]
        if self.mode == "paper":
            return sweep.clean + sweep.towards * sweep.step * self.factor * step
        return sweep.start + sweep.step * step

    def strength(self, step: int) -> float:
        """Share of the released strength, for those that have no clean frame as released: paper mode grows it."""
        return self.factor * step / (FRAMES - 1) if self.mode == "paper" else 1.0

    @property
    def level(self) -> float:
        """The noise level (see :data:`NOISE_LEVELS`)."""
        return NOISE_LEVELS[self.name][self.severity if self.mode == "paper" else 3]


def frame_count(mode: Mode) -> int:
    """Number of frames in a sequence of this mode."""
    check_mode(mode)
    return FRAMES if mode == "paper" else RELEASED_FRAMES


def is_noise(name: str) -> bool:
    """Whether the frames are independent draws around the clean image rather than a course of small steps."""
    check_name(name)
    return name in NOISE_LEVELS


def comparison(name: str, multilabel: bool = False) -> Comparison:
    """With which frame a prediction is compared when flips are counted, as the released code does.

    Args:
        name: the perturbation.
        multilabel: whether the task is multi-label; then every sequence compares with its first frame.
    """
    return "first" if is_noise(name) or multilabel else "previous"


def check_name(name: str) -> None:
    """Raise BenchError unless ``name`` is one of :data:`PERTURBATIONS`."""
    if name not in PERTURBATIONS:
        raise BenchError(f"Unknown perturbation '{name}'.{did_you_mean(name, PERTURBATIONS)}")


def check_severity(severity: int) -> None:
    """Raise BenchError unless ``severity`` is one of :data:`SEVERITIES`."""
    if isinstance(severity, bool) or severity not in SEVERITIES:
        raise BenchError(f"Unknown severity '{severity}'.{did_you_mean(str(severity), map(str, SEVERITIES))}")


def check_mode(mode: str) -> None:
    """Raise BenchError unless ``mode`` is one of :data:`MODES`."""
    if mode not in MODES:
        raise BenchError(f"Unknown corruption mode '{mode}'.{did_you_mean(mode, MODES)}")
