"""Training: repeatable, balanced, chosen on the validation split, and robust where it says so."""

from dataclasses import replace

import pytest
import torch

from benchmark.access import white_box
from benchmark.attacks.pgd import Pgd
from benchmark.data.card import all_cards
from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.models import ARCHITECTURES
from benchmark.randomness import Randomness
from benchmark.root import find_root
from benchmark.submission import all_entries
from benchmark.submission.weights import load_into, read_weights
from benchmark.task.classification import Classification
from benchmark.training import fit, inner, validate
from benchmark.training.batches import balanced_batches, shifted
from benchmark.training.methods import plain
from benchmark.training.recipe import untrained_network
from benchmark.training.tables import Adversary

from .conftest import SIZE, make_card, make_recipe, make_split

CPU = torch.device("cpu")
ADVERSARY = {"eps_255": 8, "alpha_255": 4, "steps": 2}


def trained_network(report, **changes):
    return load_into(untrained_network(make_recipe(**changes), make_card()), read_weights(report.weights), "weights")


def test_the_same_recipe_makes_the_same_file(run):
    first = run()
    torch.rand(3)
    second = run()
    assert first.sha256 == second.sha256
    assert first.weights.read_bytes() == second.weights.read_bytes()
    assert first.log == second.log


def test_the_same_adversarial_recipe_makes_the_same_file(run):
    recipe = {"method": "pgd_at", "adversary": ADVERSARY, "epochs": 1}
    assert run(**recipe).sha256 == run(**recipe).sha256


@pytest.mark.parametrize("change", [{"seed": 2}, {"epochs": 1}, {"shift": 0}, {"flip": True}, {"learning_rate": 0.01}])
def test_another_recipe_makes_another_file(run, change):
    assert run().sha256 != run(**change).sha256


def test_training_leaves_the_global_generator_and_the_thread_count_alone(run):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    run(epochs=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_network_learns_the_toy_problem_and_its_file_holds_what_it_learnt(run, splits):
    report = run(epochs=6)
    assert report.best.clean > 0.9
    network = trained_network(report)
    found = float((network(splits[1].images).argmax(dim=1) == splits[1].labels).float().mean())
    assert found == pytest.approx(report.best.clean)


def test_the_validation_split_decides_nothing_but_the_checkpoint(run, splits):
    training, validation = splits
    flipped = make_split("val", 1 - validation.labels, 1)
    swapped = replace(validation, labels=flipped.labels)
    one, other = run(splits, epochs=3), run((training, swapped), epochs=3)
    assert [epoch.loss for epoch in one.log] == [epoch.loss for epoch in other.log]
    assert [epoch.clean for epoch in other.log] == pytest.approx([1 - epoch.clean for epoch in one.log])


def test_fewer_images_than_one_batch_are_refused(run):
    with pytest.raises(BenchError, match="has 64 images, less than one batch of 65; lower batch_size"):
        run(batch_size=65)


def test_training_that_diverges_is_refused_and_writes_no_file(run, tmp_path):
    with pytest.raises(BenchError, match=r"diverged in epoch 1 .* lower learning_rate"):
        run(learning_rate=1e30)
    assert list(tmp_path.iterdir()) == []


def test_normalisation_is_measured_on_the_training_images_and_travels_with_the_weights(run, splits):
    weights = read_weights(run(epochs=1).weights)
    assert float(weights["normalise.mean"]) == pytest.approx(float(splits[0].images.mean()), abs=1e-3)
    assert float(weights["normalise.std"]) == pytest.approx(float(splits[0].images.std()), abs=1e-3)


def scripted(monkeypatch, accuracies):
    """Let validation report these accuracies, epoch by epoch, and note the state of each epoch's network."""
    states, script = [], iter(accuracies)

    def report(network, *_):
        states.append({name: value.half().float() for name, value in network.state_dict().items()})
        return next(script)

    monkeypatch.setattr(fit, "validate", report)
    return states


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [
        ([(0.9, None), (0.5, None), (0.6, None)], 0),
        ([(0.5, None), (0.7, None), (0.7, None)], 2),
        ([(0.9, 0.1), (0.6, 0.4), (0.8, 0.3)], 1),
    ],
    ids=["clean", "the later of equals", "robust before clean"],
)
def test_the_checkpoint_is_the_epoch_that_validation_likes_best(run, monkeypatch, accuracies, best):
    states = scripted(monkeypatch, accuracies)
    report = run(epochs=3)
    assert report.best.number == best + 1
    weights = read_weights(report.weights)
    for name, value in states[best].items():
        torch.testing.assert_close(weights[name].float(), value.float(), rtol=0, atol=0)


def test_the_adversary_warms_up_evenly():
    adversary = Adversary(eps_255=8, alpha_255=4, steps=2, warmup=3)
    assert [adversary.at_epoch(number).eps_255 for number in range(1, 7)] == [2, 4, 6, 8, 8, 8]
    assert [adversary.at_epoch(number).alpha_255 for number in range(1, 7)] == [1, 2, 3, 4, 4, 4]
    assert Adversary(eps_255=8, alpha_255=4, steps=2).at_epoch(1).eps_255 == 8


def test_training_attacks_with_the_epochs_adversary_and_validation_with_the_full_one(run, monkeypatch):
    seen = []
    honest = inner.attacked

    def spy(network, adversary, images, *rest):
        attacked = honest(network, adversary, images, *rest)
        seen.append((len(images), adversary.eps_255, float((attacked - images).abs().max()) * 255))
        return attacked

    monkeypatch.setattr(plain, "attacked", spy)
    monkeypatch.setattr(validate, "attacked", spy)
    run(method="pgd_at", adversary=ADVERSARY | {"warmup": 1}, epochs=2)
    assert {eps for size, eps, _ in seen[:4] if size == 16} == {4}
    assert [eps for size, eps, _ in seen if size == 24] == [8, 8]
    assert all(distance <= eps + 1e-3 for _, eps, distance in seen)


