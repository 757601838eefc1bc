"""System calls that a host is refused by a filter that it cannot take off.

Each would make something that lives outside a process, and by which one fork could leave word for the next or for
another host, or reach into another process, or open a line to elsewhere. Where the system has no such filter, or the
machine's calls are not known here, nothing is refused.
"""

import ctypes
import errno
import platform
import struct

REFUSED = {
    # name: (x86_64, aarch64), from the kernel's tables of system calls
    "socket": (41, 198),
    "ptrace": (101, 117),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "memfd_create": (319, 279),
    "pidfd_getfd": (438, 438),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    # Locks and watches on files that all hosts see, and what tells which of their pages are in memory.
    "flock": (73, 32),
    "inotify_init": (253, 26),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "mincore": (27, 232),
    "fadvise64": (221, 223),
    "preadv2": (327, 286),
    "cachestat": (451, 451),
    # A user's own namespace would let it mount folders of no bounded size.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "mount_setattr": (442, 442),
}

FCNTL = (72, 25)
"""Number of the call, as in :data:`REFUSED`, of which only some commands are refused."""

LOCKS = (5, 6, 7, 36, 37, 38, 1024, 1026)
"""Those commands: to ask for, set and wait for a lock, of either kind; to lease; to watch a folder."""

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column above, and the kernel's own number of the architecture (linux/audit.h)."""

_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000 | errno.EPERM
_X32 = 0x40000000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse() -> bool:
    """Refuse the calls from now on, in this process and all that it starts; it must have no new privileges already.

    Returns:
        Whether the filter is in force.
    """
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return False
    code = _filter(*known)
    memory = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(memory))
    return bool(ctypes.CDLL(None).prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(column: int, architecture: int) -> bytes:
    """The filter's instructions (linux/filter.h): fail the refused calls, and every call of another architecture."""
    numbers = sorted({row[column] for row in REFUSED.values()})
    steps = [(_LOAD, 0, 0, 4), (_JUMP_IF_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _FAIL), (_LOAD, 0, 0, 0)]
    # Of fcntl, locks and leases are refused: the command is the second argument.
    steps.append((_JUMP_IF_EQUAL, 0, len(LOCKS) + 3, FCNTL[column]))
    steps.append((_LOAD, 0, 0, 24))
    for place, command in enumerate(LOCKS):
        steps.append((_JUMP_IF_EQUAL, len(LOCKS) - place, 0, command))
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _FAIL)]
    for place, number in enumerate(numbers):
        steps.append((_JUMP_IF_EQUAL, len(numbers) - place + 1, 0, number))
    # The other way to number the calls of x86_64.
    steps += [(_JUMP_IF_AT_LEAST, 1, 0, _X32), (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _FAIL)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
