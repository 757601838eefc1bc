"""Each method does on a small problem what its paper claims."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.attacks.pgd import Pgd
from benchmark.data.split import Split
from benchmark.errors import BenchError
from benchmark.models import ARCHITECTURES
from benchmark.training import TrainingReport, train
from benchmark.training.batches import balanced_batches
from benchmark.training.methods import METHODS, Examples, Method, MethodContext, build_method
from benchmark.training.methods.friendly import IncreasingMargin
from benchmark.training.methods.semi_supervised import SemiSupervised
from benchmark.training.recipe import TABLES

from .conftest import make_card, make_recipe, make_split
from .problem import TEST, Straight, accuracies, load, make_problem

CPU = torch.device("cpu")
ADVERSARY = {"eps_255": 8, "alpha_255": 4, "steps": 4}
TRAINING, VALIDATION = make_problem("train", 256, 0), make_problem("val", 128, 1)
NATURAL = {"weights": "natural.safetensors"}

PLANS: dict[str, dict[str, object]] = {
    "natural": {},
    "pgd_at": {"adversary": ADVERSARY},
    "trades": {"adversary": ADVERSARY},
    "mart": {"adversary": ADVERSARY},
    "hat": {"adversary": ADVERSARY, "helper": NATURAL},
    "mpadvt": {"adversary": ADVERSARY},
    "maadvt": {"adversary": ADVERSARY},
    "fat": {"adversary": ADVERSARY},
    "ima": {"adversary": ADVERSARY, "margins": {"growth_255": 4}},
    "ssat": {"adversary": ADVERSARY, "semi_supervised": {"labelled": 0.5, "epochs": 4}},
    "ensemble_at": {"adversary": ADVERSARY, "surrogates": [NATURAL]},
    "ard": {
        "adversary": ADVERSARY,
        "teacher": {"weights": "pgd_at.safetensors"},
        "distillation": {"temperature": 10},
    },
    "defensive_distillation": {"distillation": {"temperature": 20}, "learning_rate": 2.0},
}
"""The tables that each method is given here."""

Trained = Callable[..., tuple[TrainingReport, nn.Module]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train a method once: ``trained(method, **changes)``; the natural and the PGD network lie beside."""
    folder = tmp_path_factory.mktemp("methods")
    common = {"architecture": "straight", "options": {}, "epochs": 6, "batch_size": 32, "shift": 0}

    def run(method: str, name: str, split=TRAINING, **changes: object) -> tuple[TrainingReport, nn.Module]:
        recipe = make_recipe(method=method, **(common | PLANS[method] | changes))
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(ARCHITECTURES, "straight", Straight)
            report = train(recipe, make_card(), (split, VALIDATION), folder / f"{name}.safetensors", beside=folder)
        return report, load(report.weights)

    @cache
    def plain(method: str) -> tuple[TrainingReport, nn.Module]:
        return run(method, method)

    def _trained(method: str, **changes) -> tuple[TrainingReport, nn.Module]:
        for beside in ("natural", "pgd_at"):
            plain(beside)
        return run(method, "changed", **changes) if changes else plain(method)

    return _trained


def build(method: str, **changes: object) -> Method:
    tables: dict[str, object] = {"architecture": "straight", "options": {}, "shift": 0, **PLANS[method], **changes}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "straight", Straight)
        return build_method(MethodContext(make_recipe(method=method, **tables), make_card(), Path(), CPU))


def distances(network: nn.Module, test: Split = TEST) -> torch.Tensor:
    """L-inf distance of each test image from the decision boundary, in 1/255; exact for a linear network."""
    images = test.images.clone().requires_grad_(True)
    logits = network(images)
    lead = logits[:, 1] - logits[:, 0]
    (gradient,) = torch.autograd.grad(lead.sum(), images)
    return 255 * lead.detach().abs() / gradient.flatten(1).abs().sum(dim=1)


def test_every_method_that_a_recipe_may_name_is_there_and_tried_here():
    assert set(METHODS) == set(TABLES) == set(PLANS)


def test_natural_training_learns_what_an_attack_turns_round(trained):
    clean, robust = accuracies(trained("natural")[1])
    assert clean > 0.97
    assert robust < 0.1


@pytest.mark.parametrize("method", [name for name in METHODS if "adversary" in TABLES[name][0]])
def test_adversarial_methods_give_up_a_little_clean_accuracy_for_robustness(trained, method):
    report, network = trained(method)
    clean, robust = accuracies(network)
    assert 0.85 < clean <= accuracies(trained("natural")[1])[0]
    assert robust > 0.8
    assert report.best.robust is not None


# A checkpoint chosen by robust accuracy would hide what the loss alone leads to.
UNBIASED = {"validation": {"eps_255": 0.01, "alpha_255": 0.01, "steps": 1}}


def test_beta_of_trades_trades_clean_for_robust_accuracy(trained):
    weak, strong = (accuracies(trained("trades", regulariser={"beta": beta}, **UNBIASED)[1]) for beta in (0.0, 6.0))
    assert weak[0] > strong[0] + 0.03
    assert strong[1] > weak[1] + 0.5


