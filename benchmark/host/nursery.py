"""Hosts come from one process that has imported what all of them need; it starts with the first host."""

import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path

from benchmark.host import sandbox
from benchmark.host.limits import Limits
from benchmark.host.sandbox import Sandbox
from benchmark.host.wire import Garbled, receive, send

SHOW_OUTPUT = "BENCH_SHOW_OUTPUT"
"""Environment variable: set to 1, what a defense prints is shown."""

ADDRESS = "BENCH_HATCHERY"
"""Environment variable by which the processes of a run find the one that hosts are forked from."""

_START_SECONDS = 180.0

_PACKAGE = Path(__file__).resolve().parents[1]

_lock = threading.Lock()
_line: tuple[socket.socket, int] | None = None
_own: "tuple[subprocess.Popen[bytes], Path, int] | None" = None


def hatch(folder: str, limits: Limits) -> tuple[Sandbox | None, socket.socket, int]:
    """Start a host, shut in as well as this system can.

    Args:
        folder: the copy of the entry's files, which it will see.
        limits: what it may take.

    Returns:
        The place that it is in, where there is one; the line to it; its process.

    Raises:
        OSError: no process can be started.
    """
    place = None if sandbox.why_unavailable() else sandbox.make(Path(folder), limits)
    ours, theirs = socket.socketpair()
    request = {
        "inside": place.inside if place else None,
        "limits": asdict(limits),
        "output": os.environ.get(SHOW_OUTPUT) == "1",
    }
    try:
        with theirs, _lock:
            line = _connected()
            send(line, request, [theirs.fileno()], _START_SECONDS)
            told, _ = receive(line, seconds=_START_SECONDS)
            # With a timeout a look whether the line is still there would wait for it.
            line.settimeout(None)
    except (OSError, EOFError, Garbled):
        ours.close()
        if place:
            place.close()
        raise
    return place, ours, int(told["process"])


def _connected() -> socket.socket:
    """A line to the process that hosts are forked from: that of the run which this process belongs to, or a new one."""
    global _line
    if _line is not None and _line[1] == os.getpid():
        if not _hung_up(_line[0]):
            return _line[0]
        _line[0].close()
    line = _connection(os.environ.get(ADDRESS, "")) or _connection(_start())
    if line is None:
        raise OSError("the process that defenses' processes are forked from does not listen")
    _line = (line, os.getpid())
    return line


def _hung_up(line: socket.socket) -> bool:
    try:
        return line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _connection(told: str) -> socket.socket | None:
    """A line to the address that the variable tells, if the process there runs this very package."""
    address, _, package = told.partition("|")
    if not address or package != str(_PACKAGE):
        return None
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(address)
    except OSError:
        line.close()
        return None
    return line


def _start() -> str:
    """Start the process and return where it listens."""
    global _own
    end()
    folder = Path(tempfile.mkdtemp(prefix="medrobustbench-"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "line"))
    listener.listen(64)
    with listener:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmark.host.hatchery", str(listener.fileno())],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            env=_environment(),
            cwd="/",
        )
    if _own is None:
        atexit.register(end)
    _own = (process, folder, os.getpid())
    os.environ[ADDRESS] = f"{folder / 'line'}|{_PACKAGE}"
    return os.environ[ADDRESS]


def _environment() -> dict[str, str]:
    """Nothing of the user's environment but what the interpreter and a GPU's driver need."""
    kept = ("PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "LANG", "LC_ALL")
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = os.pathsep.join(place for place in sys.path if place)
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **one,
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": "/tmp",
    }


def end() -> None:
    """End the process that hosts are forked from, where this one has started it."""
    global _own, _line
    if _own is not None and _own[2] == os.getpid():
        process, folder, _ = _own
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop(ADDRESS, None)
    if _line is not None and _line[1] == os.getpid():
        _line[0].close()
    _own = _line = None
