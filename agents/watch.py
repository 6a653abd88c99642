"""Looks every few milliseconds whether mysqld has begun to exit, and tells the keeper before anybody else."""

from __future__ import annotations

import threading
from collections.abc import Callable

from orchestrator.core.model import Instant
from orchestrator.core.ports import Clock, Supervisor


class ProcessWatch:
    """One thread. `exited` is called once for each life, with the instant at which it was seen (holder's clock)."""

    def __init__(self, supervisor: Supervisor, clock: Clock, every_s: float, exited: Callable[[Instant], None]) -> None:
        self._supervisor, self._clock, self._every_s, self._exited = supervisor, clock, every_s, exited
        self._stopped = threading.Event()

    def run(self) -> None:
        """Until `stop`. The flag shows within one poll of a kill -9, the end of the process 60-130 ms later."""
        was_exiting = False
        while not self._stopped.wait(self._every_s):
            exiting = self._supervisor.exiting()
            if exiting and not was_exiting:
                self._exited(self._clock.holder_now())
            was_exiting = exiting

    def stop(self) -> None:
        self._stopped.set()