def test_batches_are_balanced_between_classes_however_rare_one_is():
    labels = (torch.arange(1600) % 16 == 0).long()
    split = make_split("train", labels, 0)
    batches = list(balanced_batches(make_recipe(batch_size=32), split, 1, CPU))
    drawn = torch.cat([batch.labels for batch in batches])
    assert len(batches) == 50
    assert {len(batch.labels) for batch in batches} == {32}
    assert 0.45 < float(drawn.float().mean()) < 0.55


def test_batches_of_an_epoch_are_fixed_and_differ_between_epochs():
    split = make_split("train", torch.arange(64) % 2, 0)

    def first(epoch, seed=1):
        return next(iter(balanced_batches(make_recipe(seed=seed), split, epoch, CPU))).images

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))
    assert not torch.equal(first(1), first(1, seed=2))


def test_images_are_shifted_by_whole_pixels_within_bounds_and_keep_their_labels():
    images = torch.arange(64.0).reshape(1, 1, SIZE, SIZE).repeat(200, 1, 1, 1)
    moved = shifted(images, 2, torch.Generator().manual_seed(0))
    middle = {float(image[0, 4, 4]) - 36 for image in moved}
    assert middle == {8 * row + col for row in range(-2, 3) for col in range(-2, 3)}


def test_adversarial_training_is_more_robust_than_natural_training_and_as_good_on_clean_images(run):
    task = Classification(2)
    training, validation, test = (
        make_split(name, torch.arange(count) % 2, seed, contrast=0.15, noise=0.4)
        for seed, (name, count) in enumerate({"train": 128, "val": 48, "test": 60}.items())
    )
    common = {"options": {"width": 4, "pool": False}, "learning_rate": 0.02, "epochs": 6}

    def robust(report):
        defense = Defense(trained_network(report, **common), 2)
        draw = Randomness(range(len(test)))
        attacked = Pgd(steps=10)(white_box(defense, draw), task.goal(test.labels), test.images, 8, draw)
        return float(task.score(defense.predict(attacked, draw), test.labels).float().mean())

    adversary = {"eps_255": 8, "alpha_255": 4, "steps": 3}
    natural = run((training, validation), **common)
    adversarial = run((training, validation), method="pgd_at", adversary=adversary, **common)
    assert min(natural.best.clean, adversarial.best.clean) > 0.9
    assert robust(adversarial) > robust(natural) + 0.05


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_architecture_maps_images_to_logits_and_learns_its_normalisation(architecture):
    network = untrained_network(make_recipe(architecture=architecture, options={}), make_card()).eval()
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 2)


def test_options_of_a_data_set_go_before_those_of_the_recipe():
    recipe = make_recipe(dataset_options={"tiny": {"width": 4}})
    assert untrained_network(recipe, make_card()).stem[0].out_channels == 4
    assert untrained_network(recipe, make_card(name="other")).stem[0].out_channels == 2


class OneAnswer(torch.nn.Module):
    """Calls every image class 0."""

    def forward(self, images):
        return torch.tensor([1.0, 0.0]).expand(len(images), 2)


@pytest.mark.parametrize(("balanced", "clean"), [(False, 0.75), (True, 0.5)])
def test_balanced_accuracy_gives_a_network_with_one_answer_no_more_than_chance(balanced, clean):
    commonest_first = make_split("val", torch.tensor([0, 0, 0, 1]), 1)
    recipe = make_recipe(balanced=balanced)
    assert validate.validate(OneAnswer(), recipe, commonest_first, torch.device("cpu")) == (clean, None)


class Widest(torch.nn.Module):
    """A linear network that remembers the most images that it was given at once."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(SIZE * SIZE, 2)
        self.widest = [0]

    def forward(self, images):
        self.widest.append(len(images))
        return self.layer(images.flatten(1))

    def __deepcopy__(self, _):
        return self


def test_validation_goes_through_the_network_in_passes_and_tells_the_same(monkeypatch):
    split = make_split("val", torch.arange(30) % 2, 1)
    adversary = Adversary(eps_255=8, alpha_255=4, steps=3)

    def told(images_at_once):
        monkeypatch.setattr(validate, "PASS_PIXELS", images_at_once * SIZE * SIZE)
        torch.manual_seed(0)
        network = Widest().eval()
        recipe = make_recipe(method="pgd_at", adversary=adversary.model_dump())
        accuracies = validate.validate(network, recipe, split, CPU)
        found = validate.attacked_split(network, adversary, split, recipe.seed, CPU)
        assert max(network.widest) == images_at_once
        return accuracies, found

    whole, parts = told(30), told(7)
    assert whole[0] == parts[0]
    torch.testing.assert_close(whole[1], parts[1], rtol=0, atol=1e-6)


def test_images_larger_than_a_pass_go_through_one_by_one(monkeypatch):
    monkeypatch.setattr(validate, "PASS_PIXELS", SIZE * SIZE - 1)
    assert list(validate.passes(torch.zeros(3, 1, SIZE, SIZE))) == [slice(0, 1), slice(1, 2), slice(2, 3)]


@pytest.mark.parametrize("card", all_cards(find_root().datasets).values(), ids=lambda card: card.name)
def test_the_validation_split_that_chose_a_shipped_baseline_is_one_pass(card):
    """Sums over another number of images may round otherwise, and another epoch be the best."""
    if any(card.name in entry.manifest.weights for entry in all_entries(find_root())):
        images = torch.zeros(1, 1, 1, 1).expand(card.splits.val, 1, card.size, card.size)
        assert len(list(validate.passes(images))) == 1
