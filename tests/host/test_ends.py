"""An entry that hangs, ends its process or answers nonsense is given up, with a reason; nothing else ends with it."""

import pytest
import torch

from benchmark.errors import BenchError
from benchmark.host.limits import Limits
from benchmark.host.line import CallFailed, HostFailed
from benchmark.randomness import Randomness

from .conftest import PLAIN, SHORT, Build

HASTY = Limits(**{**vars(SHORT), "start": 4.0, "call": 1.5, "most": 1.5})


def draw() -> Randomness:
    return Randomness(range(5))


LOOP = "while True:\n{indent}    time.sleep(0.01)\n"
NUMB = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


@pytest.mark.parametrize("where", ["import", "build"])
def test_an_endless_loop_before_anything_is_asked_is_stopped(build: Build, where: str) -> None:
    loop = {"import": NUMB + "while True: pass\n", "build": "def build(context):\n    while True: pass\n"}[where]
    with pytest.raises(HostFailed, match="took more than 4 s for building the defense"):
        build(loop + (PLAIN if where == "import" else ""), limits=HASTY)


CLASS = """
class Odd(Defense):
    def predict(self, images, draw):
        {body}

def build(context):
    return Odd(linear(context), context.num_classes)
"""


def test_an_endless_loop_in_predict_is_stopped_and_not_waited_for_again(build: Build, images: torch.Tensor) -> None:
    remote = build(CLASS.format(body="while True: pass"), limits=HASTY)
    for _ in range(20):
        with pytest.raises(HostFailed, match=r"took more than \d s for answering"):
            remote.predict(images, draw())


def test_an_endless_loop_in_the_backward_pass_is_stopped(build: Build, images: torch.Tensor) -> None:
    code = """
class Stuck(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images):
        return images.clone()
    @staticmethod
    def backward(ctx, slope):
        while True: pass

class Net(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net
    def forward(self, images):
        return self.net(Stuck.apply(images))

def build(context):
    return Defense(Net(linear(context)), context.num_classes)
"""
    leaf = images.clone().requires_grad_()
    logits = build(code, limits=HASTY).logits(leaf)
    with pytest.raises(HostFailed, match="took more than"):
        torch.autograd.grad(logits.sum(), leaf)


@pytest.mark.parametrize("how", ["os._exit(0)", "os.kill(os.getpid(), 9)", "os.abort()"])
def test_an_entry_that_ends_its_process_has_an_error_each_time(build: Build, images: torch.Tensor, how: str) -> None:
    remote = build(CLASS.format(body=how))
    for _ in range(6):
        with pytest.raises(HostFailed, match="ended its process"):
            remote.predict(images, draw())


def test_one_that_ends_its_process_once_goes_on_afterwards(build: Build, images: torch.Tensor) -> None:
    remote = build(CLASS.format(body="return os._exit(1) if len(images) == 5 else super().predict(images, draw)"))
    with pytest.raises(HostFailed):
        remote.predict(images, draw())
    assert remote.predict(images[:2], Randomness(range(2))).label.shape == (2,)


@pytest.mark.parametrize("how", ["os._exit(0)", "sys.exit(0)", "raise KeyboardInterrupt", "raise GeneratorExit"])
@pytest.mark.parametrize("where", ["import", "build"])
def test_one_that_ends_its_process_before_anything_is_asked_is_refused(build: Build, how: str, where: str) -> None:
    code = f"{how}\n{PLAIN}" if where == "import" else f"def build(context):\n    {how}\n"
    with pytest.raises((BenchError, HostFailed)):
        build(code)


@pytest.mark.parametrize("how", ["sys.exit(0)", "raise KeyboardInterrupt", "raise GeneratorExit", "raise MemoryError"])
def test_an_exception_of_any_kind_is_an_error_of_the_call(build: Build, images: torch.Tensor, how: str) -> None:
    with pytest.raises(CallFailed):
        build(CLASS.format(body=how)).predict(images, draw())


@pytest.mark.parametrize(
    "answer",
    [
        "return 'benign'",
        "return None",
        "return (torch.ones(5, 3), torch.zeros(5))",
        "return Decision(probs=[1.0], label=torch.zeros(5))",
        "return Decision(probs=torch.ones(5, 3).to_sparse(), label=torch.zeros(5))",
        "return Decision(probs=torch.ones(5, 3, device='meta'), label=torch.zeros(5))",
    ],
)
def test_nonsense_in_place_of_a_decision_is_an_error(build: Build, images: torch.Tensor, answer: str) -> None:
    with pytest.raises((CallFailed, HostFailed)):
        build(CLASS.format(body=answer)).predict(images, draw())


