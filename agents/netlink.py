"""Netlink messages and one kept socket to the kernel: packs, asks, reads answers; knows no rule and no address.

The kernel works on a request inside `send`, so the answer is already queued when that returns; nothing here waits long.
Layouts are those of linux/netlink.h (source).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

NETLINK_ROUTE: Final = 0
NETLINK_SOCK_DIAG: Final = 4
NETLINK_NETFILTER: Final = 12

REQUEST: Final = 0x1
ACK: Final = 0x4
DUMP: Final = 0x300
REPLACE: Final = 0x100
CREATE: Final = 0x400

_ERROR: Final = 2
_DONE: Final = 3
_DUMP_INTERRUPTED: Final = 0x10
_NESTED: Final = 0x8000
_TYPE_MASK: Final = 0x3FFF
_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_CODE: Final = struct.Struct("=i")
_BUFFER_BYTES: Final = 65536  # a dump fills 32 KiB at most per datagram (source)
_ANSWER_LIMIT: Final = struct.pack("@ll", 1, 0)  # 1 s, a struct timeval
_DUMP_TRIES: Final = 3


class Message(NamedTuple):
    """One request or answer: `body` begins with the header of the family, then come attributes."""

    kind: int
    flags: int
    body: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to 4 bytes."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | _NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    """An attribute that holds a zero-terminated name."""
    return attribute(kind, value.encode() + b"\0")


def attributes(body: bytes, start: int) -> dict[int, bytes]:
    """The attributes of `body` from byte `start` on, by kind; a kind that occurs twice keeps its last value."""
    found = {}
    while start + 4 <= len(body):
        size, kind = _ATTRIBUTE.unpack_from(body, start)
        if size < 4:
            break
        found[kind & _TYPE_MASK] = body[start + 4 : start + size]
        start += _aligned(size)
    return found


def _aligned(size: int) -> int:
    return (size + 3) & ~3


class NetlinkSocket:
    """One socket of the network namespace it was made in, kept open, so that no call needs a new descriptor.

    For one thread. Every method raises OSError: the kernel's errno, or EAGAIN if no answer came within 1 s.
    """

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _ANSWER_LIMIT)
        self._socket.bind((0, 0))
        self._buffer = bytearray(_BUFFER_BYTES)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def transact(self, messages: Sequence[Message]) -> None:
        """Send all in one datagram, and return after the acknowledgement of the one that has the flag ACK.

        Exactly one must have it. Raises OSError with the first refusal among them.
        """
        # In a batch of netfilter errors are delivered before the last acknowledgement, and the acknowledgement of a
        # message comes even if a later one spoils the batch (source): hence one flag, on the last that may fail.
        for kind, _, body in self._answers(self._send(messages)):
            if kind == _ERROR:
                _raise_refusal(body)
                return

    def ask(self, requests: Sequence[Message]) -> list[Message]:
        """One answer a request, none of which is a dump. Raises OSError if one is refused."""
        answers = self._answers(self._send(requests))
        found = [next(answers) for _ in requests]
        for answer in found:
            if answer.kind == _ERROR:
                _raise_refusal(answer.body)
        return found

    def dump(self, request: Message) -> list[Message]:
        """All answers to a request with the flag DUMP. Raises OSError(EINTR) if the tables kept changing meanwhile."""
        for _ in range(_DUMP_TRIES):
            found, interrupted = self._dump_once(request)
            if not interrupted:
                return found
        raise OSError(errno.EINTR, "what was to be listed kept changing")

    def _dump_once(self, request: Message) -> tuple[list[Message], bool]:
        found, interrupted = [], False
        for answer in self._answers(self._send((request,))):
            interrupted |= bool(answer.flags & _DUMP_INTERRUPTED)
            if answer.kind == _DONE:
                break
            if answer.kind == _ERROR:
                _raise_refusal(answer.body)
            found.append(answer)
        return found, interrupted

    def _send(self, messages: Sequence[Message]) -> int:
        """Send under a number of its own, by which answers to older requests are told apart and skipped."""
        self._sequence = self._sequence % 0xFFFFFFFF + 1
        parts: list[bytes] = []
        for kind, flags, body in messages:
            parts += (_HEADER.pack(16 + len(body), kind, flags | REQUEST, self._sequence, 0), body)
        self._socket.send(b"".join(parts))
        return self._sequence

    def _answers(self, sequence: int) -> Iterator[Message]:
        """Answers as they come. There is no end: the caller knows what is the last."""
        view = memoryview(self._buffer)
        while True:
            length, start = self._socket.recv_into(self._buffer), 0
            while start < length:
                size, kind, flags, number, _ = _HEADER.unpack_from(self._buffer, start)
                if number == sequence:
                    yield Message(kind, flags, bytes(view[start + 16 : start + size]))
                start += _aligned(size)


def _raise_refusal(body: bytes) -> None:
    (code,) = _CODE.unpack_from(body)
    if code:
        raise OSError(-code, os.strerror(-code))
