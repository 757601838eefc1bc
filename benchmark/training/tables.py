"""The tables of a recipe that belong to one training method or to a few of them, and that of the network's surgery."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from torch import nn

from benchmark.defense.surgery import (
    Shape,
    Statistics,
    with_average_pooling,
    with_bounded_relu,
    with_drop_max,
    with_dual_batch_norm,
    with_single_batch_norm,
)
from benchmark.toml_model import Strict

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Above = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
Radius = Annotated[float, Field(gt=0, le=255)]


class Adversary(Strict):
    """The inner maximisation of adversarial training, in units of 1/255.

    Over the first ``warmup`` epochs budget and step grow evenly to their full size.
    """

    eps_255: Radius
    alpha_255: Radius
    steps: Positive
    warmup: Count = 0

    def at_epoch(self, number: int) -> "Adversary":
        """The adversary of epoch ``number``, counted from 1."""
        share = min(1.0, number / (self.warmup + 1))
        return self.model_copy(update={"eps_255": self.eps_255 * share, "alpha_255": self.alpha_255 * share})


class Stored(Strict):
    """A network whose weight file exists already.

    ``weights`` is relative to the recipe, with ``{dataset}`` for the data set's name. Architecture, options and surgery
    are those of the recipe where no architecture is given; one that is given is taken as published.
    """

    weights: str
    architecture: str | None = None
    options: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _options_of_an_architecture(self) -> "Stored":
        if self.options is not None and self.architecture is None:
            raise ValueError(f"'{self.weights}' has options but no architecture; name both or neither")
        return self


class Surgery(Strict):
    """Feature enhancement: how the architecture is altered before it is trained (:mod:`benchmark.defense.surgery`).

    ``pooling`` is what stands where max-pools stood, ``relu_bound`` where every ReLU is cut off. The entry's code has
    to alter its network alike before it loads the weights.

    ``dual_batch_norm`` doubles the batch normalisation while the network is trained: clean images go through the main
    half, attacked ones, their making included, through the auxiliary half (Xie et al. 2020, algorithm 1). Its value is
    the half that the checkpoint is chosen with and that alone is stored, so that the weights fit the architecture
    without surgery: "auxiliary" has learnt from attacked images and is the one to deploy as a defense; "main" is
    AdvProp's and Han et al.'s (2021) for accuracy on clean images, and attacks break it sooner.
    """

    pooling: Literal["average", "drop_max"] | None = None
    relu_bound: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    dual_batch_norm: Statistics | None = None

    @model_validator(mode="after")
    def _something(self) -> "Surgery":
        if not self.model_fields_set:
            raise ValueError("[surgery] is empty; give pooling, relu_bound or dual_batch_norm, or remove it")
        return self

    def altered(self, network: nn.Module, shape: Shape) -> nn.Module:
        """A copy of a network as it is stored and deployed; ``shape`` is (channels, height, width) of its images.

        Raises:
            BenchError: the network has no such layers, or some that are not modules.
        """
        if self.pooling is not None:
            pooled = with_average_pooling if self.pooling == "average" else with_drop_max
            network = pooled(network, shape)
        return network if self.relu_bound is None else with_bounded_relu(network, self.relu_bound, shape)

    def doubled(self, network: nn.Module) -> nn.Module:
        """The network to train: with dual batch normalisation where it is asked for.

        Raises:
            BenchError: the network has no batch normalisation, or another than that of maps.
        """
        return network if self.dual_batch_norm is None else with_dual_batch_norm(network)

    def stored(self, network: nn.Module) -> nn.Module:
        """What is stored of a network that was trained: one half of its dual batch normalisation."""
        return network if self.dual_batch_norm is None else with_single_batch_norm(network, self.dual_batch_norm)


class Mixture(Strict):
    """PGD-AT on clean images too: ``clean`` is what their loss counts for (Goodfellow et al. 2015: 0.5)."""

    clean: Share = 0.5


class Regulariser(Strict):
    """How much the KL term counts: beta of TRADES, MART and HAT, lambda of MAAdvT."""

    beta: Weight = 6.0


class Helper(Stored):
    """HAT's standard network, the weight ``gamma`` of its term, and the factor ``reach`` of the longer perturbation."""

    gamma: Weight = 1.0
    reach: Annotated[float, Field(ge=1)] = 3.5


class Teacher(Stored):
    """ARD's robust network; ``alpha`` in [0, 1] is the share of its term against clean cross-entropy."""

    alpha: Annotated[float, Field(ge=0, le=1)] = 1.0


class Distillation(Strict):
    """The temperature that softens the teacher's answers."""

    temperature: Annotated[float, Field(ge=1)]


class Perturbations(Strict):
    """MPAdvT: what is drawn for each batch; radii in 1/255, both ends of ``steps`` included."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    eps_255: tuple[Radius, Radius] = (2.55, 10.2)
    steps: tuple[Positive, Positive] = (1, 9)
    alpha_255: Radius = 1.0

    @model_validator(mode="after")
    def _rising(self) -> "Perturbations":
        for name, (low, high) in {"eps_255": self.eps_255, "steps": self.steps}.items():
            if low > high:
                raise ValueError(f"[perturbations] {name} runs from {low} down to {high}; give the smaller one first")
        return self


class Friendly(Strict):
    """FAT: steps that an image may still go once it is misclassified; grows evenly from 0 to ``tau`` over training."""

    tau: Count = 2


class Margins(Strict):
    """IMA: each image's radius starts at ``growth_255`` and grows by it, in 1/255.

    ``beta`` in [0, 1] is the share of the adversarial term; ``refine`` bisections lead back to the decision boundary.
    """

    growth_255: Radius = 1.0
    beta: Annotated[float, Field(ge=0, le=1)] = 0.5
    refine: Count = 10


class SemiSupervised(Strict):
    """SSAT: the share of training images that keep their label; ``weight`` is what each of the others counts for.

    ``epochs`` is how long the network that names the others is trained.
    """

    labelled: Share
    epochs: Positive
    weight: Weight = 1.0


class Awp(Strict):
    """Adversarial weight perturbation: size ``gamma`` relative to each weight's norm, after ``warmup`` epochs."""

    gamma: Above = 0.005
    warmup: Count = 0


class Ema(Strict):
    """Exponential moving average of the weights, which is what is validated and stored."""

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.995


class Augment(Strict):
    """Further augmentation, drawn for each image: none of it where a field is 0.

    ``rotate`` in degrees to both sides, ``brightness`` as a shift in [0, 1], ``contrast`` as a share around the image's
    mean, ``cutout`` as the side in pixels of a square that the image's mean replaces.
    """

    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.0
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.0
    cutout: Count = 0
