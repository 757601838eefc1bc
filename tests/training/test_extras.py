"""What any method may have besides: weight perturbation, averaged weights, augmentation, patience, log and curve."""

import csv
import json
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from torch import nn

from benchmark.submission.weights import read_weights
from benchmark.training import fit
from benchmark.training.awp import perturbed_weights
from benchmark.training.batches import augmented
from benchmark.training.ema import Average
from benchmark.training.log import COLUMNS, Epoch, Paths, curve
from benchmark.training.tables import Augment

from .conftest import SIZE

ADVERSARY = {"eps_255": 8, "alpha_255": 4, "steps": 2}


def test_weights_are_moved_along_the_gradient_by_gamma_times_their_norm_and_brought_back():
    layer = nn.Linear(3, 2)
    before = {name: value.detach().clone() for name, value in layer.named_parameters()}
    images = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(layer(images).square().sum(), layer.weight)
    with perturbed_weights(layer, lambda: layer(images).square().sum(), gamma=0.1):
        step = layer.weight.detach() - before["weight"]
        assert torch.equal(layer.bias, before["bias"])
    assert float(step.norm()) == pytest.approx(0.1 * float(before["weight"].norm()), rel=1e-5)
    torch.testing.assert_close(step / step.norm(), gradient / gradient.norm())
    torch.testing.assert_close(layer.weight.detach(), before["weight"])


def test_the_optimisers_step_at_the_perturbed_weights_stays():
    layer = nn.Linear(2, 1, bias=False)
    before = layer.weight.detach().clone()
    with perturbed_weights(layer, lambda: layer.weight.sum(), gamma=0.5), torch.no_grad():
        layer.weight.add_(3.0)
    torch.testing.assert_close(layer.weight.detach(), before + 3)


def test_the_look_at_the_loss_leaves_running_statistics_and_one_dimensional_weights_alone():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with perturbed_weights(network, lambda: network(torch.rand(4, 1, 3, 3)).square().mean(), gamma=0.1):
        inside = {name: value.clone() for name, value in network.state_dict().items()}
    assert {name for name in before if not torch.equal(before[name], inside[name])} == {"0.weight"}


def test_awp_waits_for_its_warm_up(run):
    plain = run(method="pgd_at", adversary=ADVERSARY)
    late = run(method="pgd_at", adversary=ADVERSARY, awp={"gamma": 0.05, "warmup": 1})
    assert late.log[0] == plain.log[0]
    assert late.log[1] != plain.log[1]


def test_the_average_follows_by_the_formula_and_copies_running_statistics():
    network = nn.BatchNorm1d(1)
    average = Average(network, decay=0.5)
    expected = 1.0
    for number, value in enumerate((3.0, 5.0, 7.0), start=1):
        nn.init.constant_(network.weight, value)
        network.running_mean.fill_(value)
        average.follow(network)
        keep = min(0.5, (1 + number) / (10 + number))
        expected = keep * expected + (1 - keep) * value
    assert average.network.weight.item() == pytest.approx(expected)
    assert average.network.running_mean.item() == 7


def test_the_averaged_weights_are_those_that_are_validated_and_stored(run, monkeypatch):
    seen = []
    honest = fit.validate

    def spy(network, *rest):
        seen.append({name: value.half().float() for name, value in network.state_dict().items()})
        return honest(network, *rest)

    monkeypatch.setattr(fit, "validate", spy)
    plain, averaged = run(epochs=1), run(epochs=1, ema={"decay": 0.99})
    assert averaged.log[0].loss == plain.log[0].loss
    assert averaged.sha256 != plain.sha256
    weights = read_weights(averaged.weights)
    assert all(torch.equal(weights[name].float(), value.float()) for name, value in seen[1].items())


def blurred_square():
    images = torch.full((64, 1, SIZE, SIZE), 0.2)
    images[:, :, 2:4, 3:5] = 0.8
    return images


@pytest.mark.parametrize(
    "plan", [{"rotate": 30}, {"brightness": 0.3}, {"contrast": 0.9}, {"cutout": 3}], ids=lambda plan: next(iter(plan))
)
def test_augmentation_is_drawn_per_image_repeatable_and_stays_in_the_unit_interval(plan):
    def draw(seed):
        return augmented(blurred_square(), Augment(**plan), torch.Generator().manual_seed(seed))

    found = draw(0)
    assert torch.equal(found, draw(0))
    assert not torch.equal(found, draw(1))
    assert len(found.flatten(1).unique(dim=0)) > 8
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


def test_an_empty_augmentation_changes_nothing():
    assert torch.equal(augmented(blurred_square(), Augment(), torch.Generator()), blurred_square())


def test_a_quarter_turn_turns_by_a_quarter(monkeypatch):
    images = torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.ones(1))
    turned = augmented(images, Augment(rotate=90), torch.Generator())
    near = min(float((turned - torch.rot90(images, turns, (2, 3))).abs().max()) for turns in (1, 3))
    assert near < 1e-4


