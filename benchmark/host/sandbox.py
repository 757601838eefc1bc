"""A place without network, data, results and home, made by bubblewrap: a host sees its own folder and the packages.

bubblewrap makes the place and holds it open; a host that was started outside joins it before it imports anything of an
entry. Starting Python and torch anew inside would take seconds for every host.
"""

import contextlib
import ctypes
import functools
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.host.limits import Limits

Isolation = Literal["bwrap", "process", "none"]
"""How an entry was shut in: by bubblewrap, in a process with resource limits, or not at all."""

ENTRY = "/entry"
"""Where a host finds its entry's folder."""

SCRATCH = "/scratch"
"""Its temporary folder, which ``/tmp`` is another name for."""

_PACKAGE = Path(__file__).resolve().parents[1]

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")

ENDING = 3.0
"""Seconds that a killed process may take to end."""

_PF_EXITING = 4
"""Flag of a process that ends (linux/sched.h)."""

_NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
"""Joined in this order: the first gives the right to join the others."""


class Unavailable(Exception):
    """This system makes no such place; the text says why."""


@dataclass(frozen=True)
class Sandbox:
    """A place that stands as long as its process runs.

    Attributes:
        keeper: bubblewrap's own process.
        inside: the number of the place's first process, as seen from outside.
        scratch: descriptor of its temporary folder.
    """

    keeper: "subprocess.Popen[bytes]"
    inside: int
    scratch: int

    def left_behind(self, host: int, forks: int) -> str:
        """What a host has left in the place, in words; files of its temporary folder are removed.

        Args:
            host: its process.
            forks: how many forks of it are meant to be there.
        """
        try:
            for name in os.listdir(self.scratch):  # noqa: PTH208 (a descriptor)
                _remove(name, self.scratch)
        except (OSError, RecursionError):
            # Folders in folders without end, or somebody who still writes there.
            return "files that cannot be removed"
        # Who has lost its parent is given to the first process, which has one child of its own: what keeps the place.
        until = time.monotonic() + ENDING
        while sum(map(_runs, _descendants([self.inside, host]))) > 1 + forks:
            if time.monotonic() > until:
                return "processes running"
            time.sleep(0.0005)
        return ""

    def close(self) -> None:
        """End the place and every process in it."""
        os.close(self.scratch)
        self.keeper.kill()
        self.keeper.wait()
        for stream in (self.keeper.stdin, self.keeper.stdout):
            if stream is not None:
                stream.close()


def make(folder: Path, limits: Limits) -> Sandbox:
    """Make a place that shows ``folder`` as :data:`ENTRY`.

    Raises:
        Unavailable: bubblewrap is not installed, or the system does not let it make one.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise Unavailable("bubblewrap is not installed (Debian, Ubuntu and Fedora call the package 'bubblewrap')")
    told, tell = os.pipe()
    command = [program, "--info-fd", str(tell), *_arguments(folder, limits), "sh", "-c", "echo here; exec cat"]
    keeper = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[tell],
        env={"PATH": "/usr/bin:/bin"},
    )
    os.close(tell)
    with os.fdopen(told, "rb") as stream:
        facts = stream.read()
    assert keeper.stdout is not None
    assert keeper.stderr is not None
    if keeper.stdout.readline() != b"here\n":
        keeper.kill()
        reason = keeper.stderr.read().decode(errors="replace").strip()
        keeper.wait()
        raise Unavailable(f"bubblewrap makes no sandbox here ({reason or 'it says nothing'})")
    keeper.stderr.close()
    inside = int(json.loads(facts)["child-pid"])
    return Sandbox(
        keeper, inside, os.open(f"/proc/{inside}/root{SCRATCH}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    )


def _remove(name: str, folder: int) -> None:
    """Remove a file, or a folder with all in it; links are not followed."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=folder)
        return
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        for each in os.listdir(inner):  # noqa: PTH208 (a descriptor)
            _remove(each, inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)


