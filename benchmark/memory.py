"""How this process's memory is handled; nothing here can alter a number."""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Parameters of glibc's ``mallopt`` (malloc.h)."""

KEPT = 2**31 - 1
PAD = 2**27


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory instead of handing it back to the system.

    Large blocks, such as a network's activations, are otherwise mapped anew for every pass and their pages faulted in
    one by one: about a fifth of the time of a pass of some hundred images. Elsewhere than on glibc nothing happens.

    Returns:
        Whether it was taken.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    wanted = {_MMAP_MAX: 0, _TRIM_THRESHOLD: KEPT, _TOP_PAD: PAD}
    return all(bool(mallopt(parameter, value)) for parameter, value in wanted.items())
