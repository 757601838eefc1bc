"""Telling a Ctrl-C of the user from a KeyboardInterrupt that an entry's code raises."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_pressed, _listening = threading.Event(), threading.Event()


@contextmanager
def listening() -> Iterator[None]:
    """Note a Ctrl-C while code of entries runs in this process; outside the main thread nothing can be noted."""
    if threading.current_thread() is not threading.main_thread() or _listening.is_set():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        _pressed.set()
        signal.default_int_handler(number, frame)

    _pressed.clear()
    _listening.set()
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _listening.clear()


def is_the_users() -> bool:
    """Whether a KeyboardInterrupt that was just caught is the user's, as far as anybody listened."""
    return _pressed.is_set() or not _listening.is_set()
