"""The servers of the experiments, as the contracts start them; a wait that ends too late fails its test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab.experiments import servers as real
from lab.experiments.servers import CLOCK as CLOCK
from lab.experiments.servers import Server as Server
from orchestrator.core.errors import KembarError

# Few enough for a test to use them all up.
SETUP = real.Setup({"max_connections": 20})


@dataclass(frozen=True)
class Pair(real.Pair):
    def reset(self) -> None:
        """Semi-sync off, the primary writable, the standby replicating: where every test begins."""
        self.primary.database.semisync.relax()
        self.relaxed()


def eventually(is_so: Callable[[], bool], within_s: float) -> None:
    """Wait until it is so; fail if it is not in time."""
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end, f"not within {within_s} s"
        time.sleep(0.01)


def took_s(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


class Background:
    """A call in a thread, as of a client that waits."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self.error: KembarError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> bool:
        return self._thread.is_alive()

    def ends_within(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._call()
        except KembarError as error:
            self.error = error


@contextmanager
def servers(count: int) -> Iterator[list[Server]]:
    """So many servers, initialised and not started."""
    with real.servers([SETUP] * count) as made:
        yield made


@contextmanager
def replicating() -> Iterator[Pair]:
    """A running pair; a failed test may leave it anyhow: `reset` first."""
    with real.replicating(SETUP, SETUP) as pair:
        yield Pair(pair.primary, pair.standby)
