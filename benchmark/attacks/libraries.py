"""The attacks of other libraries as cells of a matrix, run as they are: a check of the benchmark's own.

They draw from torch's global generator and take batches as a whole. Here each image is attacked by itself, with the
generator seeded by the image's own stream and put back afterwards: the same rows whatever the batches and workers.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from benchmark.access import GradientView
from benchmark.attacks.ascent import check_at_least_one
from benchmark.errors import BenchError, did_you_mean
from benchmark.randomness import Randomness
from benchmark.task.classification import ClassGoal, of_classes
from benchmark.task.goal import Goal

TORCHATTACKS = (
    *("FGSM", "FFGSM", "RFGSM", "BIM", "PGD", "EOTPGD", "TPGD", "UPGD", "APGD"),
    *("MIFGSM", "NIFGSM", "SINIFGSM", "DIFGSM", "VMIFGSM", "VNIFGSM"),
)
"""Attacks of torchattacks that keep an L-inf budget and take any number of channels and classes."""

AUTOATTACK = ("apgd-ce", "fab-t", "square")
"""Parts of pyautoattack's suite that take two classes."""


class _Network(nn.Module):
    """What the view differentiates, as a library wants it: a module in eval mode."""

    def __init__(self, view: GradientView, row: int) -> None:
        super().__init__()
        self._ask: Callable[[Tensor], Tensor] = lambda images: view.differentiable(images, torch.tensor([row]))
        # Libraries ask a model for its device by a parameter.
        self.nothing = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, K)."""
        return self._ask(images)


def _one_by_one(
    attack: Callable[[nn.Module, Tensor, Tensor], Tensor],
    view: GradientView,
    goal: ClassGoal,
    images: Tensor,
    draw: Randomness,
) -> Tensor:
    found = []
    for row in range(len(images)):
        network = _Network(view, row).to(images.device).eval()
        image, label = images[row : row + 1], goal.labels[row : row + 1]
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(draw.seeds[row] % 2**63)
            found.append(attack(network, image, label).detach())
        if network.training:
            raise BenchError("a library's attack left the network in train mode; its statistics would change.")
    return torch.cat(found) if found else images.clone()


@dataclass(frozen=True)
class TorchAttacks:
    """An attack of torchattacks by its name, with its own defaults but for the budget.

    Its step is the library's share of the budget where it has one. Deterministic systems only: a single function is
    differentiated.

    Args:
        name: one of :data:`TORCHATTACKS`.
        steps: of the attack; 0 for the library's own number.

    Raises:
        BenchError: an unknown name, or steps below 0.
    """

    name: str = "PGD"
    steps: int = 0
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        if self.name not in TORCHATTACKS:
            raise BenchError(f"torchattacks: unknown name '{self.name}'.{did_you_mean(self.name, TORCHATTACKS)}")
        if self.steps < 0:
            raise BenchError(f"torchattacks: steps is {self.steps}; give 0 or more.")

    def __call__(self, view: GradientView, goal: Goal, images: Tensor, eps_255: float, draw: Randomness) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        import torchattacks

        kind = getattr(torchattacks, self.name)
        known = inspect.signature(kind.__init__).parameters
        kwargs: dict[str, Any] = {"eps": eps_255 / 255}
        if "alpha" in known:
            kwargs["alpha"] = known["alpha"].default / known["eps"].default * eps_255 / 255
        if self.steps and "steps" in known:
            kwargs["steps"] = self.steps

        def attack(network: nn.Module, image: Tensor, label: Tensor) -> Tensor:
            made = kind(network, **kwargs)
            made.set_model_training_mode(model_training=False)
            found: Tensor = made(image, label)
            return found

        return _one_by_one(attack, view, of_classes("torchattacks", goal), images, draw)


@dataclass(frozen=True)
class PyAutoAttack:
    """A part of AutoAttack as pyautoattack has it (Croce & Hein 2020); deterministic systems only.

    Args:
        part: one of :data:`AUTOATTACK`.
        iterations: of APGD and FAB.
        queries: of Square.

    Raises:
        BenchError: an unknown part, or a number below 1.
    """

    part: str = "apgd-ce"
    iterations: int = 100
    queries: int = 5000
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        if self.part not in AUTOATTACK:
            raise BenchError(f"pyautoattack: unknown part '{self.part}'.{did_you_mean(self.part, AUTOATTACK)}")
        check_at_least_one("pyautoattack", iterations=self.iterations, queries=self.queries)

    def __call__(self, view: GradientView, goal: Goal, images: Tensor, eps_255: float, draw: Randomness) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        from pyautoattack.autopgd_base import APGDAttack
        from pyautoattack.fab_pt import FABAttack_PT
        from pyautoattack.square import SquareAttack

        eps, device = eps_255 / 255, images.device

        def attack(network: nn.Module, image: Tensor, label: Tensor) -> Tensor:
            seed = int(torch.randint(2**31, ()))
            made: Any
            if self.part == "apgd-ce":
                made = APGDAttack(network, eps=eps, n_iter=self.iterations, seed=seed, device=device)
            elif self.part == "fab-t":
                classes = min(9, view.num_classes - 1)
                made = FABAttack_PT(
                    *(network,), eps=eps, n_iter=self.iterations, targeted=True, n_target_classes=classes, seed=seed,
                    device=device,
                )  # fmt: skip
            else:
                made = SquareAttack(network, eps=eps, n_queries=self.queries, p_init=0.8, seed=seed, device=device)
            found: Tensor = made.perturb(image, label)
            return found

        return _one_by_one(attack, view, of_classes("pyautoattack", goal), images, draw)
