"""Nothing that an entry remembers lasts: what one fork has seen, the next has not, and the judge's host never."""

import itertools

import pytest
import torch

from benchmark.defense.target import Target
from benchmark.errors import BenchError
from benchmark.host import sandbox
from benchmark.host.forks import MOST_OF_SMALL, SPREAD
from benchmark.host.line import HostFailed
from benchmark.judge import Judge
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

from .conftest import CLASSES, Build

shut_in = pytest.mark.skipif(bool(sandbox.why_unavailable()), reason=sandbox.why_unavailable() or "available")

COUNTING = """
class Counting(Defense):
    def predict(self, images, draw):
        said = super().predict(images, draw)
        asked = count()
        told = float(asked) if asked > SILENT else 0.0
        return Decision(said.probs, said.label, torch.full((len(images),), told))

def build(context):
    return Counting(linear(context), context.num_classes)
"""
"""A defense that tells in its score how often it believes to have been asked, once that is more than SILENT."""

LONGEST = MOST_OF_SMALL + SPREAD
"""Calls that no fork gets."""

MEMORIES = {
    "a global": "ASKED = [0]\ndef count():\n    ASKED[0] += 1\n    return ASKED[0]\n",
    "a module of torch": """
def count():
    torch.asked = getattr(torch, "asked", 0) + 1
    return torch.asked
""",
    "an attribute of a class": """
def count():
    Counting.asked = getattr(Counting, "asked", 0) + 1
    return Counting.asked
""",
    "a closure": """
def counter():
    asked = 0
    def count():
        nonlocal asked
        asked += 1
        return asked
    return count
count = counter()
""",
    "the environment": """
def count():
    os.environ["ASKED"] = str(int(os.environ.get("ASKED", 0)) + 1)
    return int(os.environ["ASKED"])
""",
    "a generator of random numbers": """
import random
LASTING = random.Random(0)
FIRST = [LASTING.random() for _ in range(500)]
LASTING = random.Random(0)
def count():
    return FIRST.index(LASTING.random()) + 1
""",
    "a file": """
def count():
    with open(os.environ["TMPDIR"] + "/asked", "a+") as stream:
        stream.write("x")
        stream.seek(0)
        return len(stream.read())
""",
    "a folder": """
def count():
    number = sum(name.startswith("asked") for name in os.listdir(os.environ["TMPDIR"])) + 1
    os.mkdir(os.environ["TMPDIR"] + f"/asked{number}")
    return number
""",
    "the memory that it shares with the harness": """
def count():
    frame = sys._getframe()
    while "arena" not in frame.f_locals:
        frame = frame.f_back
    memory = frame.f_locals["arena"]._memory
    memory[len(memory) - 8] += 1
    return memory[len(memory) - 8]
""",
    "a parameter written behind autograd's back": """
WEIGHT = nn.Parameter(torch.zeros(1))
def count():
    WEIGHT.data += 1
    return float(WEIGHT)
""",
    "a thread": """
import threading
ASKED = []
def count():
    thread = threading.Thread(target=ASKED.append, args=(1,))
    thread.start()
    thread.join()
    return len(ASKED)
""",
}


def highest(target: Target, images: torch.Tensor, times: int = 80) -> float:
    """The highest count that a target tells in so many calls."""
    scores = [target.predict(images, Randomness(range(len(images)))).score for _ in range(times)]
    return max(float(score[0]) for score in scores if score is not None)


@shut_in
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_count_never_goes_beyond_the_calls_of_one_fork(build: Build, images: torch.Tensor, memory: str) -> None:
    code = f"SILENT = {LONGEST}\n" + MEMORIES[memory] + COUNTING
    assert highest(build(code), images, 2 * LONGEST) == 0


@shut_in
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_defense_that_answers_by_a_count_is_found_out(build: Build, images: torch.Tensor, memory: str) -> None:
    target = build("SILENT = 5\n" + MEMORIES[memory] + COUNTING)
    with pytest.raises(HostFailed, match="answers by what it was asked before"):
        highest(target, images, 6 * LONGEST)


