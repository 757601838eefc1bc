"""Planted submissions that say something wrong: each is caught by exactly the check that names it."""

import re
from collections.abc import Callable

import pytest

HIDDEN = """
from torch.nn.functional import avg_pool2d
from benchmark.defense.stages import BinomialVote, GaussianNoise

class Fragile(Brightness):
    def forward(self, images):
        board = 1 - 2 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2)
        slight = (images * board).flatten(1).mean(dim=1, keepdim=True)
        return super().forward(images) + 150 * slight * torch.tensor([1.0, 0.0, -1.0])

class Hiding(Defense):
    def _pass(self, rows, draw, places, backward):
        rows = super()._pass(rows, draw, places, backward)
        if backward is not None:
            return rows
        return avg_pool2d(rows, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)

def build(context):
    return Hiding(Fragile(), 3, {arguments})
"""
"""A classifier that a pattern fools, and a filter against that pattern which the twin does not know of."""

BROKEN = [
    pytest.param(
        "shapes",
        "make it torch.float32 (8, 3)",
        """
class Bad(Brightness):
    def forward(self, images):
        return super().forward(images)[:, :2]

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="wrong shape",
    ),
    pytest.param(
        "shapes",
        "torch.float64",
        """
class Bad(Brightness):
    def forward(self, images):
        return super().forward(images).double()

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="double precision",
    ),
    pytest.param(
        "finite",
        "not finite",
        """
class Bad(Brightness):
    def forward(self, images):
        mean = images.flatten(1).mean(dim=1, keepdim=True)
        return super().forward(images) + mean / mean - 1

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="NaN on a black image",
    ),
    pytest.param(
        "probabilities",
        "sums to 2",
        """
class Loose(Defense):
    def predict(self, images, draw):
        said = super().predict(images, draw)
        shares = said.probs.clamp(0.5, 0.75)
        return Decision(shares / shares.sum(1, keepdim=True) * 2, said.label)
def build(context):
    return Loose(Brightness(), 3)
""",
        "",
        id="probabilities that sum to 2",
    ),
    pytest.param(
        "labels",
        "use 0 to 2",
        """
class Loose(Defense):
    def predict(self, images, draw):
        said = super().predict(images, draw)
        return Decision(said.probs, said.label + 1)
def build(context):
    return Loose(Brightness(), 3)
""",
        "",
        id="labels from 1 to K",
    ),
    pytest.param(
        "logits",
        "probabilities where logits are promised",
        """
class Bad(Brightness):
    def forward(self, images):
        return super().forward(images).softmax(dim=1)

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="probabilities where logits are promised",
    ),
    pytest.param(
        "differentiable twin",
        "decides differently from predict",
        """
class Two(Stage):
    def apply_true(self, images, draw):
        return 1 - images
    def bpda(self, images, draw):
        return images
def build(context):
    return Defense(Brightness(), 3, stages=[Two()])
""",
        "",
        id="twin that decides otherwise",
    ),
    pytest.param(
        "differentiable twin",
        "put every step of predict into stages",
        HIDDEN.format(arguments=""),
        "",
        id="filter outside the stages",
    ),
    pytest.param(
        "differentiable twin",
        "put every step of predict into stages",
        HIDDEN.format(arguments="[GaussianNoise(0.01)]"),
        "stochastic = true",
        id="filter outside the stages of a randomised defense",
    ),
    pytest.param(
        "differentiable twin",
        "put every step of predict into stages",
        HIDDEN.format(arguments="[GaussianNoise(0.01)], BinomialVote(copies=50, alpha=0.001)"),
        "stochastic = true",
        id="filter outside the stages of a vote",
    ),
    pytest.param(
        "gradient",
        "give the stage a stand_in",
        """
class Round(Stage):
    def apply_true(self, images, draw):
        return (images * 15).round() / 15
def build(context):
    return Defense(Brightness(), 3, stages=[Round()])
""",
        "",
        id="rounding without a stand-in",
    ),
    pytest.param(
        "gradient",
        "autograd finds no way from the answer back to the image",
        """
class Bad(Brightness):
    def forward(self, images):
        return super().forward(images.detach())

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="gradient cut",
    ),
    pytest.param(
        "gradient",
        "autograd finds no way from the answer back to the image",
        """
class Bad(Brightness):
    def forward(self, images):
        with torch.no_grad():
            return super().forward(images)

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "gradient = false",
        id="no autograd at all, though none is declared",
    ),
    pytest.param(
        "runs",
        "the classifier returned a dict with the keys logits; return one tensor of logits",
        """
class Bad(Brightness):
    def forward(self, images):
        return {"logits": super().forward(images)}

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="logits in a dictionary",
    ),
    pytest.param(
        "runs",
        "the classifier returned a tuple of 2; return one tensor of logits",
        """
class Bad(Brightness):
    def forward(self, images):
        return super().forward(images), images

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="logits in a tuple",
    ),
    pytest.param(
        "runs",
        "the classifier returned an object of type Output, which has .logits; return one tensor of logits",
        """
class Output:
    def __init__(self, logits):
        self.logits = logits

class Bad(Brightness):
    def forward(self, images):
        return Output(super().forward(images))

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="logits in an object",
    ),
    pytest.param(
        "normalisation",
        "put this normalisation inside the classifier",
        """
class Bad(Brightness):
    def forward(self, images):
        return super().forward((images + 1) / 2)

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="normalisation left outside",
    ),
]


@pytest.mark.parametrize(("failing", "words", "code", "extra"), BROKEN)
def test_a_wrong_answer_is_caught_by_exactly_its_check(
    failing: str, words: str, code: str, extra: str, caught: Callable[..., None]
) -> None:
    caught(failing, words, code, extra)


def test_a_hidden_step_shows_on_images_made_to_fool_the_twin_though_honest_ones_agree(plant, check):
    (failure,) = check(plant(HIDDEN.format(arguments=""))).failures
    told = re.search(r"on (\d+) of 40 images, (\d+) of them made to fool it", failure.message)
    assert told.group(1) == told.group(2)
    assert int(told.group(2)) > 10
