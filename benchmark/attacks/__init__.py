"""Attacks. Each receives a view (its threat model), a goal, images and a budget, and returns its candidate images."""

from benchmark.attacks.base import Attack, GradientAttack, ScoreAttack, project_linf
from benchmark.attacks.registry import ATTACKS, build

__all__ = ["ATTACKS", "Attack", "GradientAttack", "ScoreAttack", "build", "project_linf"]
