"""What an entry cannot reach: files, the network, other processes, more than its share."""

import os
import socket
import time
from pathlib import Path

import pytest
import torch

from benchmark.errors import BenchError
from benchmark.host import sandbox
from benchmark.host.limits import Limits
from benchmark.host.line import CallFailed, HostFailed
from benchmark.randomness import Randomness

from .conftest import PLAIN, SHORT, Build

pytestmark = pytest.mark.skipif(bool(sandbox.why_unavailable()), reason=sandbox.why_unavailable() or "available")

TELLS = """
class Telling(Defense):
    found = 0.0
    def predict(self, images, draw):
        said = super().predict(images, draw)
        return Decision(said.probs, said.label, torch.full((len(images),), float(self.found)))
"""
"""A defense that tells in its score what it has found."""


def told(build: Build, code: str, images: torch.Tensor) -> float:
    """Build the code, which sets ``found``, and return what the defense tells."""
    decision = build(TELLS + code).predict(images, Randomness(range(len(images))))
    assert decision.score is not None
    return float(decision.score[0])


def reading(place: str) -> str:
    return f"""
def build(context):
    defense = Telling(linear(context), context.num_classes)
    try:
        defense.found = 1.0 + len(os.listdir({place}) if os.path.isdir({place}) else open({place}).read())
    except (OSError, KeyError):
        pass
    return defense
"""


@pytest.mark.parametrize(
    "place",
    [
        "os.environ['BENCH_DATA']",
        "os.environ['HOME']",
        "'/home'",
        "'/etc/passwd'",
        f"{str(Path(__file__).parents[2] / 'leaderboard')!r}",
        f"{str(Path(__file__).parents[2] / 'submissions')!r}",
        f"{str(Path(__file__).parents[2] / 'datasets')!r}",
        "os.path.dirname(os.path.dirname(sys.modules['benchmark'].__file__)) + '/BENCHMARK.md'",
    ],
)
def test_no_data_and_no_results_can_be_read(build: Build, images: torch.Tensor, place: str) -> None:
    assert told(build, reading(place), images) == 0


def test_a_file_of_ours_is_not_there(build: Build, images: torch.Tensor, elsewhere: Path) -> None:
    assert told(build, reading(repr(str(elsewhere))), images) == 0