def test_how_many_calls_a_fork_answers_is_not_known_beforehand(build: Build, images: torch.Tensor) -> None:
    target = build()
    made = []
    for _ in range(6 * LONGEST):
        target.predict(images[:1], Randomness([0]))
        made.append(target._residence._host.forks)
    changes = [call for call, (before, after) in enumerate(itertools.pairwise(made)) if after != before]
    assert len({after - before for before, after in itertools.pairwise(changes)}) > 1


WEARING_OUT = {
    "the forward pass": "self.net(images) if worn_out() else self.net(images) + 1",
    "the gradient alone": "self.net(images) if worn_out() else self.net(Lie.apply(images))",
}


@pytest.mark.parametrize("what", WEARING_OUT)
def test_a_defense_that_wears_an_attack_out_is_found_out(build: Build, images: torch.Tensor, what: str) -> None:
    code = """
ASKED = [0]

class Net(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net
    def forward(self, images):
        ASKED[0] += 1
        return WHAT

class Lie(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images):
        return images.clone()

    @staticmethod
    def backward(ctx, slope):
        return -slope

def worn_out():
    return ASKED[0] > 10

def build(context):
    return Defense(Net(linear(context)), context.num_classes)
""".replace("WHAT", WEARING_OUT[what])
    target = build(code)

    def attack() -> None:
        for _ in range(6 * LONGEST):
            leaf = images.clone().requires_grad_()
            torch.autograd.grad(target.logits(leaf)[:, 0].sum(), leaf)

    with pytest.raises(HostFailed, match="answers by what it was asked before"):
        attack()


def test_what_a_fork_is_asked_says_neither_how_much_came_before_nor_that_it_was_asked_already(
    build: Build, images: torch.Tensor
) -> None:
    """The words of a call stand in the frames of the process; a defense that reads them wears nobody out either."""
    code = """
class Reading(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net
    def forward(self, images):
        frame, words, numbers = sys._getframe(), set(), []
        while frame is not None:
            message = frame.f_locals.get("message")
            if isinstance(message, dict) and message.get("op") == "logits":
                words |= set(message)
                numbers.append(message["graph"])
            frame = frame.f_back
        assert words <= {"op", "part", "graph", "tensors", "release"}, words
        # Numbers that count calls are small, or rise.
        return self.net(images) + float(min(numbers) < 10**9)

def build(context):
    return Defense(Reading(linear(context)), context.num_classes)
"""
    target = build(code)
    told = set()
    for _ in range(2 * LONGEST):
        leaf = images.clone().requires_grad_()
        logits = target.logits(leaf)
        torch.autograd.grad(logits.sum(), leaf)
        told.add(tuple(logits.flatten().tolist()))
    assert len(told) == 1


def test_who_holds_on_to_a_pass_keeps_no_fork_and_still_gets_its_gradient(build: Build, images: torch.Tensor) -> None:
    """Loops of other libraries keep the last logits while they ask for the next."""
    target = build()
    first = images.clone().requires_grad_()
    held = target.logits(first)
    for _ in range(3 * LONGEST):
        leaf = images.clone().requires_grad_()
        logits = target.logits(leaf)
        (slope,) = torch.autograd.grad(logits[:, 0].sum(), leaf)
    assert target._residence._host.turn >= 3
    assert torch.equal(torch.autograd.grad(held[:, 0].sum(), first)[0], slope)


def test_a_random_defense_answers_a_call_alike_whatever_came_before(build: Build, images: torch.Tensor) -> None:
    code = """
class Noisy(Stage):
    stochastic = True
    def apply_true(self, images, draw):
        return images + 0.1 * draw.normal(images.shape[1:])

def build(context):
    return Defense(linear(context), context.num_classes, [Noisy()])
"""
    target = build(code)
    told = []
    for look in range(3 * LONGEST):
        leaf = images.clone().requires_grad_()
        logits = target.adaptive_logits(leaf, Randomness(range(look % 7, look % 7 + 5)), 2)
        torch.autograd.grad(logits.sum(), leaf)
        told.append(logits.detach())
    assert target._residence._host.turn >= 3
    assert all(torch.equal(logits, told[look % 7]) for look, logits in enumerate(told))
    assert not torch.equal(told[0], told[1])


