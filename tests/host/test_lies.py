"""Code of an entry that patches, spies or lies reaches neither labels nor judge: it is judged by its answers alone."""

import pytest
import torch
from torch import Tensor

from benchmark.access import black_box
from benchmark.host.line import CallFailed
from benchmark.judge import Judge
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

from .conftest import CLASSES, SIZE, Build, network

IMAGES = torch.rand(40, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(5))
LABELS = torch.arange(40) % CLASSES
"""Labels that the network knows nothing of."""


def right(build: Build, code: str) -> Tensor:
    """Which images the judge finds right."""
    judge = Judge(build(code), Classification(CLASSES), 1, torch.device("cpu"))
    return judge.judge(IMAGES, LABELS, [("toy", f"{place}", "clean") for place in range(40)]).right


@pytest.fixture(scope="module")
def honest() -> Tensor:
    """Which images the network itself has right."""
    with torch.no_grad():
        return network()(IMAGES).argmax(dim=1) == LABELS


PLAIN = "def build(context):\n    return Defense(linear(context), context.num_classes)\n"

SPY = """
class Spy(Defense):
    def predict(self, images, draw):
        said = super().predict(images, draw)
        found = spy(len(images))
        return Decision(said.probs, said.label if found is None else found.clone())

def build(context):
    return Spy(linear(context), context.num_classes)
"""

CODES = {
    "patched equality": "torch.Tensor.__eq__ = lambda a, b: torch.ones(len(a), dtype=torch.bool)\n" + PLAIN,
    "patched comparison": "torch.eq = torch.ne = lambda *a, **k: torch.tensor(True)\n" + PLAIN,
    "a patched task": """
from benchmark.task.classification import Classification
Classification.score = lambda self, decision, labels: torch.ones(len(labels))
"""
    + PLAIN,
    "a patched judge": """
import benchmark.judge
benchmark.judge.Judgement.right = property(lambda self: torch.ones(40, dtype=torch.bool))
"""
    + PLAIN,
    "a patched verifier": "import benchmark.verify\nbenchmark.verify.verify = None\n" + PLAIN,
    "a patched seed": "import benchmark.randomness\nbenchmark.randomness.content_seed = lambda *parts: 0\n" + PLAIN,
    "labels of a subclass": """
class Yes(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        out = super().__torch_function__(func, types, args, kwargs or {})
        name = getattr(func, "__name__", "")
        return torch.ones_like(out.as_subclass(torch.Tensor), dtype=torch.bool) if name in ("__eq__", "eq") else out

class Yessir(Defense):
    def predict(self, images, draw):
        said = super().predict(images, draw)
        return Decision(said.probs, said.label.as_subclass(Yes))

def build(context):
    return Yessir(linear(context), context.num_classes)
""",
    "a decision with properties": """
class Two(Decision):
    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        if name == "label" and sys._getframe(1).f_code.co_name == "right":
            return torch.arange(40) % 3
        return value

class Faced(Defense):
    def predict(self, images, draw):
        said = super().predict(images, draw)
        return Two(said.probs, said.label)

def build(context):
    return Faced(linear(context), context.num_classes)
""",
    "frames": """
def spy(count):
    frame = sys._getframe()
    while frame is not None:
        for name, value in frame.f_locals.items():
            if "label" in name.lower() and isinstance(value, torch.Tensor) and value.shape == (count,):
                if value.dtype == torch.int64 and name != "label":
                    return value
        frame = frame.f_back
"""
    + SPY,
    "the garbage collector": """
import gc

def spy(count):
    for thing in gc.get_objects():
        if isinstance(thing, torch.Tensor) and thing.dtype == torch.int64 and thing.shape == (count,):
            return thing
        if isinstance(thing, dict) and isinstance(thing.get("labels"), torch.Tensor):
            return thing["labels"]
"""
    + SPY,
    "modules of the harness": """
def spy(count):
    for name, module in list(sys.modules.items()):
        if name.startswith(("benchmark.engine", "pytest")):
            return torch.zeros(count, dtype=torch.int64) + 7
"""
    + SPY,
    "the shared memory": """
import gc

def spy(count):
    from benchmark.host.wire import Arena
    for thing in gc.get_objects():
        if isinstance(thing, Arena):
            there = thing._bytes[: 1 << 20].clone().view(torch.int64)
            for start in range(0, len(there) - count, 8):
                part = there[start : start + count]
                if bool(((part >= 0) & (part < 3)).all()) and len(part.unique()) == 3:
                    return part
"""
    + SPY,
}


