"""What a call adds to the memory of its process."""

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
MMAP_THRESHOLD = -3
"""glibc's number of the parameter M_MMAP_THRESHOLD: mallopt(3)."""
BLOCK = 2**16
"""Bytes from which on a block is mapped on its own."""


def map_blocks() -> None:
    """Let glibc map tensors one by one from now on, so that what is freed is not resident; slows every allocation.

    Larger blocks that lie free in the heap already would still be filled first: call it before the work begins.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.mallopt(MMAP_THRESHOLD, BLOCK)


def added_memory(work: Callable[[], object]) -> float:
    """By how many MiB resident memory at its peak, while ``work`` runs, exceeds what it was before.

    On Linux what is free is first given back (with glibc), and the high-water mark VmHWM is set back to what is
    resident: proc(5), ``clear_refs``. Elsewhere it is the growth of ru_maxrss, which does not see what stays below an
    earlier peak of the process.
    """
    gc.collect()
    if not RESET.exists():
        before = _largest()
        work()
        return _largest() - before
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    RESET.write_text("5", "utf-8")
    before = _status("VmRSS")
    work()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    """A field of this process's status, in MiB."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text("utf-8").splitlines())
    return float(lines[field].split()[0]) / 2**10


def _largest() -> float:
    # Windows has no such module.
    from resource import RUSAGE_SELF, getrusage

    # Linux counts in KiB, macOS in bytes.
    return getrusage(RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