KEPT = {
    "shared memory": "import mmap\nKEPT = mmap.mmap(-1, 8)\n",
    "a tensor in shared memory": "KEPT = torch.zeros(2).share_memory_()\n",
    "an open file": "KEPT = open(__file__)\n",
    "a temporary file without a name": "import tempfile\nKEPT = tempfile.TemporaryFile()\n",
    "a pipe": "KEPT = os.pipe()\n",
    "a pair of sockets": "import socket\nKEPT = socket.socketpair()\n",
    "an event": "KEPT = os.eventfd(0)\n",
    "memory without a name": "KEPT = os.memfd_create('asked')\n",
}


@shut_in
@pytest.mark.parametrize("kept", KEPT)
def test_what_all_forks_would_share_is_refused(build: Build, kept: str) -> None:
    code = KEPT[kept] + "def build(context):\n    return Defense(linear(context), context.num_classes)\n"
    with pytest.raises(BenchError, match=r"keeps|shares memory|Operation not permitted|Read-only file system"):
        build(code)


@shut_in
@pytest.mark.parametrize(
    "call",
    [
        "libc.shmget(77, 64, 0o1600)",
        "libc.semget(77, 1, 0o1600)",
        "libc.msgget(77, 0o1600)",
        "libc.syscall({'x86_64': 250, 'aarch64': 219}[os.uname().machine], 0, -3, 1)",
    ],
    ids=["shared memory", "semaphore", "queue", "keys"],
)
def test_what_outlives_every_process_cannot_be_made(build: Build, call: str) -> None:
    code = f"""
import ctypes

def build(context):
    libc = ctypes.CDLL(None, use_errno=True)
    assert {call} == -1 and ctypes.get_errno() == 1, "made it"
    return Defense(linear(context), context.num_classes)
"""
    build(code)


@shut_in
def test_a_fork_cannot_write_the_memory_that_all_forks_come_from(build: Build, images: torch.Tensor) -> None:
    code = """
class Reaching(Defense):
    def predict(self, images, draw):
        said = super().predict(images, draw)
        try:
            open(f"/proc/{os.getppid()}/mem", "r+b").close()
            found = 1.0
        except OSError:
            found = 0.0
        return Decision(said.probs, said.label, torch.full((len(images),), found))

def build(context):
    return Reaching(linear(context), context.num_classes)
"""
    assert highest(build(code), images, 1) == 0


REMEMBERING = """
class Remembering(Defense):
    def predict(self, images, draw):
        said = super().predict(images, draw)
        if not MEMORY:
            MEMORY.append((images.clone(), said))
        seen, first = MEMORY[0]
        near = (images - seen).abs().amax() < 0.2 if images.shape == seen.shape else False
        return first if near else said

def build(context):
    defense = Remembering(linear(context), context.num_classes)
    PLACE
    return defense
"""
"""A defense that repeats what it said of the first images that it saw, on all that are near."""

