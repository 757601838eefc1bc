"""Planted submissions that behave wrongly: each is caught by exactly the check that names it."""

from collections.abc import Callable

import pytest

BROKEN = [
    pytest.param(
        "eval mode",
        "training mode",
        """
class Bad(Brightness):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)
    def forward(self, images):
        self.drop.train()
        return super().forward(self.drop(images))

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="train mode left on",
    ),
    pytest.param(
        "eval mode",
        "'classifier.norm' is in training mode",
        """
class Frozen(nn.BatchNorm2d):
    def train(self, mode=True):
        return super().train(True)
class Bad(Brightness):
    def __init__(self):
        super().__init__()
        self.norm = Frozen(1)
    def forward(self, images):
        return super().forward(self.norm(images))

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="batch norm that goes on learning",
    ),
    pytest.param(
        "unchanged state",
        "'classifier.seen'",
        """
class Bad(Brightness):
    def __init__(self):
        super().__init__()
        self.register_buffer('seen', torch.zeros(1))
    def forward(self, images):
        self.seen += 1
        return super().forward(images)

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="a counter in a buffer",
    ),
    pytest.param(
        "determinism",
        "the same draw gave two decisions",
        """
class Bad(Brightness):
    calls = 0
    def forward(self, images):
        self.calls += 1
        return super().forward(images) * (0.5 + self.calls % 2)

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="a counter in an attribute",
    ),
    pytest.param(
        "determinism",
        "declared deterministic",
        """
class Noise(Stage):
    def apply_true(self, images, draw):
        return (images + draw.normal(images.shape[1:], 0.1)).clamp(0, 1)
def build(context):
    return Defense(Brightness(), 3, stages=[Noise()])
""",
        "",
        id="undeclared randomness of a stage",
    ),
    pytest.param(
        "determinism",
        "the manifest says stochastic = false, but the defense has a stochastic stage",
        """
class Noise(Stage):
    stochastic = True
    def apply_true(self, images, draw):
        return (images + draw.normal(images.shape[1:], 0.1)).clamp(0, 1)
def build(context):
    return Defense(Brightness(), 3, stages=[Noise()])
""",
        "",
        id="randomness undeclared in the manifest",
    ),
    pytest.param(
        "determinism",
        "has no stage with stochastic = True",
        "",
        "stochastic = true",
        id="randomness declared and not there",
    ),
    pytest.param(
        "global randomness",
        "torch's global generator",
        """
class Bad(Brightness):
    def forward(self, images):
        return super().forward(images + 0.1 * torch.rand_like(images))

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="torch.rand in the classifier",
    ),
    pytest.param(
        "global randomness",
        "numpy's global generator",
        """
import numpy
class Bad(Brightness):
    def forward(self, images):
        return super().forward(images) * float(1 + numpy.random.rand())

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="numpy's generator in the classifier",
    ),
    pytest.param(
        "global randomness",
        "draws from or seeds torch's global generator",
        """
class Bad(Brightness):
    def forward(self, images):
        torch.manual_seed(0)
        return super().forward(images)

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="a global seed set while predicting",
    ),
    pytest.param(
        "same build",
        "two builds differ in 'classifier.last.weight'",
        """
class Bad(Brightness):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(3, 3)
    def forward(self, images):
        return super().forward(images) + 0.01 * self.last(torch.ones(1, 3))

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="weights drawn at every build",
    ),
    pytest.param(
        "unchanged input",
        "writes into its input",
        """
class Bad(Brightness):
    def forward(self, images):
        images.data.mul_(0.9)
        return super().forward(images / 0.9)

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="in-place normalisation",
    ),
    pytest.param(
        "batch independence",
        "nothing across the batch",
        """
class Bad(Brightness):
    def forward(self, images):
        return super().forward(images) + 5 * images.mean() * torch.tensor([1.0, 0.0, -1.0])

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="contrast taken from the whole batch",
    ),
    pytest.param(
        "batch independence",
        "when it comes in another order",
        """
class Bad(Brightness):
    def forward(self, images):
        place = torch.arange(len(images))[:, None] % 2
        return super().forward(images) + 5 * place * torch.tensor([1.0, 0.0, -1.0])

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="decision that depends on the place",
    ),
    *(
        pytest.param(
            "batch independence",
            "when it comes in a batch of 64",
            f"""
class Bad(Brightness):
    def forward(self, images):
        logits = super().forward(images)
        return logits if len(logits) < 9 else logits.roll({places}, 0)

def build(context):
    return Defense(Bad(), context.num_classes)
""",
            "",
            id=f"predictions of another image, {places} places on, in large batches",
        )
        for places in (1, 7)
    ),
    pytest.param(
        "batch independence",
        "IndexError",
        """
class Bad(Brightness):
    def forward(self, images):
        return super().forward(images)
    def __call__(self, images):
        if len(images) == 1:
            raise IndexError('too few images')
        return super().__call__(images)

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="fails on a single image",
    ),
]


@pytest.mark.parametrize(("failing", "words", "code", "extra"), BROKEN)
def test_wrong_behaviour_is_caught_by_exactly_its_check(
    failing: str, words: str, code: str, extra: str, caught: Callable[..., None]
) -> None:
    caught(failing, words, code, extra)
