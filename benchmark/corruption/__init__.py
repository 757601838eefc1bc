"""Robust-Benchmark v1: common perturbations as sequences of frames (Xu et al. 2021, after ImageNet-P)."""

from benchmark.corruption.catalogue import (
    FRAMES,
    PERTURBATIONS,
    RELEASED_FRAMES,
    SEVERITIES,
    Comparison,
    Mode,
    comparison,
    frame_count,
    is_noise,
)
from benchmark.corruption.sequences import frames, sequence
from benchmark.corruption.sheet import contact_sheet

__all__ = [
    "FRAMES",
    "PERTURBATIONS",
    "RELEASED_FRAMES",
    "SEVERITIES",
    "Comparison",
    "Mode",
    "comparison",
    "contact_sheet",
    "frame_count",
    "frames",
    "is_noise",
    "sequence",
]
