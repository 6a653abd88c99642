"""The servers of the experiments, as the contracts start them; a wait that ends too late fails its test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from lab.experiments import servers as real
from lab.experiments.servers import CLOCK as CLOCK
from lab.experiments.servers import Server as Server
from orchestrator.core.errors import KembarError

# Few enough for a test to use them all up.
FEW = {"max_connections": 20}
# A kill of mysqld loses nothing that it has written, synced or not: these servers need not wait for the disk.
QUICK = {"innodb_flush_log_at_trx_commit": 2, "sync_binlog": 0, "innodb_flush_method": "nosync"}


@dataclass(frozen=True)
class Pair(real.Pair):
    def reset(self) -> None:
        """Both run, semi-sync off, the primary writable, the standby replicating: where every test begins."""
        for server in (self.primary, self.standby):
            if not server.running:
                server.start()
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
def servers(count: int, options: Mapping[str, object] = MappingProxyType({})) -> Iterator[list[Server]]:
    """So many servers, initialised and not started; `options` beside those of the lab."""
    with real.servers([real.Setup({**FEW, **options})] * count) as made:
        yield made


@contextmanager
def replicating(options: Mapping[str, object] = MappingProxyType({})) -> Iterator[Pair]:
    """A running pair; a failed test may leave it anyhow: `reset` first."""
    setup = real.Setup({**FEW, **options})
    with real.replicating(setup, setup) as pair:
        yield Pair(pair.primary, pair.standby)