@pytest.mark.parametrize("name", CODES)
def test_verdicts_are_those_of_the_networks_own_answers(build: Build, honest: Tensor, name: str) -> None:
    assert torch.equal(right(build, CODES[name]), honest)


def test_this_process_is_as_it_was(build: Build) -> None:
    right(build, CODES["patched equality"])
    assert not bool((torch.zeros(2) == torch.ones(2)).any())


@pytest.mark.parametrize("seed", ["seed", "first number"])
def test_a_table_of_public_seeds_finds_none(build: Build, honest: Tensor, seed: str) -> None:
    """The judge's seeds are public hashes, so that others can recompute rows; a host sees others."""
    code = f"""
from benchmark.randomness import Randomness, content_seed
from benchmark.defense.stages import GaussianNoise

def key(seed):
    return seed if {seed == "seed"} else float(Randomness([seed]).uniform((1,))[0, 0])

TABLE = {{key(content_seed("judge", "toy", str(place), "clean", 0)): place % 3 for place in range(40)}}

class Reader(Defense):
    def predict(self, images, draw):
        said = super().predict(images, draw)
        known = [TABLE.get(key(seed), int(label)) for seed, label in zip(draw.seeds, said.label)]
        return Decision(said.probs, torch.tensor(known))

def build(context):
    return Reader(linear(context), context.num_classes, STAGES)
"""
    assert torch.equal(right(build, code.replace("STAGES", "[]")), honest)
    noisy = right(build, code.replace("STAGES", "[GaussianNoise(0.001)]"))
    assert int((noisy != honest).sum()) <= 2


def test_answers_that_are_not_finite_are_no_verdict(build: Build) -> None:
    code = """
class Silent(Defense):
    def predict(self, images, draw):
        said = super().predict(images, draw)
        return Decision(said.probs * float("nan"), said.label * 0)

def build(context):
    return Silent(linear(context), context.num_classes)
"""
    with pytest.raises(RuntimeError, match="not finite"):
        right(build, code)


DEPENDS = {
    "the size of the batch": "len(images) < 30",
    "the first image": "float(images[0].mean()) > 0.5",
    "the order": "float(images[0].sum()) > float(images[-1].sum())",
}


@pytest.mark.parametrize("on", DEPENDS)
def test_a_verdict_that_depends_on_the_batch_is_none(build: Build, on: str) -> None:
    code = f"""
class Shifty(Defense):
    def predict(self, images, draw):
        said = super().predict(images, draw)
        return Decision(said.probs.roll(1, dims=1), (said.label + 1) % 3) if {DEPENDS[on]} else said

def build(context):
    return Shifty(linear(context), context.num_classes)
"""
    with pytest.raises(RuntimeError, match="decides otherwise"):
        right(build, code)


ALWAYS_THE_SAME = """
class Same(Defense):
    def predict(self, images, draw):
        odd = {condition}
        said = super().predict(images, draw)
        return Decision(said.probs, said.label, torch.full((len(images),), float(odd)))

def build(context):
    return Same(linear(context), context.num_classes)
"""


@pytest.mark.parametrize(
    "condition",
    ["torch.is_grad_enabled()", "images.requires_grad", "not images.is_contiguous()", "len(set(draw.seeds)) > 1"],
)
def test_judge_and_query_attack_ask_in_the_same_way(build: Build, condition: str) -> None:
    """Whoever asks for decisions hands over plain images without a gradient, and seeds that say nothing."""
    target = build(ALWAYS_THE_SAME.format(condition=condition))
    strided = IMAGES[:4].permute(0, 1, 3, 2)
    told = set()
    for images in (IMAGES[:4], strided, IMAGES[:4].clone().requires_grad_()):
        asked = black_box(target, Randomness(range(4)), 5)
        with torch.no_grad():
            decisions = [target.predict(images, Randomness(range(4))), asked._ask(images, torch.arange(4))]
        decisions.append(target.predict(images, Randomness([9, 8, 7, 6])))
        told |= {float(decision.score[0]) for decision in decisions if decision.score is not None}
    assert len(told) == 1


@pytest.mark.parametrize("text", ["\\ud800", "\\x1b]0;owned\\x07", "a\\x00b"], ids=["surrogate", "escape", "null"])
def test_what_an_error_says_is_plain_text(build: Build, images: torch.Tensor, text: str) -> None:
    code = """
class Rude(Defense):
    def predict(self, images, draw):
        raise RuntimeError("TEXT")

def build(context):
    return Rude(linear(context), context.num_classes)
""".replace("TEXT", text)
    with pytest.raises(CallFailed) as told:
        build(code).predict(images, Randomness(range(5)))
    said = str(told.value)
    assert said.encode()
    assert said.isprintable()