def test_cutout_replaces_one_square_by_the_mean():
    changed = (augmented(blurred_square(), Augment(cutout=2), torch.Generator().manual_seed(0)) - blurred_square()) != 0
    sizes = changed.flatten(1).sum(dim=1)
    assert int(sizes.max()) == 4
    assert int(sizes.min()) >= 1


def test_augmentation_leaves_the_draw_of_images_and_shifts_as_it_was(run):
    plain, barely = run(epochs=1), run(epochs=1, augment={"brightness": 1e-6})
    assert barely.log[0].loss == pytest.approx(plain.log[0].loss, abs=1e-3)


def scripted(monkeypatch, *accuracies):
    script = iter(accuracies)
    monkeypatch.setattr(fit, "validate", lambda *_: (next(script), None))


def test_patience_ends_the_training_after_that_many_epochs_without_a_better_one(run, monkeypatch):
    scripted(monkeypatch, 0.5, 0.8, 0.7, 0.6, 0.9)
    report = run(epochs=5, patience=2)
    assert [epoch.number for epoch in report.log] == [1, 2, 3, 4]
    assert report.best.number == 2


def test_an_epoch_that_is_only_as_good_uses_up_patience_and_is_the_one_kept(run, monkeypatch):
    scripted(monkeypatch, 0.5, 0.5, 0.5, 0.5, 0.5)
    report = run(epochs=5, patience=2)
    assert [epoch.number for epoch in report.log] == [1, 2, 3]
    assert report.best.number == 3


def test_without_patience_every_epoch_is_trained(run, monkeypatch):
    scripted(monkeypatch, 0.9, 0.5, 0.4, 0.3, 0.2)
    assert len(run(epochs=5).log) == 5


def test_patience_changes_no_epoch_that_is_trained(run):
    assert run(epochs=2).sha256 == run(epochs=2, patience=2).sha256


def test_the_checkpoint_may_be_chosen_under_another_adversary_than_the_one_of_training(run):
    own = run(method="pgd_at", adversary=ADVERSARY)
    other = run(method="pgd_at", adversary=ADVERSARY, validation={"eps_255": 100, "alpha_255": 50, "steps": 3})
    assert [epoch.loss for epoch in other.log] == [epoch.loss for epoch in own.log]
    assert [epoch.clean for epoch in other.log] == [epoch.clean for epoch in own.log]
    assert other.log[-1].robust < own.log[-1].robust


def test_the_log_beside_the_weights_holds_every_epoch(run):
    report = run(method="pgd_at", adversary=ADVERSARY)
    with Paths(report.weights).table.open() as lines:
        rows = list(csv.DictReader(lines))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    for row, epoch in zip(rows, report.log, strict=True):
        assert float(row["loss"]) == pytest.approx(epoch.loss, abs=1e-5)
        assert float(row["clean_accuracy"]) == pytest.approx(epoch.clean, abs=1e-5)
        assert float(row["robust_accuracy"]) == pytest.approx(epoch.robust, abs=1e-5)
        assert float(row["seconds"]) > 0


def test_the_record_tells_what_the_run_was_and_cost(run):
    report = run()
    record = json.loads(Paths(report.weights).record.read_text())
    assert record["method"] == "natural"
    assert record["sha256"] == report.sha256
    assert record["chosen_epoch"] == report.best.number
    assert record["robust_accuracy"] is None
    assert record["seconds_per_epoch"] == pytest.approx(sum(epoch.seconds for epoch in report.log) / 2, abs=0.01)
    assert record["total_seconds"] >= 2 * record["seconds_per_epoch"] - 0.01
    assert 2**24 < record["peak_memory_bytes"] < 2**40


@pytest.mark.parametrize(("balanced", "name"), [(False, "plain"), (True, "balanced")])
def test_the_record_and_the_curve_say_which_accuracy_theirs_is(run, balanced, name):
    paths = Paths(run(balanced=balanced).weights)
    assert json.loads(paths.record.read_text())["accuracy"] == name
    drawn = ElementTree.fromstring(paths.curve.read_text())
    words = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert ("balanced accuracy" in words, "accuracy" in words) == (balanced, not balanced)


def test_the_curve_is_a_picture_of_the_accuracies_that_were_measured():
    log = [Epoch(1, 2.0, 0.5, 0.25), Epoch(2, 1.0, 1.0, 0.5)]
    drawn = ElementTree.fromstring(curve("a title", log))
    lines = [line.get("points") for line in drawn.iter("{http://www.w3.org/2000/svg}polyline")]
    heights = [[float(point.split(",")[1]) for point in line.split()] for line in lines]
    assert len(heights) == 3
    top, bottom = 28, 260 - 34
    assert heights[0] == pytest.approx([(top + bottom) / 2, top])
    assert heights[1] == pytest.approx([bottom - (bottom - top) / 4, (top + bottom) / 2])
    assert heights[2] == pytest.approx([top, (top + bottom) / 2])


def test_the_curve_of_natural_training_has_no_line_of_attacked_accuracy():
    drawn = ElementTree.fromstring(curve("a title", [Epoch(1, 2.0, 0.5, None), Epoch(2, 1.0, 1.0, None)]))
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
