"""Defensive distillation and adversarially robust distillation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.data.split import Split
from benchmark.training.batches import Batch
from benchmark.training.inner import ascend, cross_entropy_of, uniform_start
from benchmark.training.methods.base import Examples, FirstStage, Method, MethodContext, of_attacked, of_clean
from benchmark.training.methods.first import first_recipe
from benchmark.training.methods.trades import divergence


class Tempered(Method):
    """Cross-entropy of softmax(z / T) against the labels: how the teacher of defensive distillation is trained."""

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """CE(f(x) / T, y)."""
        return F.cross_entropy(network(examples.images) / temperature(self), examples.labels)


class DefensiveDistillation(Method):
    """Defensive distillation (Papernot et al. 2016, section IV): the student learns the teacher's softmax(z / T).

    Teacher and student have one architecture and one recipe; the teacher goes before and is trained at T on the labels,
    the student at T on the teacher's probabilities (their equation 9) and answers at T = 1. The teacher's checkpoint
    and the student's are chosen by clean validation accuracy.
    """

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        self.teacher: nn.Module | None = None

    def first_stage(self, split: Split) -> FirstStage:
        """The teacher."""
        recipe = first_recipe(self.recipe, self.recipe.epochs)
        context = MethodContext(self.recipe, self.context.card, self.context.beside, self.context.device)
        return FirstStage(recipe, Tempered(context), split)

    def after_first_stage(self, network: nn.Module, split: Split) -> Split:
        """Take the teacher."""
        self.teacher = network.requires_grad_(False)
        return split

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """Ask the teacher."""
        assert self.teacher is not None
        with torch.no_grad():
            soft = (self.teacher(batch.images) / temperature(self)).softmax(dim=1)
        return Examples(batch.images, batch.labels, batch.images, aim=soft)

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """-sum_k t_k log softmax_k(f(x) / T), averaged, t being the teacher's probabilities at T."""
        assert examples.aim is not None
        return F.cross_entropy(network(examples.images) / temperature(self), examples.aim)


class RobustDistillation(Method):
    """Adversarially robust distillation (ARD; Goldblum et al. 2020, equation 4).

    alpha T^2 KL(teacher(x) / T || f(x') / T) + (1 - alpha) CE(f(x), y); x' ascends CE(f(x'), y) from a uniform start.
    The teacher sees the clean image. The released code divides the KL term by the number of classes as well.
    """

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        assert context.recipe.teacher is not None
        self.alpha = context.recipe.teacher.alpha
        self.teacher = context.load(context.recipe.teacher)

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """Attack the student and ask the teacher about the clean images; ``aim`` holds its logits (N, K)."""
        adversary = self.adversary(batch.epoch)
        start = uniform_start(batch.images, adversary.eps_255, batch.draw)
        objective = cross_entropy_of(batch.labels)
        found = ascend(network, batch.images, start, objective, adversary, adversary.steps)
        with torch.no_grad():
            return Examples(batch.images, batch.labels, found, aim=self.teacher(batch.images))

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """The distillation term on attacked images, cross-entropy on clean ones where alpha < 1."""
        assert examples.aim is not None
        heat = temperature(self)
        attacked = of_attacked(network, examples.attacked) / heat
        loss = self.alpha * heat**2 * divergence(examples.aim / heat, attacked).mean()
        if self.alpha < 1:
            loss = loss + (1 - self.alpha) * F.cross_entropy(of_clean(network, examples.images), examples.labels)
        return loss


def temperature(method: Method) -> float:
    """T of the method's recipe."""
    assert method.recipe.distillation is not None
    return method.recipe.distillation.temperature
