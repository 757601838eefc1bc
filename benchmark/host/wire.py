"""How the harness and a host talk: small messages of JSON through a socket, tensors through shared memory.

Nothing that comes from a host is unpickled, and every tensor is copied out of the shared memory before it is looked at:
the host may write there at any time.
"""

import contextlib
import fcntl
import json
import math
import mmap
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

CAPACITY = 1 << 30
"""Bytes of the shared memory; only what is written takes memory."""

LONGEST = 64 << 20
"""Bytes of the longest message."""

MOST_TENSORS = 1024
"""Tensors in a message."""

_LENGTH = struct.Struct("!I")

_DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}

# linux/fcntl.h and linux/memfd.h; Python 3.11 names the seals, and no system without them has memfd_create.
_SEALS = (fcntl.F_SEAL_SHRINK if hasattr(fcntl, "F_SEAL_SHRINK") else 2) | getattr(fcntl, "F_SEAL_GROW", 4)
_ADD_SEALS = getattr(fcntl, "F_ADD_SEALS", 1033)


class Garbled(Exception):
    """The other side said something that this protocol does not have."""


class Arena:
    """Shared memory of fixed size.

    Args:
        descriptor: of the memory; None makes a new one, sealed so that nobody can shrink it under a reader.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = os.memfd_create("medrobustbench", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(descriptor, CAPACITY)
            fcntl.fcntl(descriptor, _ADD_SEALS, _SEALS)
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, CAPACITY)
        self._bytes = torch.frombuffer(self._memory, dtype=torch.uint8)

    def put(self, tensors: Mapping[str, Tensor]) -> list[list[Any]]:
        """Write tensors one after another and return where they lie, for :meth:`take`.

        Raises:
            MemoryError: they do not fit.
        """
        told: list[list[Any]] = []
        place = 0
        for name, tensor in tensors.items():
            plain = tensor.detach()
            kind = str(plain.dtype).removeprefix("torch.")
            if kind not in _DTYPES:
                raise Garbled(f"{name} is of type {kind}")
            size = plain.numel() * plain.element_size()
            if place + size > CAPACITY:
                raise MemoryError(f"{name} takes {size} bytes, more than a message holds")
            if size:
                self._seen(place, plain.dtype, tuple(plain.shape)).copy_(plain)
            told.append([name, kind, list(plain.shape), place])
            place += -(-size // 64) * 64
        return told

    def take(self, told: object) -> dict[str, Tensor]:
        """Copy tensors out.

        Raises:
            Garbled: the description is none of :meth:`put`.
        """
        found: dict[str, Tensor] = {}
        if not isinstance(told, list) or len(told) > MOST_TENSORS:
            raise Garbled(f"tensors are not described by a list of at most {MOST_TENSORS}")
        free = 0
        for one in told:
            if not isinstance(one, list) or len(one) != 4:
                raise Garbled("a tensor is not described by four facts")
            name, kind, shape, place = one
            if not isinstance(name, str) or not isinstance(kind, str) or kind not in _DTYPES:
                raise Garbled(f"a tensor has type {kind!r}")
            sizes = [place, *shape] if isinstance(shape, list) else [-1]
            if any(type(size) is not int or not 0 <= size <= CAPACITY for size in sizes) or len(sizes) > 9:
                raise Garbled(f"tensor {name!r} has shape {str(shape)[:200]}")
            if math.prod(max(size, 1) for size in shape) > CAPACITY:
                raise Garbled(f"tensor {name!r} has shape {shape!r}")
            dtype = _DTYPES[kind]
            size = math.prod(shape) * dtype.itemsize
            # One after another: tensors that lie over each other would be copied into more memory than there is.
            if place % 64 or place < free or place + size > CAPACITY:
                raise Garbled(f"tensor {name!r} lies outside the shared memory, or in another")
            free = place + size
            found[name] = self._seen(place, dtype, tuple(shape)).clone() if size else torch.empty(shape, dtype=dtype)
        return found

    def _seen(self, place: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
        size = math.prod(shape) * dtype.itemsize
        return self._bytes[place : place + size].view(dtype).reshape(shape)

    def close(self) -> None:
        """Give the memory back to the system once nobody else holds it."""
        # The tensor over the memory has to go first.
        del self._bytes
        with contextlib.suppress(BufferError):
            self._memory.close()
        os.close(self.descriptor)


def send(
    line: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = (), seconds: float | None = None
) -> None:
    """Send one message, and file descriptors with it.

    Args:
        line: the socket.
        message: plain values.
        descriptors: of files.
        seconds: that the other side may take to read it; None waits for ever.

    Raises:
        OSError: the other side has gone; TimeoutError where time is up.
    """
    body = json.dumps(message, allow_nan=False).encode()
    content = _LENGTH.pack(len(body)) + body
    line.settimeout(seconds)
    sent = socket.send_fds(line, [content], list(descriptors)) if descriptors else 0
    line.sendall(memoryview(content)[sent:])


def receive(
    line: socket.socket, descriptors: int = 0, seconds: float | None = None, longest: int = LONGEST
) -> tuple[dict[str, Any], list[int]]:
    """Receive one message and at most so many file descriptors.

    Args:
        line: the socket.
        descriptors: how many may come with it.
        seconds: for the whole message, however slowly its parts come; None waits for ever.
        longest: bytes of a message that is taken.

    Raises:
        EOFError: the other side has gone.
        Garbled: it is no message.
        TimeoutError: time is up.
    """
    until = None if seconds is None else time.monotonic() + seconds
    line.settimeout(seconds)
    held: list[int] = []
    head = b""
    if descriptors:
        head, held, _, _ = socket.recv_fds(line, _LENGTH.size, descriptors)
        if not head:
            raise EOFError
    head += _exactly(line, _LENGTH.size - len(head), until)
    (length,) = _LENGTH.unpack(head)
    if length > longest:
        raise Garbled(f"a message of {length} bytes")
    try:
        message = json.loads(_exactly(line, length, until))
    except (ValueError, RecursionError) as error:
        raise Garbled(f"no JSON ({error})") from None
    if not isinstance(message, dict):
        raise Garbled("a message that is no table")
    return message, held


def _exactly(line: socket.socket, count: int, until: float | None) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        if until is not None:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            line.settimeout(left)
        part = line.recv(min(count - len(parts), 1 << 20))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
