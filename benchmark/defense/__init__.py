"""A defense is a deployed system: stages, a classifier and, where it votes, a vote."""

from benchmark.defense.decision import Decision
from benchmark.defense.defense import Defense, Vote
from benchmark.defense.stage import Backward, Stage

__all__ = ["Backward", "Decision", "Defense", "Stage", "Vote"]
