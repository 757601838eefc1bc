"""One step of a defense before its classifier."""

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor, nn

from benchmark.randomness import Randomness

Backward = Literal["declared", "identity"]
"""What an adaptive attacker differentiates in place of a stage: what the stage declares, or the identity."""


class Stage(nn.Module, ABC):
    """An image-to-image step: its true forward pass and a differentiable stand-in.

    Subclasses implement :meth:`apply_true`; where that has no useful gradient they override :meth:`stand_in` and set
    ``differentiable = False``. BPDA (Athalye et al. 2018, section 4) and EOT (section 4.2) follow from these two.

    Attributes:
        stochastic: whether :meth:`apply_true` draws random numbers.
        differentiable: whether autograd through :meth:`apply_true` gives a useful gradient.
    """

    stochastic: bool = False
    differentiable: bool = True

    @abstractmethod
    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Transform (N, C, H, W) images in [0, 1] as deployed; all randomness comes from ``draw``."""

    def stand_in(self, images: Tensor, draw: Randomness) -> Tensor:
        """Differentiable stand-in, used for the backward pass only; the identity unless a stage knows better."""
        del draw
        return images

    def forward(self, images: Tensor, draw: Randomness) -> Tensor:
        """The deployed transformation, without any gradient trick."""
        return self.apply_true(images, draw)

    @property
    def declares_identity(self) -> bool:
        """Whether the declared backward pass is the identity, so that both backward passes are one."""
        own = type(self)
        return not self.differentiable and own.stand_in is Stage.stand_in and own.bpda is Stage.bpda

    def bpda(self, images: Tensor, draw: Randomness) -> Tensor:
        """The deployed value on the forward pass, the stand-in's gradient on the backward pass.

        Both passes see the same draw, so that the gradient belongs to the noise that was really drawn.
        """
        if self.differentiable:
            return self.apply_true(images, draw)
        value = self.apply_true(images.detach(), draw)
        approximation = self.stand_in(images, draw.restarted())
        return approximation + (value - approximation).detach()

    def straight_through(self, images: Tensor, draw: Randomness) -> Tensor:
        """The deployed value on the forward pass, the identity on the backward pass, whatever the stage declares.

        It finds a way where a stand-in or a true gradient points nowhere. A stage that changes the shape has no
        identity and keeps what it declares.
        """
        value = self.apply_true(images.detach(), draw.restarted())
        if value.shape != images.shape:
            return self.bpda(images, draw)
        # The difference is exactly zero: the value is the deployed one to the last bit.
        return value.detach() + (images - images.detach())
