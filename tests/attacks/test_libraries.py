"""Other libraries' attacks as cells: what they find is what the library finds, image by image."""

import pytest
import torch
import torchattacks

from benchmark.access import adaptive, white_box
from benchmark.attacks import build
from benchmark.attacks.libraries import AUTOATTACK, TORCHATTACKS
from benchmark.defense import Defense
from benchmark.defense.stages import GaussianNoise
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

EPS_255 = 30.0


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", TORCHATTACKS)
def test_every_attack_of_torchattacks_breaks_images_inside_the_ball(run, problem, name, classes):
    small = problem(classes, adversarial=False)
    images, labels = small.images[:24], small.labels[:24]
    outcome = run("torchattacks", {"name": name, "steps": 5}, Defense(small.net, classes), images, labels, EPS_255)
    assert float((outcome.candidates - images).abs().max()) <= EPS_255 / 255 + 1e-5
    assert int(outcome.robust.sum()) <= 21
    assert int(outcome.view.gradients.min()) >= 1


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("part", AUTOATTACK)
def test_every_part_of_pyautoattack_breaks_images_inside_the_ball(run, problem, part, classes):
    small = problem(classes, adversarial=False)
    images, labels = small.images[:24], small.labels[:24]
    params = {"part": part, "iterations": 20, "queries": 200}
    outcome = run("pyautoattack", params, Defense(small.net, classes), images, labels, EPS_255)
    assert float((outcome.candidates - images).abs().max()) <= EPS_255 / 255 + 1e-5
    assert int(outcome.robust.sum()) <= 21


def test_without_chance_the_candidates_are_the_librarys_own(run, problem):
    small = problem(2)
    images, labels = small.images[:8], small.labels[:8]
    ours = run("torchattacks", {"name": "BIM", "steps": 7}, Defense(small.net, 2), images, labels, 8.0)
    theirs = torchattacks.BIM(small.net, eps=8 / 255, alpha=2 / 255, steps=7)(images, labels)
    assert torch.allclose(ours.candidates, theirs, atol=1e-6)
    assert not small.net.training


@pytest.mark.parametrize("method", [("torchattacks", {"name": "DIFGSM"}), ("pyautoattack", {"iterations": 10})])
def test_an_image_gets_the_same_candidate_in_any_batch_and_the_global_generator_stays(problem, method):
    small = problem(2)
    images, labels = small.images[:4], small.labels[:4]
    goal, attack = Classification(2).goal(labels), build(*method)
    before = torch.random.get_rng_state()

    def found(rows):
        draw = Randomness([10 + row for row in rows])
        place = torch.tensor(rows)
        return attack(white_box(Defense(small.net, 2), draw), goal.take(place), images[place], EPS_255, draw)

    assert torch.equal(found([0, 1, 2, 3])[2:], found([2, 3]))
    assert torch.equal(before, torch.random.get_rng_state())


def test_costs_are_counted_for_the_image_they_are_spent_on(run, problem):
    small = problem(2)
    outcome = run(
        "torchattacks", {"name": "PGD", "steps": 6}, Defense(small.net, 2), small.images[:3], small.labels[:3], 8.0
    )
    assert outcome.view.gradients.tolist() == [6, 6, 6]


def test_a_random_system_is_refused(problem):
    small = problem(2)
    view = adaptive(Defense(small.net, 2, [GaussianNoise(0.1)]), Randomness([1]), 2)
    goal = Classification(2).goal(small.labels[:1])
    with pytest.raises(ValueError, match="no single differentiable function"):
        build("torchattacks", {})(view, goal, small.images[:1], 8.0, Randomness([1]))


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("torchattacks", {"name": "PDG"}, "Did you mean 'PGD'"),
        ("torchattacks", {"steps": -1}, "give 0 or more"),
        ("pyautoattack", {"part": "apgd"}, "apgd-ce"),
        ("pyautoattack", {"iterations": 0}, "iterations"),
    ],
)
def test_wrong_parameters_are_told(method, params, words):
    with pytest.raises(BenchError, match=words):
        build(method, params)
