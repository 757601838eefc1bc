"""What a host may take: memory, files, processes and time."""

import ctypes
import os
import resource
from dataclasses import dataclass

from benchmark.host import filter

_NO_NEW_PRIVILEGES = 38
_DIE_WITH_PARENT = 1
_SET_DUMPABLE = 4
_DROP_BOUNDING = 24


PATIENCE = 200
"""How many times slower than its fastest pass a defense may become before it is given up."""

VOTES_A_PASS = 500
"""Random copies of a vote that get the time of one pass: votes end early, and copies go in large batches."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one host.

    Attributes:
        memory: bytes of private memory of each of its processes.
        scratch: bytes of its temporary folder, and of any file.
        processes: processes that it may have at a time, the host's own among them; the system enforces them for every
            user but root.
        files: open files.
        start: seconds to import and build.
        call: seconds for a call, before those for its images.
        image: further seconds for each image of a call.
        most: seconds that no call may exceed.
        pristine: whether a fork that has not been asked is made where one is wanted, as by the judge for each batch.
        calls: calls that one fork answers at least; how many more is drawn anew and told to nobody.
    """

    memory: int = 3 << 30
    scratch: int = 64 << 20
    processes: int = 32
    files: int = 256
    start: float = 120.0
    call: float = 30.0
    image: float = 2.0
    most: float = 1800.0
    pristine: bool = True
    calls: int = 40

    def seconds(self, passes: float, pace: float | None = None) -> float:
        """Time for a call.

        Args:
            passes: images that the call is about, times the random copies of each.
            pace: seconds that a pass is known to take; a call gets :data:`PATIENCE` times that, if it is less.
        """
        allowed = min(self.most, self.call + self.image * passes)
        return allowed if pace is None else min(allowed, max(self.call, PATIENCE * pace * passes))


def restrain(limits: Limits, alone: bool) -> None:
    """Bound this process and all that it starts; it can never loosen these bounds again.

    Args:
        limits: the bounds.
        alone: whether it is in a sandbox, where no other process of the user counts against its own number.
    """
    bounds = [
        (resource.RLIMIT_DATA, limits.memory),
        (resource.RLIMIT_FSIZE, limits.scratch),
        (resource.RLIMIT_NOFILE, limits.files),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]
    if alone:
        bounds.append((resource.RLIMIT_NPROC, limits.processes))
    for kind, bound in bounds:
        _, hard = resource.getrlimit(kind)
        most = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (most, most))
    drop_privileges()
    filter.refuse()


def drop_privileges() -> None:
    """Give up every capability, for this process and all that it starts.

    Raises:
        OSError: the system refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    for capability in range(64):
        if libc.prctl(_DROP_BOUNDING, capability, 0, 0, 0) != 0:
            break
    # struct __user_cap_header_struct, version 3, and two empty sets of each kind.
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _checked(libc.capset(header, (ctypes.c_uint32 * 6)()))


def die_with_parent() -> None:
    """End this process when the one that started it ends."""
    _checked(ctypes.CDLL(None, use_errno=True).prctl(_DIE_WITH_PARENT, 9, 0, 0, 0))


def show_memory(shown: bool) -> None:
    """Whether other processes of the user may look at this one's memory, mappings and open files."""
    _checked(ctypes.CDLL(None, use_errno=True).prctl(_SET_DUMPABLE, int(shown), 0, 0, 0))


def _checked(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
