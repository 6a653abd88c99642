"""Keeps the audit of one cluster in ZooKeeper, in a thread of its own: what is asked never waits for it.

Each entry is in the log of this process at once, so that one that ZooKeeper never took is not lost.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from orchestrator.coordination.paths import Paths
from orchestrator.core.audit import ENDED, Entry, ended
from orchestrator.core.errors import KembarError, StaleWrite
from orchestrator.core.ports import Coordinator, Create, Delete
from orchestrator.core.requests import RequestState
from orchestrator.core.wire import WireWrong, decode, encode
from orchestrator.loop import Look

log = logging.getLogger("kembar.audit")

WRITE_S = 2.0
AGAIN_S = 1.0
WAITING_MAX = 1000  # while ZooKeeper is out of reach
KEPT = 1000
PRUNED_EVERY = 50


class Auditor:
    """`note` and `take` never block."""

    def __init__(self, paths: Paths, coordinator: Coordinator, instance: str, utc_now: Callable[[], str]) -> None:
        self._paths, self._coordinator, self._instance, self._utc_now = paths, coordinator, instance, utc_now
        self._waiting: queue.Queue[Entry | None] = queue.Queue(WAITING_MAX)
        self._stopping = threading.Event()
        self._open: frozenset[str] = frozenset()
        self._written = 0

    def note(self, entry: Entry) -> None:
        """From any thread."""
        log.info(
            "%s by %s from %s: %s %s", entry.action, entry.actor, entry.origin or "-", entry.result, entry.operation
        )
        try:
            self._waiting.put_nowait(entry)
        except queue.Full:
            log.error("the audit of %s cannot be written: %s is only in this log", self._paths.cluster, entry)

    def take(self, look: Look) -> None:
        """From the loop: the end of each operation that was open at the look before is noted by the leader."""
        if look.situation is None:
            return
        requests = {name: one.value for name, one in look.situation.requests.items()}
        if look.leading:
            epoch = look.situation.cluster.epoch
            for name in sorted(self._open & requests.keys()):
                if requests[name].state in ENDED:
                    self.note(ended(requests[name], epoch, self._utc_now(), self._instance))
        open_states = (RequestState.REQUESTED, RequestState.RUNNING)
        self._open = frozenset(name for name, one in requests.items() if one.state in open_states)

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()
        self._waiting.put(None)

    def run(self) -> None:
        """Write what is noted, in order; all of it, if ZooKeeper is there, before it ends."""
        while (entry := self._waiting.get()) is not None:
            self._keep(entry)

    def newest(self, limit: int) -> tuple[Entry, ...]:
        """At most `limit` entries, newest first. Raises CoordinatorUnavailable."""
        found = []
        for name in reversed(self._coordinator.children(self._paths.audit)[-limit:]):
            path = f"{self._paths.audit}/{name}"
            stored = self._coordinator.read(path)
            if stored is not None:  # one may be the oldest, and gone
                found.append(_entry(path, stored.data))
        return tuple(found)

    def _keep(self, entry: Entry) -> None:
        said = ""
        while True:
            try:
                self._write(entry)
                return
            except KembarError as error:
                if str(error) != said:
                    log.warning("audit of %s: %s", self._paths.cluster, error)
                said = str(error)
                # After an unknown outcome an entry may stand there twice, which is better than not at all.
                if self._stopping.wait(AGAIN_S):
                    return

    def _write(self, entry: Entry) -> None:
        create = Create(self._paths.audit_prefix, encode(entry), sequence=True)
        try:
            self._coordinator.submit((create,)).result(WRITE_S)
        except StaleWrite:  # a cluster that was made before there was an audit has no folder for it
            self._coordinator.submit((Create(self._paths.audit, b""), create)).result(WRITE_S)
        self._written += 1
        if self._written % PRUNED_EVERY == 0:
            self._prune()

    def _prune(self) -> None:
        for name in self._coordinator.children(self._paths.audit)[:-KEPT]:
            try:
                self._coordinator.submit((Delete(f"{self._paths.audit}/{name}", -1),)).result(WRITE_S)
            except StaleWrite:
                continue  # another orchestrator was first


def _entry(path: str, data: bytes) -> Entry:
    """One that cannot be read is shown as such, and hides no other."""
    try:
        return decode(Entry, data)
    except WireWrong as error:
        return Entry("", "-", "", "", "", "unreadable", detail=f"{path}: {error}")
