"""Stages and votes that any submission can reuse."""

from benchmark.defense.stages.bit_depth import BitDepth
from benchmark.defense.stages.jpeg import Jpeg
from benchmark.defense.stages.median import MedianFilter
from benchmark.defense.stages.noise import SaltAndPepper
from benchmark.defense.stages.stand_ins import LearnedStandIn, WithStandIn, fit_stand_in
from benchmark.defense.stages.vote import BinomialVote

__all__ = [
    "BinomialVote",
    "BitDepth",
    "Jpeg",
    "LearnedStandIn",
    "MedianFilter",
    "SaltAndPepper",
    "WithStandIn",
    "fit_stand_in",
]
