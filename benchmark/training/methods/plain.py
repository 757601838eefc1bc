"""Natural training, and adversarial training by cross-entropy: PGD-AT, MPAdvT, ensemble adversarial training."""

import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.randomness import Randomness, content_seed
from benchmark.task.build import task_of
from benchmark.training.batches import Batch
from benchmark.training.inner import ascend, attacked, cross_entropy_of, input_gradient, one_step, uniform_start
from benchmark.training.methods.base import Examples, Method, MethodContext, of_attacked, of_clean
from benchmark.training.tables import Adversary, Perturbations


class Natural(Method):
    """Cross-entropy on clean images."""

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """CE(f(x), y)."""
        return F.cross_entropy(network(examples.attacked), examples.labels)


class PgdAt(Natural):
    """PGD adversarial training (Madry et al. 2018, equation 2.1): min E max_{|d| <= eps} CE(f(x + d), y).

    With a ``mixture`` the clean images count too: c CE(f(x), y) + (1 - c) CE(f(x + d), y) (Goodfellow et al. 2015,
    section 6; at c = 0.5 half the sum of AdvProp, Xie et al. 2020, equation 3).
    """

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """Attack with the benchmark's PGD."""
        adversary = self.adversary(batch.epoch)
        found = attacked(network, adversary, batch.images, batch.labels, batch.draw, task_of(self.context.card))
        return Examples(batch.images, batch.labels, found)

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """CE on the attacked images, and on the clean ones where there is a mixture."""
        if self.recipe.mixture is None:
            return super().loss(network, examples)
        clean = F.cross_entropy(of_clean(network, examples.images), examples.labels)
        adversarial = F.cross_entropy(of_attacked(network, examples.attacked), examples.labels)
        return self.recipe.mixture.clean * clean + (1 - self.recipe.mixture.clean) * adversarial


class MultiPerturbations(Natural):
    """MPAdvT (Xu et al. 2021, algorithm 1), in pixel units.

    For each batch p, eps and the number of steps T are drawn; where p falls into ``share`` the whole batch is replaced
    by x_T, x_{t+1} = clip_{x, eps}(x_t + alpha sign(grad CE(f(x_t), y))), x_0 = x + U(-eps, eps), else it stays clean.
    Paper: eps ~ U(.01, .04), T ~ U(1, 5); released code: T in 1 ... 9, the default here, and eps in units of the
    normalised image. The recipe's adversary decides the checkpoint, and its warm-up scales eps and alpha.
    """

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """Attack the whole batch, or leave it as it is."""
        adversary, steps = self.drawn(batch.seed, batch.epoch)
        if adversary is None:
            return Examples(batch.images, batch.labels, batch.images)
        start = uniform_start(batch.images, adversary.eps_255, batch.draw)
        found = ascend(network, batch.images, start, cross_entropy_of(batch.labels), adversary, steps)
        return Examples(batch.images, batch.labels, found)

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """CE(f(x), y) on a batch that stayed clean, CE(f(x_T), y) on one that was attacked."""
        answer = of_clean if examples.attacked is examples.images else of_attacked
        return F.cross_entropy(answer(network, examples.attacked), examples.labels)

    def drawn(self, seed: int, epoch: int) -> tuple[Adversary | None, int]:
        """The adversary and the number of steps that a batch draws; None where it stays clean."""
        plan = self.recipe.perturbations or Perturbations()
        chance, radius, length = Randomness([content_seed(seed, "perturbations")]).uniform((3,))[0].tolist()
        if chance < 1 - plan.share:
            return None, 0
        eps_255 = plan.eps_255[0] + radius * (plan.eps_255[1] - plan.eps_255[0])
        steps = plan.steps[0] + int(length * (plan.steps[1] - plan.steps[0] + 1))
        assert self.recipe.adversary is not None
        drawn = Adversary(eps_255=eps_255, alpha_255=plan.alpha_255, steps=steps, warmup=self.recipe.adversary.warmup)
        return drawn.at_epoch(epoch), steps


class EnsembleAt(Method):
    """Ensemble adversarial training (Tramer et al. 2018).

    For each batch one source is drawn, evenly from the static surrogates and the network itself; the examples are one
    step of size eps on it (their equation 3, FGSM), and the loss is half clean and half adversarial (their equation 6).
    The steps of the recipe's adversary serve validation alone.
    """

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        self.surrogates = [context.load(stored) for stored in context.recipe.surrogates or []]

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """Take one FGSM step on the source that the batch draws."""
        sources = [network, *self.surrogates]
        chance = float(Randomness([content_seed(batch.seed, "source")]).uniform(())[0])
        source = sources[min(int(chance * len(sources)), len(sources) - 1)]
        eps_255 = self.adversary(batch.epoch).eps_255
        gradient, _ = input_gradient(source, batch.images, cross_entropy_of(batch.labels))
        single = Adversary(eps_255=eps_255, alpha_255=eps_255, steps=1)
        return Examples(batch.images, batch.labels, one_step(batch.images, batch.images, gradient, single))

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """(CE(f(x), y) + CE(f(x'), y)) / 2."""
        clean = F.cross_entropy(of_clean(network, examples.images), examples.labels)
        return 0.5 * (clean + F.cross_entropy(of_attacked(network, examples.attacked), examples.labels))
