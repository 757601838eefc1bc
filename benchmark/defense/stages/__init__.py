"""Stages and votes that any submission can reuse."""

from benchmark.defense.stages.jpeg import Jpeg
from benchmark.defense.stages.median import MedianFilter
from benchmark.defense.stages.noise import SaltAndPepper
from benchmark.defense.stages.vote import BinomialVote

__all__ = ["BinomialVote", "Jpeg", "MedianFilter", "SaltAndPepper"]
