"""An entry that hangs, ends its process or answers nonsense is given up, with a reason; nothing else ends with it."""

import pytest
import torch

from benchmark.errors import BenchError
from benchmark.host.client import CallFailed, HostFailed
from benchmark.host.limits import Limits
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
