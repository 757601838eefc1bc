"""One step of a defense before its classifier."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from benchmark.randomness import Randomness


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

    def bpda(self, images: Tensor, draw: Randomness) -> Tensor:
        """The deployed value on the forward pass, the stand-in's gradient on the backward pass.

        Both passes see the same draw, so that the gradient belongs to the noise that was really drawn.
        """
        if self.differentiable:
            return self.apply_true(images, draw)
        value = self.apply_true(images.detach(), draw)
        approximation = self.stand_in(images, draw.restarted())
        return approximation + (value - approximation).detach()
