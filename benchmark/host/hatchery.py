"""The process from which hosts are forked: it has imported torch and the benchmark, and knows nothing of any run.

``python -m benchmark.host.hatchery N`` listens at the inherited socket N, where every process of a run asks for its
hosts. It is started with a bare environment, imports no entry, and ends when the process does that started it.
"""

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import tempfile
from typing import Any, NoReturn

import torch

import benchmark.models
import benchmark.submission.building
from benchmark.host import sandbox, serve
from benchmark.host.limits import Limits, die_with_parent, restrain, show_memory
from benchmark.host.wire import Garbled, receive, send
from benchmark.memory import keep_freed_memory


def main(number: int) -> None:
    """Fork a host for each request until the process that started this one has gone."""
    die_with_parent()
    # An interrupt is the harness's to handle: it ends its hosts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    keep_freed_memory()
    _warm_up()
    gc.collect()
    # A host then looks through its own entry's objects only, and writes to no page that it shares with this process.
    gc.freeze()
    listener = socket.socket(fileno=number)
    lines: list[socket.socket] = []
    while True:
        for ready in select.select([listener, *lines], [], [])[0]:
            if ready is listener:
                lines.append(listener.accept()[0])
            elif not _served(ready, [listener, *lines]):
                ready.close()
                lines.remove(ready)
            _reap()


def _warm_up() -> None:
    """Let torch set up what it sets up at the first pass, which each host and each of its forks would do again."""
    images = torch.rand(32, 1, 28, 28, requires_grad=True)
    logits = benchmark.models.NarrowResNet18(2, 1, width=16).eval()(images)
    torch.autograd.grad(logits.sum(), images)


def _served(line: socket.socket, all_lines: list[socket.socket]) -> bool:
    """Answer one request; False where the harness has hung up."""
    try:
        request, held = receive(line, descriptors=1)
        process = _hatch(request, held[0], all_lines)
        os.close(held[0])
        send(line, {"process": process})
    except (EOFError, OSError, Garbled):
        return False
    return True


def _hatch(request: dict[str, Any], host_line: int, lines: list[socket.socket]) -> int:
    """Fork a host and return its process.

    Into a sandbox it comes by a fork of a fork: only what is forked after joining is wholly there.
    """
    if request["inside"] is None:
        process = os.fork()
        if process == 0:
            _closed(lines)
            _live(request, host_line)
        return process
    told, tell = os.pipe()
    first = os.fork()
    if first == 0:
        die_with_parent()
        os.close(told)
        _closed(lines)
        try:
            sandbox.join(int(request["inside"]))
            process = os.fork()
            if process == 0:
                os.close(tell)
                _live(request, host_line)
            os.write(tell, str(process).encode())
            os.close(tell)
            os.close(host_line)
            # Not every system's first process collects what others leave.
            os.waitpid(process, 0)
        except BaseException as error:
            _tell_failure(socket.socket(fileno=host_line), error)
        os._exit(0)
    os.close(tell)
    with os.fdopen(told) as stream:
        number = stream.read()
    return int(number or 0)


def _closed(lines: list[socket.socket]) -> None:
    """A host has no line but its own."""
    for line in lines:
        line.close()


def _live(request: dict[str, Any], host_line: int) -> NoReturn:
    """The life of a host."""
    line = socket.socket(fileno=host_line)
    try:
        os.setsid()
        if request["inside"] is None:
            die_with_parent()
        if request["inside"] is not None:
            os.environ["TMPDIR"], tempfile.tempdir = sandbox.SCRATCH, None
        _quiet(request["output"])
        restrain(Limits(**request["limits"]), alone=request["inside"] is not None)
        # Until its entry is built the harness may look at what it holds.
        show_memory(True)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        serve.zygote(line)
    except BaseException as error:
        _tell_failure(line, error)
    os._exit(0)


def _tell_failure(line: socket.socket, error: BaseException) -> None:
    with contextlib.suppress(OSError):
        send(line, {"error": {"kind": "host", "type": type(error).__name__, "message": str(error)}})


def _reap() -> None:
    """Collect the hosts that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _quiet(output: bool) -> None:
    """What an entry prints goes nowhere, unless its author wants to see it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0,) if output else (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)


if __name__ == "__main__":
    main(int(sys.argv[1]))
