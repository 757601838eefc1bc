"""Peak memory that a call adds to its process."""

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
MMAP_THRESHOLD = -3
"""glibc's number of the parameter M_MMAP_THRESHOLD: mallopt(3)."""
BLOCK = 2**16
"""Blocks of at least this many bytes are mapped separately."""


def map_blocks() -> None:
    """Let glibc map each tensor separately, so that freed memory is not resident; this slows every allocation.

    Larger free blocks in the heap are still filled first: call this before the work begins.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.mallopt(MMAP_THRESHOLD, BLOCK)


def added_memory(work: Callable[[], object]) -> float:
    """Peak of the resident memory while ``work`` runs, less the resident memory before, in MiB.

    On Linux the function first returns free memory (with glibc) and resets the high-water mark VmHWM to the resident
    memory: proc(5), ``clear_refs``. Elsewhere it reports the growth of ru_maxrss, which misses everything below an
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
