"""Classification, the first task: its goals, its score, and who may name it."""

import inspect
import re
from pathlib import Path

import pytest
import torch

from benchmark.access import Evaluation
from benchmark.attacks.pgd import Pgd
from benchmark.attacks.registry import ATTACKS, INSIDE
from benchmark.data.card import Card
from benchmark.defense.decision import Decision
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.build import task_of
from benchmark.task.classification import Classification, of_classes
from benchmark.task.kinds import KINDS, kind_for, robust

PROJECT = Path(__file__).resolve().parents[2]
LOGITS = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 4.0, 1.0, 3.0], [1.0, 0.0, 2.0, 5.0]])
LABELS = torch.tensor([0, 3, 2])
GOAL = Classification(4).goal(LABELS)


def test_a_decision_scores_1_where_it_names_the_true_class_and_0_where_not_or_where_it_abstains():
    decision = Decision(torch.full((3, 4), 0.25), torch.tensor([0, 1, -1]))
    assert Classification(4).score(decision, LABELS).tolist() == [1.0, 0.0, 0.0]


def test_a_goal_is_reached_where_another_class_leads():
    assert GOAL.lost(LOGITS).tolist() == [False, True, True]
    assert GOAL.margin(LOGITS).tolist() == [-1.0, 1.0, 3.0]
    assert GOAL.missed(torch.tensor([0, 3, -1])).tolist() == [False, False, True]


@pytest.mark.parametrize("name", ["cross_entropy", "margin", "dlr"])
def test_every_objective_rises_with_the_logit_of_another_class(name):
    objective, higher = GOAL.objective(name), LOGITS.clone()
    higher[0, 2], higher[1, 1], higher[2, 3] = 2.5, 4.5, 5.5
    assert (objective(higher) > objective(LOGITS)).all()


def test_some_of_the_images_have_the_goal_of_theirs_however_often_they_are_named():
    places = torch.tensor([2, 0, 2])
    assert torch.equal(GOAL.take(places).margin(LOGITS[places]), GOAL.margin(LOGITS)[places])
    mask = torch.tensor([False, True, True])
    assert torch.equal(GOAL.take(mask).margin(LOGITS[mask]), GOAL.margin(LOGITS)[mask])
    assert len(GOAL.take(mask)) == 2


def test_rivals_are_the_other_classes_the_most_likely_first():
    rivals = GOAL.rivals(LOGITS)
    assert torch.stack([rival.classes for rival in rivals], dim=1).tolist() == [[2, 1, 3], [1, 2, 0], [3, 0, 1]]
    assert rivals[0].gain(LOGITS).tolist() == [-1.0, 1.0, 3.0]
    assert len(GOAL.rivals(LOGITS, 2)) == 2
    assert len(Classification(2).goal(LABELS[:1]).rivals(LOGITS[:1, :2])) == 1


class Brightness:
    """The goal of another task: the first output above 2, whatever the class."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def take(self, places):
        return Brightness(len(torch.arange(self.count)[places.cpu()]))

    def objective(self, _name):
        return self.margin

    def margin(self, logits):
        return logits[:, 0] - 2

    def lost(self, logits):
        return logits[:, 0] > 2


class Look:
    """A view of a network whose first output is the image's mean times 4."""

    stochastic = False

    def evaluate(self, images, objective, rows):
        with torch.enable_grad():
            leaf = images.detach().requires_grad_(True)
            logits = self.logits(leaf, rows)
            value = objective(logits)
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return Evaluation(value.detach(), gradient, logits.detach())

    def logits(self, images, _rows):
        return torch.stack([4 * images.flatten(1).mean(dim=1), torch.zeros(len(images))], dim=1)


def test_an_attack_ascends_whatever_its_goal_asks():
    images = torch.full((3, 1, 4, 4), 0.49)
    found = Pgd(steps=5, loss="margin")(Look(), Brightness(3), images, 8.0, Randomness(range(3)))
    assert (found.mean(dim=(1, 2, 3)) > 0.5).all()


@pytest.mark.parametrize("method", INSIDE)
def test_no_attack_is_handed_labels(method):
    kind = ATTACKS[method]
    entry = kind.fit if hasattr(kind, "fit") else kind.__call__
    assert not {"labels", "targets"} & set(inspect.signature(entry).parameters)


def test_an_attack_on_classes_refuses_a_goal_without_them():
    with pytest.raises(BenchError, match="hfc reads single classes, and this task has none"):
        of_classes("hfc", Brightness(1))


def test_an_image_is_robust_that_is_right_in_half_of_the_draws():
    assert robust(3, 5)
    assert robust(1, 2)
    assert not robust(2, 5)
    assert robust(torch.tensor([2, 3]), 5).tolist() == [False, True]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_card_s_task_has_an_output_for_each_class(kind):
    card = Card.model_construct(task=kind.name, classes=["no", "yes"])
    assert task_of(card).outputs == 2


def test_a_new_card_s_task_follows_from_the_number_of_its_classes():
    assert [kind_for(count).name for count in (2, 3, 100)] == ["binary", "multiclass", "multiclass"]


def test_nothing_outside_its_package_names_a_task():
    names = re.compile(r"\bClassification\(|[\"'](binary|multiclass)[\"']")
    sources = [path for part in ("benchmark", "leaderboard") for path in (PROJECT / part).rglob("*.py")]
    inside = (PROJECT / "benchmark" / "task", PROJECT / "leaderboard" / "published")
    named = {
        path.relative_to(PROJECT).as_posix()
        for path in sources
        if not any(place in path.parents for place in inside) and names.search(path.read_text(encoding="utf-8"))
    }
    # A split made without a card, as tests make them, is one of single classes.
    assert named == {"benchmark/data/split.py"}
