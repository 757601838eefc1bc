"""Each method's loss and examples on a linear network, against the paper's equation worked out in NumPy."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import nn

from benchmark.randomness import Randomness
from benchmark.submission.weights import save_weights
from benchmark.training.batches import Batch
from benchmark.training.inner import near_start, uniform_start
from benchmark.training.methods import Examples
from benchmark.training.methods.plain import EnsembleAt, MultiPerturbations

from .conftest import make_card, make_recipe
from .linear import (
    ADVERSARY,
    CLEAN,
    LABELS,
    WEIGHTS,
    Linear,
    cross_entropy,
    images_of,
    kl,
    logits_of,
    make_batch,
    make_method,
    probabilities_of,
    signs_up,
    true_of,
)

EPS = 8 / 255
ATTACKED = CLEAN + EPS * np.array([[1, -1, 1, -1], [-1, -1, 1, 1], [1, 1, -1, 0.5]])
ADVERSARIAL = ("pgd_at", "trades", "mart", "mpadvt", "maadvt", "fat", "ima")


def examples(aim=None, weights=None):
    return Examples(images_of(CLEAN), torch.tensor(LABELS), images_of(ATTACKED), aim, weights)


def value(method, given=None):
    return method.loss(Linear(), given or examples()).item()


@pytest.fixture
def elsewhere(tmp_path):
    """A folder with the weight file of an untrained network, which helper, teacher and surrogates are loaded from."""
    from benchmark.training.recipe import untrained_network

    save_weights(untrained_network(make_recipe(), make_card(3)), tmp_path / "other.safetensors")
    return tmp_path


OTHER = {"weights": "other.safetensors"}


def test_pgd_at_is_cross_entropy_on_attacked_images():
    assert value(make_method("pgd_at", adversary=ADVERSARY)) == pytest.approx(cross_entropy(ATTACKED), rel=1e-5)


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_trades_is_cross_entropy_plus_beta_times_the_divergence(beta):
    method = make_method("trades", adversary=ADVERSARY, regulariser={"beta": beta})
    expected = cross_entropy(CLEAN) + beta * kl(probabilities_of(CLEAN), probabilities_of(ATTACKED)).mean()
    assert value(method) == pytest.approx(expected, rel=1e-5)


def test_beta_is_six_where_the_recipe_says_nothing():
    silent = make_method("trades", adversary=ADVERSARY)
    assert value(silent) == value(make_method("trades", adversary=ADVERSARY, regulariser={"beta": 6}))


def test_hat_adds_gamma_times_cross_entropy_beyond_the_example_towards_what_the_helper_said(elsewhere):
    method = make_method("hat", elsewhere, adversary=ADVERSARY, helper=OTHER | {"gamma": 0.5, "reach": 3.5})
    said = np.array([2, 2, 0])
    beyond = probabilities_of(CLEAN + 3.5 * (ATTACKED - CLEAN))
    trades = value(make_method("trades", adversary=ADVERSARY))
    expected = trades + 0.5 * -np.log(beyond[np.arange(3), said]).mean()
    assert value(method, examples(aim=torch.tensor(said))) == pytest.approx(expected, rel=1e-5)


def test_hat_asks_its_helper_about_the_attacked_images(elsewhere):
    method = make_method("hat", elsewhere, adversary=ADVERSARY, helper=OTHER)
    method.helper = Linear(-np.ones((3, 4)) * [[0], [1], [2]], np.array([0.0, 1.9, 2.0]))
    found = method.examples(Linear(), make_batch())
    assert torch.equal(found.aim, method.helper(found.attacked).argmax(dim=1))


def mart_margin(attacked):
    others = np.where(np.eye(3)[LABELS] == 1, -1, attacked).max(axis=1)
    return -np.log(1.0001 - others).mean()


def doubtful_divergence():
    clean, attacked = probabilities_of(CLEAN), probabilities_of(ATTACKED)
    return (kl(clean, attacked) * (1 - true_of(clean))).mean()


def test_mart_is_boosted_cross_entropy_plus_the_divergence_weighted_by_doubt():
    method = make_method("mart", adversary=ADVERSARY, regulariser={"beta": 5})
    expected = cross_entropy(ATTACKED) + mart_margin(probabilities_of(ATTACKED)) + 5 * doubtful_divergence()
    assert value(method) == pytest.approx(expected, rel=1e-5)


def test_maadvt_is_mart_without_its_margin_term():
    tables = {"adversary": ADVERSARY, "regulariser": {"beta": 5}}
    assert value(make_method("maadvt", **tables)) == pytest.approx(
        cross_entropy(ATTACKED) + 5 * doubtful_divergence(), rel=1e-5
    )
    assert value(make_method("mart", **tables)) - value(make_method("maadvt", **tables)) == pytest.approx(
        mart_margin(probabilities_of(ATTACKED)), rel=1e-4
    )


def test_ensemble_at_is_half_clean_and_half_adversarial(elsewhere):
    method = make_method("ensemble_at", elsewhere, adversary=ADVERSARY, surrogates=[OTHER])
    assert value(method) == pytest.approx((cross_entropy(CLEAN) + cross_entropy(ATTACKED)) / 2, rel=1e-5)


def test_ard_is_the_hot_divergence_from_the_teacher_and_clean_cross_entropy(elsewhere):
    tables = {"adversary": ADVERSARY, "distillation": {"temperature": 4}}
    teacher = np.array([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5], [0.3, 0.2, 0.1]])
    soft = np.exp(teacher / 4) / np.exp(teacher / 4).sum(axis=1, keepdims=True)
    term = 16 * kl(soft, probabilities_of(ATTACKED, 4)).mean()
    given = examples(aim=torch.tensor(teacher, dtype=torch.float32))
    alone = make_method("ard", elsewhere, teacher=OTHER, **tables)
    mixed = make_method("ard", elsewhere, teacher=OTHER | {"alpha": 0.25}, **tables)
    assert value(alone, given) == pytest.approx(term, rel=1e-4)
    assert value(mixed, given) == pytest.approx(0.25 * term + 0.75 * cross_entropy(CLEAN), rel=1e-4)


def test_defensive_distillation_is_cross_entropy_with_the_teachers_soft_labels_at_its_temperature():
    method = make_method("defensive_distillation", distillation={"temperature": 10})
    soft = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6]])
    expected = -(soft * np.log(probabilities_of(CLEAN, 10))).sum(axis=1).mean()
    assert value(method, examples(aim=torch.tensor(soft, dtype=torch.float32))) == pytest.approx(expected, rel=1e-5)


def test_the_teacher_of_defensive_distillation_is_trained_at_the_same_temperature():
    method = make_method("defensive_distillation", distillation={"temperature": 10})
    from .conftest import make_split

    first = method.first_stage(make_split("train", torch.arange(8) % 2, 0))
    expected = -np.log(true_of(probabilities_of(CLEAN, 10))).mean()
    assert value(first.method) == pytest.approx(expected, rel=1e-5)


def test_ssat_weighs_images_that_were_named_by_the_network():
    method = make_method("ssat", adversary=ADVERSARY, semi_supervised={"labelled": 0.5, "epochs": 1})
    each = -np.log(true_of(probabilities_of(ATTACKED)))
    weights = np.array([1.0, 0.25, 1.0])
    given = examples(weights=torch.tensor(weights, dtype=torch.float32))
    assert value(method, given) == pytest.approx((weights * each).sum() / weights.sum(), rel=1e-5)


def test_ima_counts_the_second_term_only_where_the_boundary_was_found():
    method = make_method("ima", adversary=ADVERSARY, margins={"beta": 0.3})
    each = -np.log(true_of(probabilities_of(ATTACKED)))
    given = examples(weights=torch.tensor([1.0, 0.0, 1.0]))
    expected = 0.7 * cross_entropy(CLEAN) + 0.3 * (each[0] + each[2]) / 3
    assert value(method, given) == pytest.approx(expected, rel=1e-5)


def test_the_cross_entropy_attacks_of_mart_and_maadvt_reach_the_corner_that_the_gradient_points_to():
    # Within these balls no component of the gradient changes its sign, and five steps reach every face from anywhere.
    corner = CLEAN + EPS * signs_up(CLEAN)
    for name in ("mart", "maadvt"):
        found = make_method(name, adversary=ADVERSARY | {"steps": 5}).examples(Linear(), make_batch())
        np.testing.assert_allclose(found.attacked.flatten(1).numpy(), corner, atol=1e-6)


def test_trades_attack_gains_divergence():
    found = make_method("trades", adversary=ADVERSARY).examples(Linear(), make_batch()).attacked
    attacked = probabilities_of(found.flatten(1).double().numpy())
    random = probabilities_of(CLEAN + EPS * np.sign(np.random.default_rng(0).normal(size=CLEAN.shape)))
    assert kl(probabilities_of(CLEAN), attacked).mean() > 2 * kl(probabilities_of(CLEAN), random).mean()


def test_trades_attack_climbs_the_divergence_from_the_clean_answer_step_by_step():
    """The gradient of KL(p || q) is W^T (q - p); a ball this wide holds places where that of KL(q || p) turns away."""
    adversary = {"eps_255": 100, "alpha_255": 20, "steps": 8}
    found = make_method("trades", adversary=adversary).examples(Linear(), make_batch()).attacked
    batch, clean, reach = make_batch(), probabilities_of(CLEAN), 100 / 255
    iterate = near_start(batch.images, 100, batch.draw).flatten(1).double().numpy()
    for _ in range(8):
        ahead = iterate + 20 / 255 * np.sign((probabilities_of(iterate) - clean) @ WEIGHTS)
        iterate = np.clip(np.clip(ahead, CLEAN - reach, CLEAN + reach), 0, 1)
    np.testing.assert_allclose(found.flatten(1).numpy(), iterate, atol=1e-6)


BESIDE = {
    "ard": {"teacher": OTHER, "distillation": {"temperature": 4}},
    "ensemble_at": {"surrogates": [OTHER]},
    "hat": {"helper": OTHER},
    "ssat": {"semi_supervised": {"labelled": 0.5, "epochs": 1}},
}
"""Tables that a method needs beside its adversary."""


def departure(name, folder):
    """Where an attack starts, less the image, and its radius, both in 1/255.

    No step leads away from the start: the network that is attacked has no slope anywhere.
    """
    method = make_method(name, folder, adversary=ADVERSARY, **BESIDE.get(name, {}))
    network = Linear(np.zeros((3, 64 * 64)), np.zeros(3))
    method.helper, method.teacher, method.surrogates, method.counts = network, network, [network], torch.ones(2)
    seed, radius = 0, ADVERSARY["eps_255"]
    if name == "ima":
        method.radii = torch.full((2,), 8.0)
        method._forget()
    if name == "mpadvt":
        seed = next(seed for seed in range(50) if method.drawn(seed, 1)[0] is not None)
        radius = method.drawn(seed, 1)[0].eps_255
    images, zeros = torch.full((2, 1, 64, 64), 0.5), torch.zeros(2, dtype=torch.int64)
    batch = Batch(images, zeros, torch.arange(2), 1, Randomness([3, 4]), seed)
    return 255 * (method.examples(network, batch).attacked - images).flatten().numpy(), radius


@pytest.mark.parametrize("name", ["pgd_at", "ssat", "maadvt", "mpadvt", "fat", "ard"])
def test_the_starts_of_pgd_fill_the_ball_evenly(name, elsewhere):
    change, radius = departure(name, elsewhere)
    assert kstest(change, "uniform", args=(-radius, 2 * radius)).pvalue > 0.01


@pytest.mark.parametrize("name", ["trades", "mart", "hat"])
def test_the_starts_of_trades_mart_and_hat_are_normal_about_the_image_with_deviation_one_thousandth(name, elsewhere):
    change, _ = departure(name, elsewhere)
    assert kstest(change, "norm", args=(0, 0.001 * 255)).pvalue > 0.01


@pytest.mark.parametrize("name", ["ima", "ensemble_at"])
def test_the_attacks_of_ima_and_ensemble_at_start_at_the_image_itself(name, elsewhere):
    change, _ = departure(name, elsewhere)
    assert (change == 0).all()


@pytest.mark.parametrize(("name", "sees"), [("trades", False), ("mart", True), ("pgd_at", True)])
def test_the_attack_of_trades_never_sees_the_label_which_the_others_follow(name, sees):
    def attacked(turned):
        batch = make_batch()
        batch.labels.copy_((batch.labels + turned) % 3)
        return make_method(name, adversary=ADVERSARY).examples(Linear(), batch).attacked

    assert torch.equal(attacked(0), attacked(1)) != sees


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_examples_stay_in_the_ball_and_in_the_unit_interval(name):
    edge = np.array([[0.0, 1.0, 0.01, 0.99], [0.5, 0.02, 1.0, 0.0], [0.3, 0.3, 0.0, 1.0]])
    method = make_method(name, adversary=ADVERSARY)
    if name == "ima":
        method.radii = torch.full((3,), 8.0)
        method._forget()
    batch = make_batch(epoch=2, seed=1, flat=edge)
    found = method.examples(Linear(), batch).attacked
    bound = 10.2 if name == "mpadvt" else 8
    assert float((found - batch.images).abs().max()) <= bound / 255 + 1e-6
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_examples_of_an_image_do_not_depend_on_its_neighbours(name):
    def attack(rows):
        method = make_method(name, adversary=ADVERSARY)
        if name == "ima":
            method.radii = torch.full((3,), 8.0)
            method._forget()
        index = torch.tensor(rows)
        batch = Batch(
            images_of(CLEAN)[index], torch.tensor(LABELS)[index], index, 1, Randomness([10 + row for row in rows]), 3
        )
        return method.examples(Linear(), batch).attacked

    torch.testing.assert_close(attack([0, 1, 2])[2:], attack([2]), rtol=0, atol=1e-6)


class Counting(Linear):
    """Counts the images that were put to it."""

    seen = 0

    def forward(self, images):
        self.seen += len(images)
        return super().forward(images)


def test_friendly_pgd_stops_at_an_image_that_is_already_wrong_and_goes_on_after_tau_grew():
    wrong = (logits_of(CLEAN).argmax(axis=1) != LABELS).nonzero()[0]
    assert len(wrong) > 0
    method = make_method("fat", adversary=ADVERSARY | {"steps": 4}, friendly={"tau": 3}, epochs=4)
    assert [method.tau(epoch) for epoch in (1, 2, 3, 4)] == [0, 1, 2, 3]
    early, late = Counting(), Counting()
    first = method.examples(early, make_batch(epoch=1)).attacked
    last = method.examples(late, make_batch(epoch=4)).attacked
    assert early.seen < late.seen
    start = make_batch()
    untouched = uniform_start(start.images, 8, start.draw)
    torch.testing.assert_close(first[wrong], untouched[wrong])
    assert not torch.allclose(last[wrong], untouched[wrong])


def test_ima_puts_examples_on_the_decision_boundary_and_radii_grow_where_there_is_none():
    # One pixel decides: class 1 from 0.5 upward; distances to the boundary are 2/255 and 20/255.
    network = Linear(np.array([[0.0] * 4, [10.0, 0, 0, 0], [-100.0] * 4]), np.array([5.0, 0, 0]))
    flat = np.full((2, 4), 0.5)
    flat[:, 0] = 0.5 - np.array([2.0, 20.0]) / 255
    batch = make_batch(flat=flat)
    batch.labels[:] = 0
    method = make_method("ima", adversary=ADVERSARY | {"steps": 8}, margins={"growth_255": 1.5})
    method.radii = torch.full((2,), 6.0)
    method._forget()
    found = method.examples(network, batch)
    assert found.weights.tolist() == [1, 0]
    distance = 255 * (found.attacked - batch.images).abs().amax(dim=(1, 2, 3))
    assert float(distance[0]) == pytest.approx(2, abs=0.01)
    assert float(distance[1]) == pytest.approx(6, abs=0.01)
    method.end_epoch()
    assert method.radii.tolist() == pytest.approx([4, 7.5], abs=0.01)


def test_radii_of_ima_never_leave_the_recipes_budget_and_misclassified_images_keep_theirs():
    network = Linear(np.zeros((3, 4)), np.array([1.0, 0, 0]))
    method = make_method("ima", adversary=ADVERSARY, margins={"growth_255": 5})
    method.radii = torch.full((3,), 5.0)
    method._forget()
    method.examples(network, make_batch())
    method.end_epoch()
    assert method.radii.tolist() == [8, 5, 5]


def test_mpadvt_attacks_about_half_of_the_batches_over_the_papers_range_of_radii_and_steps():
    method = make_method("mpadvt", adversary=ADVERSARY)
    assert isinstance(method, MultiPerturbations)
    draws = [method.drawn(seed, 1) for seed in range(600)]
    attacks = [(adversary, steps) for adversary, steps in draws if adversary is not None]
    assert 0.42 < len(attacks) / len(draws) < 0.58
    radii = [adversary.eps_255 for adversary, _ in attacks]
    assert 2.55 <= min(radii) < 3.2
    assert 9.5 < max(radii) <= 10.2
    assert {steps for _, steps in attacks} == set(range(1, 10))
    assert {adversary.alpha_255 for adversary, _ in attacks} == {1.0}


@pytest.mark.parametrize("epoch", [1, 9])
def test_mpadvt_attacks_with_the_steps_and_the_radius_that_the_batch_drew(epoch):
    """No component of the gradient changes its sign within these balls: every iterate is known beforehand."""
    method = make_method("mpadvt", adversary=ADVERSARY | {"warmup": 4})
    seeds = [seed for seed in range(30) if method.drawn(seed, epoch)[0] is not None]
    assert len({method.drawn(seed, epoch)[1] for seed in seeds}) > 4
    for seed in seeds:
        drawn, steps = method.drawn(seed, epoch)
        reach = drawn.eps_255 / 255
        start = uniform_start(make_batch().images, drawn.eps_255, make_batch().draw).flatten(1).numpy()
        expected = start + steps * drawn.alpha_255 / 255 * signs_up(CLEAN)
        found = method.examples(Linear(), make_batch(epoch=epoch, seed=seed)).attacked.flatten(1).numpy()
        np.testing.assert_allclose(found, np.clip(expected, CLEAN - reach, CLEAN + reach), atol=1e-6)


def test_a_batch_that_mpadvt_leaves_alone_is_clean_to_the_bit():
    method = make_method("mpadvt", adversary=ADVERSARY)
    clean = next(seed for seed in range(50) if method.drawn(seed, 1)[0] is None)
    batch = make_batch(seed=clean)
    assert torch.equal(method.examples(Linear(), batch).attacked, batch.images)


def test_ensemble_at_takes_one_full_step_on_every_source_in_turn(elsewhere):
    method = make_method("ensemble_at", elsewhere, adversary=ADVERSARY, surrogates=[OTHER])
    assert isinstance(method, EnsembleAt)
    method.surrogates = [Linear(-np.eye(3, 4), np.zeros(3))]
    own = images_of(CLEAN + EPS * signs_up(CLEAN))
    seen = []
    for seed in range(20):
        found = method.examples(Linear(), make_batch(seed=seed)).attacked
        assert float((found - images_of(CLEAN)).abs().max()) == pytest.approx(EPS, abs=1e-6)
        seen.append(torch.allclose(found, own, atol=1e-6))
    assert 3 < sum(seen) < 17


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_making_examples_leaves_weights_gradients_and_running_statistics_alone(name):
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    method = make_method(name, adversary=ADVERSARY)
    if name == "ima":
        method.radii = torch.full((3,), 8.0)
        method._forget()
    found = method.examples(network, make_batch(seed=1))
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not found.attacked.requires_grad