@pytest.mark.parametrize(
    "message",
    [
        "b'no JSON at all'",
        "b'[1, 2]'",
        "b'{\"tensors\": 5}'",
        'b\'{"tensors": [["probs", "float32", [5, 3], 999999999999999]]}\'',
        'b\'{"tensors": [["probs", "float32", [-5, 3], 0]]}\'',
        'b\'{"tensors": [["probs", "object", [5, 3], 0]]}\'',
        "b'{\"error\": 3}'",
        "b'[' * 100000",
    ],
)
def test_nonsense_on_the_line_is_an_error(build: Build, images: torch.Tensor, message: str) -> None:
    code = f"""
import benchmark.host.serve as serve
import struct

honest = serve.send

def build(context):
    return Defense(linear(context), context.num_classes)

def send(line, message, descriptors=()):
    if "tensors" not in message:
        return honest(line, message, descriptors)
    body = {message}
    line.sendall(struct.pack("!I", len(body)) + body)

serve.send = send
"""
    with pytest.raises(HostFailed):
        build(code).predict(images, draw())


def test_a_message_without_end_is_given_up(build: Build, images: torch.Tensor) -> None:
    code = """
import benchmark.host.serve as serve

honest = serve.send

def build(context):
    return Defense(linear(context), context.num_classes)

def send(line, message, descriptors=()):
    if "tensors" not in message:
        return honest(line, message, descriptors)
    while True:
        line.sendall(b"\\0\\xff\\xff\\xff" + bytes(10))
        time.sleep(0.3)

serve.send = send
"""
    with pytest.raises(HostFailed):
        build(code, limits=HASTY).predict(images, draw())


SAY = """
import json, socket, stat, struct

def say(told):
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    for name in os.listdir("/proc/self/fd"):
        try:
            number = int(name)
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as line:
                    line.sendall(struct.pack("!I", len(body)) + body)
        except OSError:
            pass
"""


@pytest.mark.parametrize("told", ["b'no JSON'", "{'error': 3}", "{'error': {'kind': 'call'}}", "{'facts': 5}"])
def test_nonsense_while_building_is_a_failure_of_the_host(build: Build, told: str) -> None:
    with pytest.raises(HostFailed):
        build(f"{SAY}\ndef build(context):\n    say({told})\n    time.sleep(60)\n")


@pytest.mark.parametrize(
    "tensors",
    [
        [["probs", "bool", [1 << 20], 0], ["label", "bool", [1 << 20], 0]],
        [["probs", "float32", [0, 1 << 70], 0]],
        [["probs", "float32", [0, 1 << 31, 1 << 31], 0]],
        [[f"{number}", "bool", [0], 0] for number in range(2000)],
    ],
    ids=["one over the other", "a size beyond numbers", "sizes beyond numbers", "very many"],
)
def test_tensors_that_would_take_all_memory_are_nonsense(
    build: Build, images: torch.Tensor, tensors: list[object]
) -> None:
    body = f"say({{'tensors': {tensors!r}}}); time.sleep(60)"
    with pytest.raises(HostFailed, match="answered nonsense"):
        build(SAY + CLASS.format(body=body)).predict(images, draw())


def test_an_error_without_end_is_cut(build: Build, images: torch.Tensor) -> None:
    body = "say({'error': {'kind': 'call', 'type': 'T', 'message': 'x' * 1000000}})"
    remote = build(SAY + CLASS.format(body=body))
    with pytest.raises(CallFailed) as caught:
        remote.predict(images, draw())
    assert len(str(caught.value)) < 20_000


def test_a_vote_without_end_is_not_believed(build: Build, images: torch.Tensor) -> None:
    code = """
import benchmark.host.calls as calls

honest = calls.Served.facts
calls.Served.facts = lambda served: {**honest(served), "copies": 10**400}
"""
    assert build(code + PLAIN).predict(images, draw()).label.shape == (5,)


def test_folders_without_end_are_refused(build: Build) -> None:
    code = """
def build(context):
    os.chdir(os.environ["TMPDIR"])
    for _ in range(3000):
        os.mkdir("a")
        os.chdir("a")
    os.chdir("/")
    return Defense(linear(context), context.num_classes)
"""
    with pytest.raises(BenchError, match="files that cannot be removed"):
        build(code)


def test_an_entry_that_hangs_when_it_is_built_anew_is_not_waited_for_again(
    build: Build, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = build(CLASS.format(body="os._exit(1)"), limits=HASTY)
    starts: list[int] = []

    def hanging(*_: object, **_wishes: object) -> None:
        starts.append(1)
        raise HostFailed("the defense took more than 4 s for building the defense and was stopped")

    monkeypatch.setattr("benchmark.host.residence.Host", hanging)
    for _ in range(6):
        with pytest.raises(HostFailed):
            remote.predict(images, draw())
    assert len(starts) == 1
