"""Stages and votes that any submission can reuse."""

from benchmark.defense.stages.bit_depth import BitDepth
from benchmark.defense.stages.foreseen import ForeseenVote
from benchmark.defense.stages.geometry import RandomResize, RandomResizeAndPad, RandomRotation
from benchmark.defense.stages.jpeg import Jpeg
from benchmark.defense.stages.learned import FilteredClassifier, LearnedFilter
from benchmark.defense.stages.median import MedianFilter
from benchmark.defense.stages.noise import GaussianNoise, PoissonNoise, SaltAndPepper
from benchmark.defense.stages.smoothing import GaussianSmoothing
from benchmark.defense.stages.stand_ins import LearnedStandIn, WithStandIn, fit_stand_in
from benchmark.defense.stages.total_variation import TotalVariation
from benchmark.defense.stages.vote import BinomialVote

__all__ = [
    "BinomialVote",
    "BitDepth",
    "FilteredClassifier",
    "ForeseenVote",
    "GaussianNoise",
    "GaussianSmoothing",
    "Jpeg",
    "LearnedFilter",
    "LearnedStandIn",
    "MedianFilter",
    "PoissonNoise",
    "RandomResize",
    "RandomResizeAndPad",
    "RandomRotation",
    "SaltAndPepper",
    "TotalVariation",
    "WithStandIn",
    "fit_stand_in",
]
