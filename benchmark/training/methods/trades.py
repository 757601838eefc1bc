"""Methods that hold the answers on clean and attacked images together: TRADES, HAT, MART, MAAdvT."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.randomness import Randomness
from benchmark.training.batches import Batch
from benchmark.training.inner import ascend, cross_entropy_of, near_start, uniform_start
from benchmark.training.methods.base import Examples, Method, MethodContext, of_attacked, of_clean
from benchmark.training.tables import Helper, Regulariser


def divergence(clean: Tensor, attacked: Tensor) -> Tensor:
    """KL(softmax(clean) || softmax(attacked)) per image, (N,), from logits (N, K)."""
    aim, said = clean.log_softmax(dim=1), attacked.log_softmax(dim=1)
    return (aim.exp() * (aim - said)).sum(dim=1)


class _Regularised(Method):
    @property
    def beta(self) -> float:
        """The weight of the KL term."""
        return (self.recipe.regulariser or Regulariser()).beta

    def _attacked_from(
        self, network: nn.Module, batch: Batch, start: Callable[[Tensor, float, Randomness], Tensor]
    ) -> Examples:
        """Examples that ascend the cross-entropy from a start."""
        adversary = self.adversary(batch.epoch)
        begun = start(batch.images, adversary.eps_255, batch.draw)
        found = ascend(network, batch.images, begun, cross_entropy_of(batch.labels), adversary, adversary.steps)
        return Examples(batch.images, batch.labels, found)


class Trades(_Regularised):
    """TRADES (Zhang et al. 2019, equation 5): CE(f(x), y) + beta max_{x'} KL(f(x) || f(x')).

    The inner maximisation ascends the same KL from x + 0.001 N(0, 1).
    """

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """Ascend the divergence from the answer on the clean image."""
        adversary = self.adversary(batch.epoch)
        with torch.no_grad():
            clean = of_clean(network, batch.images)
        start = near_start(batch.images, adversary.eps_255, batch.draw)
        found = ascend(
            network, batch.images, start, lambda logits: divergence(clean, logits), adversary, adversary.steps
        )
        return Examples(batch.images, batch.labels, found)

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """CE(f(x), y) + beta mean KL(f(x) || f(x')); the gradient flows through both arguments, as released."""
        clean, attacked = of_clean(network, examples.images), of_attacked(network, examples.attacked)
        return F.cross_entropy(clean, examples.labels) + self.beta * divergence(clean, attacked).mean()


class Hat(Trades):
    """Helper-based adversarial training (Rade & Moosavi-Dezfooli 2022): TRADES + gamma CE(f(x''), h(x')).

    x'' = x + 3.5 (x' - x) lies beyond the adversarial example, and h is a standard network: the decision boundary need
    not be pushed further than a naturally trained network has it. The paper's text has the factor 2, its released code
    3.5, which the survey's takes over. Here x'' is clamped to [0, 1], there it is not.
    """

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        assert context.recipe.helper is not None
        self.settings: Helper = context.recipe.helper
        self.helper = context.load(self.settings)

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """TRADES' examples, and what the helper says of them."""
        found = super().examples(network, batch)
        with torch.no_grad():
            said = self.helper(found.attacked).argmax(dim=1)
        return Examples(found.images, found.labels, found.attacked, aim=said)

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """CE(f(x), y) + beta KL(f(x) || f(x')) + gamma CE(f(x''), h(x'))."""
        assert examples.aim is not None
        beyond = examples.images + self.settings.reach * (examples.attacked - examples.images)
        trades = super().loss(network, examples)
        return trades + self.settings.gamma * F.cross_entropy(of_attacked(network, beyond.clamp(0, 1)), examples.aim)


class Mart(_Regularised):
    """MART (Wang et al. 2020): BCE(f(x'), y) + beta KL(f(x) || f(x')) (1 - p_y(x)).

    The examples ascend the cross-entropy from x + 0.001 N(0, 1).
    """

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """Ascend the cross-entropy."""
        return self._attacked_from(network, batch, near_start)

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """BCE and weighted KL, both averaged.

        BCE = -log p_y(x') - log(1.0001 - max_{k != y} p_k(x')), the constant being the released code's.
        """
        clean, attacked = of_clean(network, examples.images), of_attacked(network, examples.attacked)
        probabilities = attacked.softmax(dim=1)
        others = probabilities.masked_fill(F.one_hot(examples.labels, clean.shape[1]).bool(), -1.0).amax(dim=1)
        margin: Tensor = -(1.0001 - others).log().mean()
        boosted = F.cross_entropy(attacked, examples.labels) + margin
        return boosted + self.beta * _doubt_weighted(clean, attacked, examples.labels)


class MisclassificationAware(_Regularised):
    """MAAdvT (Xu et al. 2021, equations 8 and 9): CE(f(x'), y) + lambda KL(f(x) || f(x')) (1 - p_y(x)).

    The examples are PGD's, from a uniform start. The paper leaves lambda open; ``beta`` of the recipe, 6 by default as
    in the released code for its binary task. That code is not this loss but MART: it adds the margin term
    -log(1.0001 - max_{k != y} p_k(x')) and starts at x + 0.001 N(0, 1). Take method "mart" for it.
    """

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """Ascend the cross-entropy from a uniform start."""
        return self._attacked_from(network, batch, uniform_start)

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """CE on the attacked images and weighted KL, both averaged."""
        clean, attacked = of_clean(network, examples.images), of_attacked(network, examples.attacked)
        adversarial = F.cross_entropy(attacked, examples.labels)
        return adversarial + self.beta * _doubt_weighted(clean, attacked, examples.labels)


def _doubt_weighted(clean: Tensor, attacked: Tensor, labels: Tensor) -> Tensor:
    """Mean of KL(f(x) || f(x')) (1 - p_y(x)); the gradient flows through the weight too, as released."""
    sure = clean.softmax(dim=1).gather(1, labels[:, None]).squeeze(1)
    return (divergence(clean, attacked) * (1 - sure)).mean()
