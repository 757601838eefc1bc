"""Generative adversarial perturbations (Poursaeed et al. 2018), as the seed paper 004 evaluates with them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import TrainingView
from benchmark.attacks.base import project_linf
from benchmark.attacks.pgd import check_at_least_one
from benchmark.data.images import ImageSource
from benchmark.errors import BenchError, did_you_mean
from benchmark.models.unet import PerturbationUNet, initial_state
from benchmark.passes import images_per_pass
from benchmark.randomness import Randomness
from benchmark.task.classification import of_classes
from benchmark.task.goal import Task

LOSSES = ("least_likely", "true_class")
BETAS = (0.9, 0.999)
HELD_OUT = 256
LOOKS = 8
APPLICATION_BATCH = 256
APPLICATION_PIXELS = APPLICATION_BATCH * 64 * 64
"""Most images, and most pixels (N H W), that go through generator and classifier at once while nothing is trained."""


@dataclass(frozen=True)
class Gap:
    """A U-Net trained on training images to perturb any image in one pass (gray-box).

    The generator's output u, a tanh, is multiplied per image and channel by min(1, eps / max|u|) (paper 004, section
    4.2), so that eps is in pixel units, added and clipped to [0, 1]. It is trained with Adam through the undefended
    classifier, in batch mode; the state of the fewest right answers on held-out training images is kept.

    Where the released code departs from its paper, this follows the paper: the scaling is differentiated, and at
    attack time the generator is in eval mode, so that an image's perturbation depends on that image alone.

    A fit costs at most ``batches`` x ``batch_size`` backward passes and twice as many forward passes (half of them for
    the clean prediction, "least_likely" alone), and 9 x 256 forward passes on held-out images.

    Args:
        batches: training steps (paper 004: at most 1313, of 8 images).
        batch_size: images per step.
        width: channels of the generator's first convolution (64 in paper 004, for 224 pixels).
        learning_rate: Adam's (0.0002 in paper 004, which does not get far in a fifth of its steps).
        loss: "least_likely" lowers the cross-entropy to the class that is least likely on the clean image (released
            code); "true_class" lowers the true class's log-probability (paper 004, equation 4).

    Raises:
        BenchError: a parameter is out of range.
    """

    batches: int = 300
    batch_size: int = 32
    width: int = 16
    learning_rate: float = 0.002
    loss: str = "least_likely"
    knowledge: ClassVar[Literal["training"]] = "training"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("gap", batches=self.batches, batch_size=self.batch_size, width=self.width)
        if self.loss not in LOSSES:
            raise BenchError(f"gap: unknown loss '{self.loss}'.{did_you_mean(self.loss, LOSSES)}")
        if not self.learning_rate > 0:
            raise BenchError(f"gap: learning_rate is {self.learning_rate}; give more than 0.")

    def fit(self, view: TrainingView, task: Task, eps_255: float, draw: Randomness) -> dict[str, Tensor]:
        """Fit as :class:`benchmark.attacks.base.FittedAttack` says.

        Returns:
            The generator's weights under their names, and ``size`` (2,) int64, the images' height and width.
        """
        eps = eps_255 / 255
        generator = _empty_generator(view.images.shape[1:], self.width)
        generator.load_state_dict(initial_state(generator, draw.fork("weights")), assign=True)
        order = draw.uniform((len(view.images),)).reshape(-1).argsort().to(view.images.device)
        held_out = order[: max(1, min(HELD_OUT, len(order) // 5))]
        training = order[len(held_out) :] if len(order) > 1 else order
        optimiser = torch.optim.Adam(generator.parameters(), self.learning_rate, betas=BETAS)
        best, kept = _right(generator, view, task, held_out, eps), _copied(generator)
        every = -(-self.batches // LOOKS)
        dropout = draw.fork("dropout")
        for number, batch in enumerate(self._places(training, draw.fork("order")), start=1):
            self._step(generator, optimiser, view, task, batch, eps, dropout)
            if number % every == 0 or number == self.batches:
                right = _right(generator, view, task, held_out, eps)
                if right <= best:
                    best, kept = right, _copied(generator)
        return kept | {"size": torch.tensor(view.images.shape[2:])}

    def _places(self, training: Tensor, draw: Randomness) -> Iterator[Tensor]:
        """``batches`` batches of places, through all images before one comes again."""
        given = 0
        while given < self.batches:
            shuffled = training[draw.uniform((len(training),)).reshape(-1).argsort().to(training.device)]
            for start in range(0, max(1, len(shuffled) - self.batch_size + 1), self.batch_size):
                if given < self.batches:
                    given += 1
                    yield shuffled[start : start + self.batch_size]

    def _step(
        self,
        generator: PerturbationUNet,
        optimiser: torch.optim.Adam,
        view: TrainingView,
        task: Task,
        batch: Tensor,
        eps: float,
        dropout: Randomness,
    ) -> None:
        images, goal = view.images[batch], of_classes("gap", task.goal(view.labels[batch]))
        generator.train()
        with torch.enable_grad():
            logits = view.differentiable((images + scaled(generator(images, dropout), eps)).clamp(0, 1))
            if self.loss == "true_class":
                loss = -goal.objective("cross_entropy")(logits).mean()
            else:
                with torch.no_grad():
                    least = view.differentiable(images).argmin(dim=1)
                loss = goal.instead(least).objective("cross_entropy")(logits).mean()
            parameters = list(generator.parameters())
            # Not backward(), which would write into the classifier's parameters.
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.grad = gradient
        optimiser.step()

    def apply(self, state: dict[str, Tensor], images: Tensor, eps_255: float) -> Tensor:
        """Apply as :class:`benchmark.attacks.base.FittedAttack` says."""
        first = state["down.0.weight"]
        shape = (first.shape[1], *state["size"].tolist())
        if tuple(images.shape[1:]) != shape:
            raise BenchError(
                f"gap: the generator was fitted on images of shape {shape}, not {tuple(images.shape[1:])}; "
                "fit it on images of that shape."
            )
        generator = _empty_generator(images.shape[1:], first.shape[0])
        weights = {name: value.to(images.device) for name, value in state.items() if name != "size"}
        generator.load_state_dict(weights, assign=True)
        return _perturbed(generator, images, eps_255 / 255)


def scaled(output: Tensor, eps: float) -> Tensor:
    """Shrink outputs (N, C, H, W) per image and channel so that none exceeds ``eps``; smaller ones stay."""
    return output * (eps / output.abs().amax(dim=(2, 3), keepdim=True).clamp_min(eps))


def _empty_generator(shape: Sequence[int], width: int) -> PerturbationUNet:
    """A generator without values, so that no global generator is asked for initial ones."""
    channels, height, columns = shape
    with torch.device("meta"):
        return PerturbationUNet(channels, (height, columns), width)


@torch.no_grad()
def _perturbed(generator: PerturbationUNet, images: Tensor, eps: float) -> Tensor:
    generator.eval()
    parts = torch.split(images, _at_once(images))
    return torch.cat([project_linf(part + scaled(generator(part), eps), part, eps) for part in parts])


@torch.no_grad()
def _right(generator: PerturbationUNet, view: TrainingView, task: Task, places: Tensor, eps: float) -> int:
    """How many images the classifier still gets right when attacked as at attack time."""
    right = 0
    for part in torch.split(places, _at_once(view.images)):
        logits = view.differentiable(_perturbed(generator, view.images[part], eps))
        right += int((~task.goal(view.labels[part]).lost(logits)).sum())
    return right


def _at_once(images: Tensor | ImageSource) -> int:
    return min(APPLICATION_BATCH, images_per_pass(images, APPLICATION_PIXELS))


def _copied(generator: PerturbationUNet) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in generator.state_dict().items()}
