"""The signals that a daemon is told by, heard by its main thread whichever thread the kernel gives them to."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

READ_BYTES = 64


@contextmanager
def received(*numbers: int) -> Iterator[Iterator[int]]:
    """The numbers of those that come, each as it comes. For the main thread.

    A Python handler runs in the main thread only once that is awake, and one that waits for a lock or a queue is not
    woken by a signal that another thread took: the kernel gives a second one to any thread while the first is pending.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        known = signal.set_wakeup_fd(theirs.fileno())
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        try:
            yield _each(ours)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(known)


def _each(told: socket.socket) -> Iterator[int]:
    while True:
        yield from told.recv(READ_BYTES)