def test_no_process_tells_of_the_data(build: Build, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", "/somewhere")
    code = """
def build(context):
    defense = Telling(linear(context), context.num_classes)
    for name in os.listdir("/proc"):
        try:
            defense.found += b"BENCH_DATA" in open(f"/proc/{name}/environ", "rb").read()
        except OSError:
            pass
    return defense
"""
    assert told(build, code, images) == 0


def test_its_own_folder_can_be_read(build: Build, images: torch.Tensor) -> None:
    assert told(build, reading("os.path.dirname(__file__)"), images) > 1


def test_nothing_can_be_written_but_in_the_temporary_folder(build: Build, images: torch.Tensor) -> None:
    code = """
def build(context):
    defense = Telling(linear(context), context.num_classes)
    modules = (torch, sys.modules["benchmark"], sys.modules[__name__])
    for folder in ("/", "/usr", "/dev", "/entry", "/dev/shm", *(os.path.dirname(one.__file__) for one in modules)):
        try:
            open(os.path.join(folder, "was_here"), "w").close()
            defense.found += 1
        except OSError:
            pass
    return defense
"""
    assert told(build, code, images) == 0


def test_the_temporary_folder_is_bounded(build: Build) -> None:
    code = """
def build(context):
    for number in range(100):
        with open(os.environ["TMPDIR"] + f"/{number}", "wb") as stream:
            stream.write(bytes(4 << 20))
    return Defense(linear(context), context.num_classes)
"""
    with pytest.raises(BenchError, match=r"No space left|File too large"):
        build(code)


def test_there_is_no_network(build: Build, images: torch.Tensor) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.setblocking(False)
        code = f"""
import socket

def build(context):
    defense = Telling(linear(context), context.num_classes)
    for address in ("127.0.0.1", "0.0.0.0"):
        try:
            socket.create_connection((address, {listener.getsockname()[1]}), timeout=2).close()
            defense.found = 1
        except OSError:
            pass
    return defense
"""
        assert told(build, code, images) == 0
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_children_that_outlive_build_are_refused_and_ended(build: Build) -> None:
    code = """
import subprocess

def build(context):
    for _ in range(20):
        subprocess.Popen(["sleep", "54321"], start_new_session=True)
    return Defense(linear(context), context.num_classes)
"""
    with pytest.raises(BenchError, match=r"leaves processes running|keeps"):
        build(code)
    assert_gone("54321")


def test_children_of_a_call_end_with_it(build: Build, images: torch.Tensor) -> None:
    code = """
import subprocess

class Forks(Defense):
    def predict(self, images, draw):
        for _ in range(5):
            subprocess.Popen(["sleep", "65432"], start_new_session=True)
        return super().predict(images, draw)

def build(context):
    return Forks(linear(context), context.num_classes)
"""
    remote = build(code)

    remote.predict(images, Randomness(range(5)))
    remote.renew()
    with pytest.raises(HostFailed, match="left processes running"):
        remote.predict(images, Randomness(range(5)))
    assert_gone("65432")


def assert_gone(word: str) -> None:
    """No process has the word on its command line; one that was just ended may take a moment to go."""
    for _ in range(100):
        lines = (place / "cmdline" for place in Path("/proc").iterdir() if place.name.isdigit())
        if not any(f"sleep\0{word}".encode() in _read(line) for line in lines):
            return
        time.sleep(0.05)
    raise AssertionError("a process of the entry lives on")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_other_processes_are_out_of_sight(build: Build, images: torch.Tensor) -> None:
    code = """
def build(context):
    defense = Telling(linear(context), context.num_classes)
    defense.found = len([name for name in os.listdir("/proc") if name.isdigit()])
    return defense
"""
    # The first process, the one that keeps the place, and the host itself.
    assert told(build, code, images) <= 4


def test_the_harness_cannot_be_killed(build: Build) -> None:
    code = """
import signal

def build(context):
    for number in [0, -1, os.getppid(), %d]:
        try:
            os.kill(number, signal.SIGTERM)
        except OSError:
            pass
    return Defense(linear(context), context.num_classes)
"""
    with pytest.raises((HostFailed, BenchError)):
        build(code % os.getpid())


def test_memory_is_bounded(build: Build, images: torch.Tensor) -> None:
    code = """
class Hog(Defense):
    def predict(self, images, draw):
        self.hog = torch.ones(1_000_000_000)
        return super().predict(images, draw)

def build(context):
    return Hog(linear(context), context.num_classes)
"""
    with pytest.raises((CallFailed, HostFailed)):
        build(code).predict(images, Randomness(range(5)))


def test_a_smaller_bound_may_be_set(build: Build) -> None:
    code = "HOG = torch.ones(100_000_000)\n" + PLAIN
    build(code)
    tight = Limits(**{**vars(SHORT), "memory": 700 << 20})
    with pytest.raises((BenchError, HostFailed)):
        build("\n" + code.replace("100_000_000", "150_000_000"), limits=tight)


def test_environment_and_arguments_tell_nothing(build: Build, images: torch.Tensor) -> None:
    code = """
def build(context):
    defense = Telling(linear(context), context.num_classes)
    told = " ".join([*os.environ, *os.environ.values(), *sys.argv])
    defense.found = float(any(word in told for word in ("BENCH_DATA", "RESULT", "HOME", "pytest", "label")))
    return defense
"""
    assert told(build, code, images) == 0


def test_the_settings_of_the_system_cannot_be_written(build: Build, images: torch.Tensor) -> None:
    code = """
def build(context):
    defense = Telling(linear(context), context.num_classes)
    for folder, _, files in os.walk("/proc/sys"):
        for file in files:
            try:
                # Opened, which asks for the right, and not written.
                os.close(os.open(os.path.join(folder, file), os.O_WRONLY))
                defense.found += 1
            except OSError:
                pass
    return defense
"""
    assert told(build, code, images) == 0


def test_no_further_namespace_is_entered(build: Build, images: torch.Tensor) -> None:
    code = """
import ctypes

def build(context):
    defense = Telling(linear(context), context.num_classes)
    defense.found = float(ctypes.CDLL(None).unshare(0x10000000 | 0x00020000) == 0)
    return defense
"""
    assert told(build, code, images) == 0
