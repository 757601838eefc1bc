"""Methods that keep examples near the decision boundary: friendly and increasing-margin adversarial training."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.data.split import Split
from benchmark.training.batches import Batch
from benchmark.training.inner import cross_entropy_of, input_gradient, one_step, uniform_start, within
from benchmark.training.methods.base import Examples, Method, MethodContext, of_attacked, of_clean
from benchmark.training.methods.plain import Natural
from benchmark.training.tables import Friendly, Margins


class FriendlyAt(Natural):
    """Friendly adversarial training (Zhang et al. 2020, algorithms 1 and 2): CE on examples of early-stopped PGD.

    PGD from x + U(-eps, eps) leaves an image alone once it has been misclassified more than tau times on the way; tau
    grows evenly from 0 to the recipe's over training, where the released code changes it at 42 % and 75 % of the
    epochs. The released code also adds noise of standard deviation 0.001 to every step, which is left out here.
    """

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """Attack each image until it is wrong for the (tau + 1)-th time, or all steps are done."""
        adversary, tau = self.adversary(batch.epoch), self.tau(batch.epoch)
        found = uniform_start(batch.images, adversary.eps_255, batch.draw)
        active = torch.arange(len(found), device=found.device)
        spent = torch.zeros_like(active)
        for _ in range(adversary.steps):
            images, labels = batch.images[active], batch.labels[active]
            gradient, logits = input_gradient(network, found[active], cross_entropy_of(labels))
            wrong = logits.argmax(dim=1) != labels
            stays = wrong & (spent[active] >= tau)
            spent[active] += wrong.long()
            moved = one_step(images, found[active], gradient, adversary)
            active = active[~stays]
            found[active] = moved[~stays]
            if len(active) == 0:
                break
        return Examples(batch.images, batch.labels, found)

    def tau(self, epoch: int) -> int:
        """Steps that a misclassified image may still go in an epoch, counted from 1."""
        most = (self.recipe.friendly or Friendly()).tau
        return min(most, (most + 1) * (epoch - 1) // self.recipe.epochs)


class IncreasingMargin(Method):
    """Increasing-margin adversarial training (IMA; Ma & Liang 2020): each image has a radius of its own, which grows.

    Radii start at ``growth_255``. An image x that is classified rightly is attacked within its radius e by PGD from x
    with steps of 4 e / steps; where the attack crosses the decision boundary, bisection between the last right and the
    first wrong iterate gives x' on the boundary. The loss is (1 - beta) CE(f(x), y) + beta CE(f(x'), y), the second
    term over those images for which an x' was found, both divided by the number of images. After an epoch a radius
    grows by ``growth_255`` where some look found none, else it becomes (e + |x' - x|) / 2; it stays within 0 and the
    recipe's eps, and stays as it is for images misclassified or not seen. Follows the code released with the paper
    (its default ``beta_position`` 1 and ``Xn_advc_p`` 1), in L-inf.
    """

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        self.margins = context.recipe.margins or Margins()
        self.radii = torch.zeros(0)
        self._forget()

    @property
    def _limit(self) -> float:
        """The largest radius, in 1/255."""
        assert self.recipe.adversary is not None
        return self.recipe.adversary.eps_255

    def _forget(self) -> None:
        self._next = self.radii.clone()
        self._held = torch.zeros(len(self.radii), dtype=torch.bool)
        self._right = torch.zeros(len(self.radii), dtype=torch.bool)

    def begin(self, split: Split) -> None:
        """Give each training image its first radius, in 1/255."""
        self.radii = torch.full((len(split),), min(self.margins.growth_255, self._limit))
        self._forget()

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """Look for a misclassified point within each image's radius, and take note of what was found."""
        radii = self.radii[batch.places].to(batch.images.device)
        with torch.no_grad():
            right = network(batch.images).argmax(dim=1) == batch.labels
        found, crossed = self._boundary(network, batch, radii)
        crossed &= right
        self._note(batch, found, crossed.cpu(), right.cpu())
        return Examples(batch.images, batch.labels, found, weights=crossed.float())

    def _boundary(self, network: nn.Module, batch: Batch, radii: Tensor) -> tuple[Tensor, Tensor]:
        """Points just across the boundary (N, C, H, W), and (N,) bool: where there is one."""
        images, labels = batch.images, batch.labels
        steps = self.adversary(batch.epoch).steps
        length = 4 * radii.reshape(-1, 1, 1, 1) / 255 / steps
        inner, outer = images.clone(), images.clone()
        crossed = torch.zeros_like(labels, dtype=torch.bool)
        for _ in range(steps):
            gradient, _ = input_gradient(network, inner, cross_entropy_of(labels))
            ahead = within(inner + length * gradient.sign(), images, radii)
            with torch.no_grad():
                wrong = network(ahead).argmax(dim=1) != labels
            open_ = (~crossed)[:, None, None, None]
            outer = torch.where(open_, ahead, outer)
            crossed |= wrong
            inner = torch.where((~crossed)[:, None, None, None], ahead, inner)
            if bool(crossed.all()):
                break
        for _ in range(self.margins.refine):
            middle = (inner + outer) / 2
            with torch.no_grad():
                wrong = (network(middle).argmax(dim=1) != labels)[:, None, None, None]
            inner, outer = torch.where(wrong, inner, middle), torch.where(wrong, middle, outer)
        return outer, crossed

    def _note(self, batch: Batch, found: Tensor, crossed: Tensor, right: Tensor) -> None:
        distance = 255 * (found - batch.images).flatten(1).abs().amax(dim=1).cpu()
        # One image may occur twice in a batch: its looks are taken in their order.
        for place, length, broken, was_right in zip(
            batch.places.tolist(), distance.tolist(), crossed.tolist(), right.tolist(), strict=True
        ):
            self._right[place] |= was_right
            if broken:
                self._next[place] = (self._next[place] + length) / 2
            elif was_right:
                self._held[place] = True

    def end_epoch(self) -> None:
        """Let the radii grow, or come back to the boundary."""
        grown = torch.where(self._held, self.radii + self.margins.growth_255, self._next)
        self.radii = torch.where(self._right, grown, self.radii).clamp(0, self._limit)
        self._forget()

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """(1 - beta) CE(f(x), y) + beta CE(f(x'), y) over the images for which x' was found."""
        assert examples.weights is not None
        clean = F.cross_entropy(of_clean(network, examples.images), examples.labels)
        attacked = F.cross_entropy(of_attacked(network, examples.attacked), examples.labels, reduction="none")
        return (1 - self.margins.beta) * clean + self.margins.beta * (examples.weights * attacked).mean()

    def state(self) -> dict[str, Tensor]:
        """The radii, in 1/255."""
        return {"radii": self.radii}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from :meth:`state`."""
        self.radii = state["radii"]
        self._forget()
