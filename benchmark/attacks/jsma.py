"""JSMA (Papernot et al. 2016): the few pixels whose change moves the decision most."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.base import all_rows, choose, no_value, none_yet
from benchmark.attacks.norms import radius
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal, Rival


@dataclass(frozen=True)
class Jsma:
    """Jacobian saliency maps, greedy and untargeted, in L0: ``eps_255`` is the number of pixels that may change.

    A pixel's saliency for a target class t is what the linearised z_t - z_y gains when each of its channels goes to the
    better face of the box, up or down; the most salient pixels change, and a changed one is not touched again. The
    paper multiplies the rise of z_t by the fall of the other classes' sum, looks in one direction only and searches all
    d^2 pairs. A sum needs no search, for the best pair is the two best pixels, it counts how far the box lets a
    pixel go, and greed is then optimal on a linear network. The most likely wrong classes are tried in turn, each on
    the images not yet misclassified.

    A pixel goes to the face at once, so that an image is done when it fools the view; only against a stochastic view
    does the search go on, and the latest iterate seen fooled is returned. Without success the iterate of highest margin
    is returned. One look orders the targets; each costs up to eps_255 / ``pixels_per_step`` gradients per image, and
    one forward pass more than gradients (times EOT samples).

    Args:
        pixels_per_step: pixels changed on one look (the paper's 2; 1 follows a curved network better).
        n_targets: most likely wrong classes tried; None means K - 1, at most 9.

    Raises:
        BenchError: a parameter is out of range.
    """

    pixels_per_step: int = 1
    n_targets: int | None = None
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "l0"

    def __post_init__(self) -> None:
        check_at_least_one("jsma", pixels_per_step=self.pixels_per_step)
        if self.n_targets is not None:
            check_at_least_one("jsma", n_targets=self.n_targets)

    def __call__(
        self,
        view: GradientView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says; ``draw`` is not used."""
        del draw
        candidates = images.clone()
        if len(images) == 0:
            return candidates
        pixels = min(int(radius("l0", eps_255, images.shape[1:])), images[0, 0].numel())
        rows = all_rows(images)
        clean = view.logits(images, rows)
        best = goal.margin(clean)
        for rival in goal.rivals(clean, self.n_targets):
            if len(rows) == 0:
                break
            place = rows.to(images.device)
            search = _Search(view, goal.take(place), images[place], rival.take(place), rows)
            found, margin, fooled = search.run(pixels, self.pixels_per_step)
            candidates[place] = choose(fooled | (margin > best[place]), found, candidates[place])
            best[place] = torch.maximum(margin, best[place])
            rows = rows[~fooled.cpu()]
        return candidates


@dataclass(frozen=True)
class _Search:
    """One rival for each of n images."""

    view: GradientView
    goal: Goal
    images: Tensor
    rival: Rival
    rows: Tensor

    def run(self, pixels: int, at_once: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the kept iterates (n, C, H, W), their margins (n,) and whether they fool the view (n,)."""
        iterate, kept = self.images.clone(), self.images.clone()
        untouched = torch.ones_like(self.images[:, 0], dtype=torch.bool).flatten(1)
        best, fooled = no_value(self.images), none_yet(self.images)
        going = torch.arange(len(self.images), device=self.images.device)
        changed = 0
        while len(going) > 0:
            rows = self.rows[going.cpu()]
            if changed < pixels:
                look = self.view.evaluate(iterate[going], self.rival.take(going).gain, rows)
                logits = look.logits
            else:
                logits = self.view.logits(iterate[going], rows)
            own = self.goal.take(going)
            margin, now = own.margin(logits), own.lost(logits)
            take = now | (~fooled[going] & (margin > best[going]))
            kept[going] = choose(take, iterate[going], kept[going])
            best[going] = torch.where(take, margin, best[going])
            fooled[going] |= now
            if changed >= pixels:
                break
            going_on = torch.ones_like(now) if self.view.stochastic else ~now
            going, gradient = going[going_on], look.gradient[going_on].nan_to_num(nan=0.0)
            count = min(at_once, pixels - changed)
            iterate[going], untouched[going] = flip_most_salient(iterate[going], gradient, untouched[going], count)
            changed += count
        return kept, best, fooled


def flip_most_salient(images: Tensor, gradient: Tensor, untouched: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Move the ``count`` untouched pixels of largest linear gain to the better faces of the box.

    Args:
        images: (n, C, H, W) in [0, 1].
        gradient: (n, C, H, W) of the value to raise.
        untouched: (n, H * W) bool, pixels that may still change.
        count: pixels to change, at most H * W.

    Returns:
        the new images and the pixels that remain untouched.
    """
    faces = torch.where(gradient > 0, torch.ones_like(images), torch.zeros_like(images))
    faces = torch.where(gradient == 0, images, faces)
    saliency = (gradient * (faces - images)).sum(dim=1).flatten(1)
    order = saliency.masked_fill(~untouched, -torch.inf).argsort(dim=1, descending=True, stable=True)[:, :count]
    flipped = torch.zeros_like(untouched).scatter(1, order, True)
    mask = flipped.reshape(len(images), 1, *images.shape[2:])
    return torch.where(mask, faces, images), untouched & ~flipped
