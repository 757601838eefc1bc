"""Consoles of any encoding, and pipes whose reader may leave."""

import contextlib
import io
import os
import sys
from typing import Any

from rich import box
from rich.console import Console as RichConsole
from rich.text import Text

from benchmark.cli.stand_ins import HANDLER, written

READER_LEFT = 1
"""Exit code where whoever reads a pipe has closed it; rich and typer give it too."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
"""Control characters: an id or a message that holds them must not steer the terminal."""

_LIGHT = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


class Console(RichConsole):
    """Rich's console, which lays out what the stream's encoding can show and takes text for what it is.

    Stand-ins are put in before a table is laid out: they may be longer than what they stand for. Names between colons
    are no emoji, and control characters are shown.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn text into what is printed."""
        return super().render_str(written(text, self.encoding).translate(_CONTROLS), **options)

    @property
    def light_rules(self) -> box.Box:
        """The box of tables that need every column of a narrow console: one line below the head."""
        return _LIGHT if self.options.ascii_only else box.SIMPLE_HEAD


def say(text: str, *, end: str = "\n", error: bool = False) -> None:
    """Print one text as it is; nothing in it is read as markup, and no line is folded.

    Not ``typer.echo``, which writes UTF-8 where the console is known to have nothing but ASCII.
    """
    print(text, end=end, file=sys.stderr if error else sys.stdout)


def writes_utf8() -> bool:
    """Whether standard output can show every character."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")


def prepare_streams() -> None:
    """Let standard output and error replace what their encoding lacks, where they would raise an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def write_no_more() -> None:
    """Send what is still to be written nowhere: Python writes it when it ends and would complain once more."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # a stream may be none, or no file
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