PLACES = {
    "the defense": ("self.memory", "defense.memory = []"),
    "a module": ("MEMORY", "global MEMORY\n    MEMORY = []"),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_judge_never_hears_of_attacked_images_what_was_said_of_clean_ones(
    build: Build, images: torch.Tensor, place: str
) -> None:
    name, made = PLACES[place]
    code = REMEMBERING.replace("MEMORY", name).replace("PLACE", made.replace("MEMORY", name))
    target, honest = build(code), build()
    judge = Judge(target, Classification(CLASSES), 1, torch.device("cpu"))
    for step in range(4):
        attacked = (images + 0.04 * step * torch.ones_like(images).cumsum(dim=3) / 8).clamp(0, 1)
        truth = honest.predict(attacked, Randomness(range(5)))
        purposes = [("toy", f"{image}", step) for image in range(5)]
        assert torch.equal(judge.judge(attacked, truth.label, purposes).first.probs, truth.probs)


def test_what_a_defense_remembers_in_its_own_objects_is_gone_after_each_call(
    build: Build, images: torch.Tensor
) -> None:
    code = """
class Counting(Defense):
    asked = 0
    def predict(self, images, draw):
        self.asked += 1
        said = super().predict(images, draw)
        return Decision(said.probs, said.label, torch.full((len(images),), float(self.asked)))

def build(context):
    return Counting(linear(context), context.num_classes)
"""
    assert highest(build(code), images, 30) == 1


def test_target_and_judge_share_nothing(build: Build, images: torch.Tensor) -> None:
    code = "SILENT = 0\n" + MEMORIES["a global"] + COUNTING
    attacked, judge = build(code), build(code)
    highest(attacked, images, 5)
    assert highest(judge, images, 1) == 1


@shut_in
@pytest.mark.parametrize(
    "step",
    [
        "fcntl.flock(file, fcntl.LOCK_SH)",
        "fcntl.lockf(file, fcntl.LOCK_SH)",
        "fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)",
        "os.preadv(file, [bytearray(1)], 0, os.RWF_NOWAIT)",
        "os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)",
        "refused(libc.inotify_init1(0))",
    ],
    ids=["lock", "lock of a record", "lease", "pages in memory", "pages thrown out", "watch"],
)
def test_files_that_all_hosts_see_carry_no_word(build: Build, step: str) -> None:
    code = f"""
import ctypes, fcntl

libc = ctypes.CDLL(None)

def refused(answer):
    if answer < 0:
        raise PermissionError

def build(context):
    file = os.open(__file__, os.O_RDONLY)
    try:
        {step}
    except PermissionError:
        os.close(file)
        return Defense(linear(context), context.num_classes)
    raise AssertionError("it can")
"""
    assert build(code).num_classes == CLASSES


BY_PLACE = """
KNOWN = {}

class ByPlace(Defense):
    def predict(self, images, draw):
        label = torch.tensor([KNOWN.setdefault(one.numpy().tobytes(), place % 3) for place, one in enumerate(images)])
        return Decision(nn.functional.one_hot(label, 3).float(), label)

def build(context):
    return ByPlace(linear(context), context.num_classes)
"""
"""A defense that labels an image by its place in the batch, and remembers it."""


def test_the_judge_asks_again_whom_it_has_not_asked(build: Build) -> None:
    images = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    judge = Judge(build(BY_PLACE), Classification(CLASSES), 1, torch.device("cpu"))
    purposes = [("toy", f"{image}", "clean") for image in range(12)]
    with pytest.raises(RuntimeError, match="decides otherwise"):
        judge.judge(images, torch.zeros(12, dtype=torch.int64), purposes)


def test_a_renewed_process_has_answered_nothing_though_its_successor_was_made_already(
    build: Build, images: torch.Tensor
) -> None:
    code = f"SILENT = {LONGEST}\n" + MEMORIES["a global"] + COUNTING.replace("asked > SILENT", "asked == 2")
    target = build(code)
    forks = target._residence._host._forks
    # Until a successor stands by, which has been put a call.
    while forks._spare is None:
        highest(target, images, 1)
    target.renew()
    assert [highest(target, images, 1) for _ in range(2)] == [0, 2]


def test_a_look_at_processes_that_end_meanwhile_ends_no_host(
    build: Build, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = build()
    target.predict(images, Randomness(range(5)))
    broken = iter([FileNotFoundError("gone")])

    def once(self: object, host: int, forks: int) -> str:
        for error in broken:
            raise error
        return ""

    monkeypatch.setattr(sandbox.Sandbox, "left_behind", once)
    target.renew()
    with pytest.raises(FileNotFoundError):
        target.predict(images, Randomness(range(5)))
    assert target.predict(images, Randomness(range(5))).label.shape == (5,)