def test_hat_ends_the_margin_along_an_attack_before_the_longer_perturbation_where_it_fools_the_helper(trained):
    """A standard helper, which the attack fools, bounds the margin along it; a robust one lets it go on."""
    towards_other = (1 - 2.0 * TEST.labels).reshape(-1, 1, 1, 1)
    attacked = TEST.images + 8 / 255 * towards_other
    method = build("hat", helper={"weights": str(trained("natural")[0].weights)})

    beyond = TEST.images + 3.5 * 8 / 255 * towards_other

    def turned(helper: nn.Module) -> float:
        """Share of the longer perturbations at which the trained network has changed its mind."""
        examples = Examples(TEST.images, TEST.labels, attacked, aim=helper(attacked).argmax(dim=1))
        torch.manual_seed(0)
        network = Straight(2, 1)
        optimiser = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9)
        for _ in range(150):
            optimiser.zero_grad()
            method.loss(network, examples).backward()
            optimiser.step()
        return float((network(beyond).argmax(dim=1) != TEST.labels).float().mean())

    standard, robust = trained("natural")[1], trained("pgd_at")[1]
    assert (standard(attacked).argmax(dim=1) != TEST.labels).float().mean() > 0.9
    assert turned(standard) > 0.8
    assert turned(robust) < 0.2


def test_ima_lets_images_far_from_the_boundary_have_larger_radii(trained):
    method = build("ima", margins={"growth_255": 2})
    assert isinstance(method, IncreasingMargin)
    method.begin(TEST)
    network = trained("natural")[1]
    for epoch in range(1, 9):
        for batch in balanced_batches(method.recipe, TEST, epoch, CPU):
            method.examples(network, batch)
        method.end_epoch()
    right = network(TEST.images).argmax(dim=1) == TEST.labels
    far = distances(network)
    near_ones = right & (far < far[right].quantile(0.2))
    far_ones = right & (far > far[right].quantile(0.8))
    assert method.radii[far_ones].mean() > method.radii[near_ones].mean() + 1


def test_defensive_distillation_takes_the_gradient_from_an_attacker_that_follows_the_loss(trained):
    def gradient(network: nn.Module) -> float:
        images = TEST.images.clone().requires_grad_(True)
        loss = nn.functional.cross_entropy(network(images), TEST.labels, reduction="none")
        (found,) = torch.autograd.grad(loss.sum(), images)
        return float(found.flatten(1).abs().sum(dim=1).median())

    report, network = trained("defensive_distillation")
    assert accuracies(network)[0] > 0.9
    assert gradient(network) < 0.2 * gradient(trained("natural")[1])
    assert [epoch.first_stage for epoch in report.log] == [True] * 6 + [False] * 6
    assert not report.best.first_stage


def test_an_attack_on_the_logits_margin_gets_past_the_masking_of_defensive_distillation(trained):
    """At a budget beyond every sign that the images have, the loss has no gradient left but the logits do."""

    def kept(network: nn.Module, loss: str) -> float:
        return accuracies(network, eps_255=32, attack=Pgd(steps=10, loss=loss))[1]

    _, hot = trained("defensive_distillation", distillation={"temperature": 100}, learning_rate=8.0)
    assert accuracies(hot)[0] > 0.9
    assert kept(hot, "cross_entropy") > 0.6
    assert kept(trained("natural")[1], "cross_entropy") < 0.05
    assert kept(hot, "margin") < 0.05


def test_ssat_never_looks_at_a_hidden_label(trained):
    method = make_ssat(labelled=0.5)
    kept = method.labelled(TRAINING)
    assert torch.bincount(TRAINING.labels[kept]).tolist() == [64, 64]
    first = method.first_stage(TRAINING).split
    assert first.ids == tuple(TRAINING.ids[place] for place in kept)
    network = trained("natural")[1]
    named = method.after_first_stage(network, TRAINING)
    said = network(TRAINING.images).argmax(dim=1)
    hidden = torch.ones(len(TRAINING), dtype=torch.bool)
    hidden[kept] = False
    assert torch.equal(named.labels[kept], TRAINING.labels[kept])
    assert torch.equal(named.labels[hidden], said[hidden])
    # The network errs on a few images that it did not see the label of: that is what shows that it was asked.
    wrong = method.after_first_stage(Constant(), TRAINING)
    assert wrong.labels[hidden].tolist() == [1] * int(hidden.sum())


def test_ssat_weighs_the_named_images_as_the_recipe_says():
    method = make_ssat(labelled=0.5, weight=0.25)
    method.after_first_stage(Constant(), TRAINING)
    assert method.counts[method.labelled(TRAINING)].unique().tolist() == [1]
    assert sorted(method.counts.unique().tolist()) == [0.25, 1]


class Constant(nn.Module):
    """Says class 1 to everything."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[0.0, 1.0]]).expand(len(images), 2)


def make_ssat(**table: object) -> SemiSupervised:
    method = build("ssat", semi_supervised={"epochs": 1} | table)
    assert isinstance(method, SemiSupervised)
    return method


def test_a_class_without_any_label_left_is_refused():
    method = make_ssat(labelled=0.01)
    with pytest.raises(BenchError, match=r"leaves class 'class-0' of 'tiny' none of its 8 labels; raise it"):
        method.first_stage(make_split("train", torch.arange(16) % 2, 0))
