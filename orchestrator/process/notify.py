"""What systemd is told about this process (sd_notify). Owns nothing else of systemd."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

from orchestrator.core.ports import Clock

Given = ParamSpec("Given")
Result = TypeVar("Result")

FEED_EVERY_S = 0.5  # a fifth of the shortest WatchdogSec of our units, or less
UNHURRIED_S = 1800


def notify(*assignments: str) -> bool:
    """Send `READY=1`, `WATCHDOG=1`, `STATUS=...` and the like; False when nobody asked to be told.

    One datagram to $NOTIFY_SOCKET (man sd_notify). Raises nothing: a daemon does not end because its supervisor's
    socket is gone.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    # A leading @ stands for the zero byte of the abstract namespace.
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.sendto("\n".join(assignments).encode(), target)
    except OSError:
        return False
    return True


def unhurried(work: Callable[Given, Result]) -> Callable[Given, Result]:
    """`work` of a loop that feeds the watchdog: until it returns, UNHURRIED_S are waited for it instead of WatchdogSec.

    Else a step that takes longer would be killed, and begun anew by the successor, for ever.
    """

    @wraps(work)
    def slowly(*args: Given.args, **named: Given.kwargs) -> Result:
        usual_us = os.environ.get("WATCHDOG_USEC", "")
        if not usual_us:
            return work(*args, **named)
        notify(f"WATCHDOG_USEC={UNHURRIED_S * 1_000_000}")
        try:
            return work(*args, **named)
        finally:
            notify(f"WATCHDOG_USEC={usual_us}")

    return slowly


class Watchdog:
    """Feeds systemd's watchdog, but only once each of the named loops has come round since it was last fed."""

    def __init__(self, loops: Iterable[str], clock: Clock, tell: Callable[..., object] = notify) -> None:
        self._loops = frozenset(loops)
        self._clock, self._tell = clock, tell
        self._awaited = set(self._loops)
        self._fed = float("-inf")
        self._lock = threading.Lock()

    def came_round(self, loop: str, status: str) -> None:
        """For the thread of that loop, at the end of each pass; `status` is what `systemctl status` shows."""
        now = self._clock.holder_now()
        with self._lock:
            self._awaited.discard(loop)
            due = not self._awaited and now - self._fed >= FEED_EVERY_S
            if due:
                self._awaited, self._fed = set(self._loops), now
        if due:
            self._tell("WATCHDOG=1", f"STATUS={status}")
