"""Planted submissions that say something wrong: each is caught by exactly the check that names it."""

from collections.abc import Callable

import pytest

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
        "has none on any image",
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
