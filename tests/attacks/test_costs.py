"""What an attack spends is what its documentation says, image by image."""

import pytest
import torch
from torch import Tensor, nn

from benchmark.access import ScoreView, adaptive, white_box
from benchmark.attacks import build
from benchmark.attacks.cw_l2 import BISECTIONS
from benchmark.defense import Defense, Stage
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

STANDING, FALLING = 0, 1
EPS_255 = 4.0


class Jitter(Stage):
    stochastic = True

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        return images + draw.normal(images.shape[1:], std=0.001)


def three_way() -> nn.Module:
    """Logits (100 (mean - .5), 0, -1): a bright image stands, one near .5 falls at once to class 1."""

    class Mean(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            bright = 100 * (images.mean(dim=(1, 2, 3)) - 0.5)
            return torch.stack([bright, torch.zeros_like(bright), torch.zeros_like(bright) - 1], dim=1)

    return Mean()


def two_images() -> tuple[Tensor, Tensor]:
    values = torch.tensor([0.9, 0.505])
    return values[:, None, None, None].expand(2, 1, 4, 4).clone(), torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("method", "params", "queries", "gradients"),
    [
        ("fgsm", {}, [1, 1], [1, 1]),
        ("bim", {"steps": 5}, [6, 6], [5, 5]),
        ("pgd", {"steps": 7}, [8, 8], [7, 7]),
        ("pgd-l2", {"steps": 7, "restarts": 2}, [16, 8], [14, 7]),
        ("pgd", {"steps": 7, "restarts": 3}, [24, 8], [21, 7]),
        ("cw-linf", {"steps": 5}, [6, 6], [5, 5]),
        ("mim", {"steps": 5}, [6, 6], [5, 5]),
        ("dim", {"steps": 5}, [6, 6], [5, 5]),
        ("tim", {"steps": 5}, [6, 6], [5, 5]),
        ("sma", {"steps": 5}, [11, 11], [5, 5]),
        ("apgd", {"iterations": 10}, [11, 11], [11, 11]),
        ("apgd", {"iterations": 10, "restarts": 2}, [22, 11], [22, 11]),
        ("apgd", {"iterations": 10, "loss": "targeted"}, [23, 12], [22, 11]),
        ("apgd", {"iterations": 10, "loss": "targeted", "n_targets": 1}, [12, 12], [11, 11]),
        ("fab-t", {"iterations": 10}, [43, 22], [20, 10]),
        ("apgd-l2", {"iterations": 10}, [11, 11], [11, 11]),
        ("deepfool", {"steps": 5}, [8, 8], [4, 4]),
        ("jsma", {}, [11, 3], [8, 2]),
        ("deepfool", {"steps": 5, "n_targets": 1}, [6, 6], [2, 2]),
        ("fab-t", {"iterations": 10, "n_targets": 1}, [22, 22], [10, 10]),
    ],
)
def test_looks_are_counted_per_image_and_further_runs_spare_the_fallen(run, method, params, queries, gradients):
    images, labels = two_images()
    view = run(method, params, Defense(three_way(), 3), images, labels, EPS_255).view
    assert view.queries.tolist() == queries
    assert view.gradients.tolist() == gradients


def test_a_stochastic_view_counts_its_samples_and_the_final_looks():
    images, labels = two_images()
    defense, draw = Defense(three_way(), 3, stages=[Jitter()]), Randomness([1, 2])
    view = adaptive(defense, draw, eot_samples=5)
    build("apgd", {"iterations": 10})(view, Classification(3).goal(labels), images, EPS_255, draw)
    assert view.queries.tolist() == [5 * (11 + 8)] * 2
    assert view.gradients.tolist() == [5 * 11] * 2


def test_square_asks_all_its_queries_of_a_standing_image_and_stops_at_a_wrong_label(run):
    images, labels = two_images()
    view = run("square", {"queries": 120}, Defense(three_way(), 3), images, labels, EPS_255).view
    assert view.queries[STANDING] == 120
    assert view.queries[FALLING] < 60


@pytest.mark.parametrize("stages", [[], [Jitter()]], ids=["deterministic", "stochastic"])
def test_square_never_exceeds_a_budget_partly_spent_before(stages):
    images, labels = two_images()
    draw = Randomness([1, 2])
    view = ScoreView(Defense(three_way(), 3, stages=stages), draw, budget=50)
    view.query(images[:1], torch.tensor([0]))
    build("square", {"queries": 5000})(view, Classification(3).goal(labels), images, EPS_255, draw)
    assert view.queries.max() <= 50
    assert view.queries[STANDING] == 50


def test_square_asks_nothing_where_nothing_is_left():
    images, labels = two_images()
    view = ScoreView(Defense(three_way(), 3), Randomness([1, 2]), budget=0)
    found = build("square", {})(view, Classification(3).goal(labels), images, EPS_255, Randomness([1, 2]))
    assert torch.equal(found, images)


def test_square_confirms_a_success_against_a_stochastic_system_with_twenty_more_queries():
    """The image behind the boundary falls at its first look: one query, four to replace it and sixteen to confirm."""
    images, labels = two_images()
    view = ScoreView(Defense(three_way(), 3, stages=[Jitter()]), Randomness([1, 2]), budget=500)
    dark = images - 0.02
    build("square", {"queries": 500})(view, Classification(3).goal(labels), dark, 0.01, Randomness([1, 2]))
    assert view.queries[FALLING] == 21


def test_square_counts_an_abstention_as_success():
    class Abstains(Defense):
        def predict(self, images, draw):
            decision = super().predict(images, draw)
            return type(decision)(decision.probs, torch.full_like(decision.label, -1))

    images, labels = two_images()
    view = ScoreView(Abstains(three_way(), 3), Randomness([1, 2]), budget=500)
    build("square", {})(view, Classification(3).goal(labels), images, EPS_255, Randomness([1, 2]))
    assert view.queries.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("method", "instead"), [("fab-t", "apgd"), ("fab-t-l2", "apgd-l2"), ("cw-l2", "pgd-l2"), ("deepfool", "pgd-l2")]
)
def test_nearest_point_attacks_refuse_a_stochastic_target_and_say_what_to_use(method, instead):
    images, labels = two_images()
    view = adaptive(Defense(three_way(), 3, stages=[Jitter()]), Randomness([1, 2]), eot_samples=2)
    with pytest.raises(BenchError, match=f"{method} needs .* with {instead},"):
        build(method, {})(view, Classification(3).goal(labels), images, EPS_255, Randomness([1, 2]))


def test_cw_spends_nothing_more_on_an_image_that_lies_within_the_budget_already():
    images, labels = two_images()
    view = white_box(Defense(three_way(), 3), Randomness([1, 2]))
    build("cw-l2", {"searches": 9, "steps": 40})(
        view, Classification(3).goal(labels), images, EPS_255, Randomness([1, 2])
    )
    assert view.gradients[FALLING] <= 2 * 41
    assert view.gradients[STANDING] > 3 * 41
    beyond = view.queries - view.gradients
    assert beyond[FALLING] == 2
    assert beyond[STANDING] == 2 + BISECTIONS


def test_a_standing_image_is_returned_by_fab_unchanged():
    images, labels = two_images()
    view = white_box(Defense(three_way(), 3), Randomness([1, 2]))
    found = build("fab-t", {})(view, Classification(3).goal(labels), images, EPS_255, Randomness([1, 2]))
    assert torch.equal(found[STANDING], images[STANDING])
    assert not torch.equal(found[FALLING], images[FALLING])
