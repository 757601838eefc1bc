"""Writing files so that a reader never sees half of one, and telling a Git LFS pointer from the file itself."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, content: bytes, before_replacing: Callable[[], None] = lambda: None) -> None:
    """Write to a neighbour and rename: after a crash the old file is still whole.

    Args:
        path: the file.
        content: all of it.
        before_replacing: called when only the renaming is left; if it raises, ``path`` stays as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        # mkstemp makes private files; results and weights are for everyone.
        Path(temporary).chmod(0o644)
        before_replacing()
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


LFS_POINTER = "is a Git LFS pointer, not the file; run 'git lfs pull'"
"""What to say of a file for which :func:`is_lfs_pointer` holds."""


def is_lfs_pointer(content: bytes) -> bool:
    """Whether a file's content is the short text that Git LFS puts in its place until it is fetched."""
    return content.startswith(b"version https://git-lfs.github.com/spec/v1")
