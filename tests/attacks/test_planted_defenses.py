"""Planted defenses that only look robust: the adaptive and black-box tracks bring each down to its undefended twin.

Each plant first shows that it does fool the attack it was made against, so that its fall later means something.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from benchmark.access import GradientView, ScoreView, adaptive, black_box
from benchmark.attacks import build
from benchmark.defense import Defense, Stage
from benchmark.judge import Judge
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

View = GradientView | ScoreView

EPS_255 = 32.0
CLASSES = 3
IMAGES = 60
TOLERANCE = 0.03
GRADIENT_CELLS = [
    ("pgd", {}),
    ("pgd", {"loss": "margin"}),
    ("apgd", {"iterations": 20}),
    ("apgd", {"iterations": 20, "loss": "dlr"}),
    ("apgd", {"iterations": 20, "loss": "targeted"}),
]
SQUARE = ("square", {"queries": 300})


class Quantised(Stage):
    """Sixteen grey levels, said to be differentiable: the true gradient is zero."""

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        return (images * 15).round() / 15


class Dropout(Stage):
    """Drops pixels at random: the gradient of one draw belongs to that draw."""

    stochastic = True
    share = 0.2

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        return images * (draw.uniform((1, *images.shape[2:])) >= self.share) / (1 - self.share)


class Shattered(Stage):
    """Noise too faint to see, whose derivative drowns the image's: averaging over draws alone takes very many."""

    stochastic = True

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        return images + 0.003 * torch.sin(3000 * images + draw.uniform(images.shape[1:], 0, 6.28))


class Cropped(Stage):
    """Keeps a window of all but one row and one column, at a random corner, by way of numpy: no gradient at all."""

    stochastic = True

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        height, width = images.shape[2:]
        corners = (draw.uniform((2,)) * 2).long().tolist()
        pixels = images.detach().cpu().numpy()
        cropped = torch.zeros_like(images)
        for place, (top, left) in enumerate(corners):
            window = (slice(None), slice(top, top + height - 1), slice(left, left + width - 1))
            cropped[(place, *window)] = torch.from_numpy(pixels[(place, *window)])
        return cropped + 0 * images


class Saturated(nn.Module):
    """Multiplies the logits by a thousand: a softmax that is 0 or 1, and a cross-entropy without gradient."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return 1000 * self.net(images)


class Thousandfold(Defense):
    """The saturated classifier as a defense."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__(Saturated(net), CLASSES)


@dataclass(frozen=True)
class Scene:
    """Images and labels, and what attacks make of them; each use of a defense gets a copy built for it."""

    images: Tensor
    labels: Tensor

    def judged(self, make: Callable[[], Defense], candidates: Tensor, rows: Tensor) -> Tensor:
        judge = Judge(make(), Classification(CLASSES), draws=15, device=torch.device("cpu"))
        return judge.judge(candidates, self.labels[rows], [("toy", row) for row in rows.tolist()]).right

    def attacked(
        self,
        make: Callable[[], Defense],
        cell: tuple[str, dict],
        see: Callable[[Defense, Randomness], View],
        rows: Tensor,
    ) -> Tensor:
        """Which of the images ``rows`` stand after an attack under a view."""
        draw = Randomness(rows.tolist())
        found = build(*cell)(
            see(make(), draw), Classification(CLASSES).goal(self.labels[rows]), self.images[rows], EPS_255, draw
        )
        return self.judged(make, found, rows)

    def naive(self, make: Callable[[], Defense]) -> float:
        """Accuracy under PGD that differentiates the system as it is: one draw, declared gradients, one live copy."""
        return share(self.attacked(make, ("pgd", {}), live, torch.arange(len(self.images))))

    def worst_case(self, make: Callable[[], Defense]) -> float:
        """Accuracy under the per-image worst of the adaptive and black-box cells, each on what still stands."""
        backwards = ["declared", "identity"] if make().alternative_backward else ["declared"]
        cells = [(cell, partial(adaptive, eot_samples=6, backward=way)) for way in backwards for cell in GRADIENT_CELLS]
        standing = torch.arange(len(self.images))
        for cell, see in [*cells, (SQUARE, partial(black_box, budget=SQUARE[1]["queries"]))]:
            standing = standing[self.attacked(make, cell, see, standing)]
        return len(standing) / len(self.images)


def live(defense: Defense, draw: Randomness) -> GradientView:
    """What a careless attacker differentiates: nothing is replaced, averaged or undone."""
    return GradientView(
        lambda images, look: defense.adaptive_logits(images, look, 1), CLASSES, draw, stochastic=defense.stochastic
    )


def share(robust: Tensor) -> float:
    return robust.float().mean().item()


@pytest.fixture(scope="module")
def scene(problem) -> Scene:
    toy = problem(CLASSES)
    return Scene(toy.images[:IMAGES], toy.labels[:IMAGES])


@pytest.fixture(scope="module")
def net(problem) -> nn.Module:
    return problem(CLASSES).net


@pytest.fixture(scope="module")
def twin(scene, net) -> float:
    return scene.worst_case(lambda: Defense(net, CLASSES))


def staged(stage: type[Stage]) -> Callable[[nn.Module], Defense]:
    return lambda net: Defense(net, CLASSES, [stage()])


PLANTS = {
    "quantisation": staged(Quantised),
    "saturated softmax": Thousandfold,
    "stochastic dropout": staged(Dropout),
    "shattering noise": staged(Shattered),
    "random crop": staged(Cropped),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "shattering noise" else name for name in PLANTS]
)
def test_a_plant_fools_the_naive_attack_and_falls_like_its_twin_to_the_tracks_made_for_it(scene, net, twin, name):
    def make() -> Defense:
        return PLANTS[name](net)

    assert share(scene.judged(make, scene.images, torch.arange(IMAGES))) > 0.9
    assert scene.naive(make) > twin + TOLERANCE
    assert scene.worst_case(make) <= twin + TOLERANCE
