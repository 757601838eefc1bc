"""Text files as any system writes them, files that no reader sees half of, and Git LFS pointers in place of one."""

import codecs
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmark.errors import BenchError


def read_text(path: Path, kind: str = "text") -> str:
    """Read UTF-8 with or without a byte order mark; line ends of every system become ``\\n``.

    Args:
        path: an existing file.
        kind: what the file should hold, for the sentence of a refusal.

    Raises:
        BenchError: the file cannot be read, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchError(f"{path} cannot be read ({error.strerror}); correct its permissions.") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchError(f"{path} is not valid {kind}: {_what_it_is(content, error)}; save it as UTF-8.") from None
    if "\0" in text:
        # UTF-16 without a byte order mark decodes as UTF-8 where the text is plain English.
        raise BenchError(f"{path} is not valid {kind}: it holds NUL bytes, as UTF-16 does; save it as UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _what_it_is(content: bytes, error: UnicodeDecodeError) -> str:
    marks = {"UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)}
    for name, known in marks.items():
        if content.startswith(known):
            return f"it is {name}"
    line = error.object[: error.start].count(b"\n") + 1
    return f"byte 0x{error.object[error.start]:02x} in line {line} is not UTF-8"


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