def _arguments(folder: Path, limits: Limits) -> list[str]:
    shown: list[str] = []
    for place in _SYSTEM:
        path = Path(place)
        if path.is_symlink():
            shown += ["--symlink", str(path.readlink()), place]
        elif path.is_dir():
            shown += ["--ro-bind", place, place]
    for file in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"):
        shown += ["--ro-bind-try", file, file]
    for path in _packages():
        shown += ["--ro-bind", str(path), str(path)]
    # What a wheel carries of the board and of other entries is no business of this one.
    bundled = _PACKAGE / "_bundled"
    hidden = ["--tmpfs", str(bundled), "--remount-ro", str(bundled)] if bundled.is_dir() else []
    return [
        *("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"),
        *("--cap-drop", "ALL", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin"),
        *_temporary(limits),
        *shown,
        *hidden,
        *("--ro-bind", str(folder), ENTRY),
        *("--proc", "/proc", "--dev", "/dev", *_devices(), "--remount-ro", "/dev"),
        # Root outside is root inside: the system's settings below /proc/sys would be its to write.
        *("--remount-ro", "/proc"),
        *("--remount-ro", "/", "--chdir", "/"),
    ]


def _temporary(limits: Limits) -> list[str]:
    """The temporary folder; where packages lie below the real one, its name must keep on leading to them."""
    scratch = ["--perms", "0700", "--size", str(limits.scratch), "--tmpfs", SCRATCH]
    if any(path.is_relative_to("/tmp") for path in _packages()):
        return scratch
    return [*scratch, "--symlink", SCRATCH.lstrip("/"), "/tmp"]


def _devices() -> list[str]:
    """Devices of a GPU, where there are any."""
    found = sorted(Path("/dev").glob("nvidia*"))
    return [word for path in found for word in ("--dev-bind-try", str(path), str(path))]


@functools.cache
def _packages() -> tuple[Path, ...]:
    """Folders that installed packages are imported from, the interpreter's own among them; none holds another."""
    places = {Path(place) for place in (*sys.path, sys.prefix, sys.base_prefix, sys.exec_prefix) if place}
    roots = {path.resolve() for path in places if _is_of_packages(path)} | {
        path for path in places if _is_of_packages(path)
    }
    roots.add(_PACKAGE)
    system = tuple(Path(place) for place in _SYSTEM)
    outer = [path for path in sorted(roots) if not any(path.is_relative_to(place) for place in system)]
    return tuple(path for path in outer if not any(path != other and path.is_relative_to(other) for other in outer))


def _is_of_packages(path: Path) -> bool:
    """Whether a folder of the import path is an interpreter's, rather than a project with its data beside the code."""
    if not path.is_dir() or path == Path("/"):
        return False
    parts = path.parts
    return (
        "site-packages" in parts
        or "dist-packages" in parts
        or path in {Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix)}
        or any(path.is_relative_to(prefix) for prefix in (Path(sys.prefix), Path(sys.base_prefix)))
    )


def join(inside: int) -> None:
    """Move this process, which must have one thread, into the place; what it forks from now on is wholly there.

    Raises:
        OSError: the system refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    doors = [os.open(f"/proc/{inside}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in _NAMESPACES]
    for door in doors:
        if libc.setns(door, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        os.close(door)
    os.chdir("/")


@functools.cache
def why_unavailable() -> str:
    """Why no such place can be made here; empty where it can. Asked once a process."""
    try:
        make(_PACKAGE / "host", Limits()).close()
    except (Unavailable, OSError) as error:
        return str(error)
    return ""


def isolation() -> Isolation:
    """How entries are shut in on this system."""
    return "process" if why_unavailable() else "bwrap"


def _descendants(processes: Sequence[int]) -> set[int]:
    """Children of these processes, and theirs."""
    found: set[int] = set()
    waiting = list(processes)
    while waiting:
        new = _children(waiting.pop()) - found
        found |= new
        waiting += new
    return found - set(processes)


def _children(process: int) -> set[int]:
    """Processes that one has started; none where it has ended meanwhile."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                told = Path(f"/proc/{process}/task/{thread}/children").read_text()
                found |= {int(number) for number in told.split()}
    return found


def _runs(process: int) -> bool:
    """Whether any thread of a process may ever run the program's code again."""
    try:
        threads = [(path / "stat").read_text() for path in Path(f"/proc/{process}/task").iterdir()]
    except OSError:
        return Path(f"/proc/{process}").exists()
    # proc(5): after the name, which may hold anything, come the state and, seventh, the flags.
    told = [thread.rpartition(")")[2].split() for thread in threads]
    return any(fields[0] not in "ZX" and not int(fields[6]) & _PF_EXITING for fields in told)


def shared_by_forks(process: int) -> str:
    """What of a process its forks would have in common, in words: open files and shared memory; empty for nothing.

    The line to the harness and the memory that it shares with it are known. Where the system does not let us look,
    nothing is found.
    """
    folder = Path(f"/proc/{process}")
    files: dict[str, str] = {}
    for _ in range(_LOOKS):
        try:
            files = {entry.name: str(entry.readlink()) for entry in (folder / "fd").iterdir()}
            maps = (folder / "maps").read_text().splitlines()
            break
        except FileNotFoundError:
            # Something was closed between two looks: what else is open has not been seen.
            continue
        except OSError:
            return ""
    else:
        return "opens and closes files while it should wait"
    sockets = 0
    for number, target in sorted(files.items()):
        if target == os.devnull or target.startswith(_KNOWN_MEMORY) or number in ("0", "1", "2"):
            continue
        sockets += target.startswith("socket:")
        if not target.startswith("socket:") or sockets > 1:
            return f"keeps {target} open"
    for line in maps:
        _, permissions, *rest = line.split(maxsplit=5)
        name = rest[-1] if len(rest) == 4 else ""
        if permissions[1] == "w" and permissions[3] == "s" and not name.startswith(_KNOWN_MEMORY):
            return f"shares memory between processes ({name or 'without a name'})"
    return ""


_LOOKS = 20
"""How often a process is looked at whose open files change meanwhile."""

_KNOWN_MEMORY = "/memfd:medrobustbench"
