"""Attack on the networks inside a defense: what is wrapped around them need not let gradients through."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import FeatureView, GradientView
from benchmark.attacks.apgd import Apgd
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.base import all_rows, choose
from benchmark.attacks.confirm import CONFIRMATIONS
from benchmark.attacks.follow import opened
from benchmark.attacks.pgd import Pgd
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal


@dataclass(frozen=True)
class Inner:
    """PGD on the margin and APGD on cross-entropy, at each network inside the defense that turns images into logits.

    An adaptive attacker owns the deployed system. Its networks are called behind the defense's stages (through BPDA,
    averaged over their randomness), past whatever else the defense does with their answers: labels instead of scores,
    a detached or a false gradient. Candidates are put to the whole system; kept is, per image, the one that it gets
    wrong most often. Where a defense has no network but its own classifier, candidates are the images themselves: the
    usual attacks differentiate that one.

    Costs ``restarts`` times ``steps`` + 1 and ``iterations`` + 1 gradients for each network (times EOT samples), and up
    to 16 decisions for each candidate.

    Args:
        steps: of PGD.
        restarts: of PGD.
        iterations: of APGD.

    Raises:
        BenchError: a parameter is out of range; when called, the view does not open the defense.
    """

    steps: int = 50
    restarts: int = 2
    iterations: int = 50
    knowledge: ClassVar[Literal["features"]] = "features"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("inner", steps=self.steps, restarts=self.restarts, iterations=self.iterations)

    def __call__(self, view: GradientView, goal: Goal, images: Tensor, eps_255: float, draw: Randomness) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        inside, candidates = opened("inner", view), images.clone()
        share = torch.zeros(len(images), device=images.device)
        attacks: tuple[Pgd | Apgd, ...] = (
            Pgd(steps=self.steps, loss="margin", restarts=self.restarts),
            Apgd(loss="cross_entropy", iterations=self.iterations),
        )
        for number in range(inside.inner_networks(images)):
            for place, attack in enumerate(attacks):
                rows = all_rows(images)[share.cpu() < 1]
                if len(rows) == 0:
                    return candidates
                here = rows.to(images.device)
                streams = draw.take(rows).fork("inner", number, place)
                found = self._attacked(inside, number, attack, goal.take(here), images[here], rows, eps_255, streams)
                wrong = self._share_wrong(inside, goal.take(here), found, rows)
                candidates[here] = choose(wrong > share[here], found, candidates[here])
                share[here] = torch.maximum(wrong, share[here])
        return candidates

    @staticmethod
    def _attacked(
        inside: FeatureView,
        number: int,
        attack: Pgd | Apgd,
        goal: Goal,
        images: Tensor,
        rows: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        view = inside.inner(number, images, draw.fork("view"))
        found = attack(view, goal, images, eps_255, draw)
        inside.spend(rows, view)
        return found

    @staticmethod
    def _share_wrong(inside: FeatureView, goal: Goal, candidates: Tensor, rows: Tensor) -> Tensor:
        """(n,) share of decisions of the whole system on candidates that are wrong."""
        looks = CONFIRMATIONS if inside.stochastic else 1
        faults = torch.zeros(len(rows), device=candidates.device)
        for _ in range(looks):
            faults += goal.missed(inside.label(candidates, rows)).to(faults.dtype)
        return faults / looks
