"""Opens the record of a return and moves it on, in a thread of its own: no failover waits for it."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable

from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import KembarError
from orchestrator.core.ports import Check, Coordinator, Create, Op, SetData
from orchestrator.core.reconciling import wanted
from orchestrator.core.wire import encode
from orchestrator.loop import Look

log = logging.getLogger("kembar.reconcile")

WRITE_S = 2.0


class Reconciler:
    """Takes the looks of one loop. `term_version` is asked at each write: only the leader writes."""

    def __init__(self, paths: Paths, coordinator: Coordinator, term_version: Callable[[], int | None]) -> None:
        self._paths, self._coordinator, self._term_version = paths, coordinator, term_version
        self._looks: queue.SimpleQueue[Look | None] = queue.SimpleQueue()
        self._written = -1  # version of our last write: what the mirror shows may be older

    def take(self, look: Look) -> None:
        """From the loop: never blocks. Only what leads to a write is kept."""
        if look.leading and look.situation is not None and not look.written:
            present = look.situation.reconcile
            if wanted(look.situation) != (present.value if present else None):
                self._looks.put(look)

    def stop(self) -> None:
        self._looks.put(None)

    def run(self) -> None:
        while (look := self._looks.get()) is not None:
            try:
                self._move(look)
            except KembarError as error:
                log.warning("record of the return: %s", error)

    def _move(self, look: Look) -> None:
        situation, term_version = look.situation, self._term_version()
        seen = look.seen.get(self._paths.returning)
        if situation is None or term_version is None or seen is None or seen.stored.version < self._written:
            return
        record = wanted(situation)
        if record is None:
            return
        # The desired record too: a return is not moved on by a leader that has not seen the newest epoch.
        ops: list[Op] = [
            Check(self._paths.leader, term_version),
            Check(self._paths.desired, look.desired_version),
            SetData(self._paths.returning, encode(record), seen.stored.version),
        ]
        if not record.open:  # the copy is the report of the return
            ops.append(Create(self._paths.reconcile(str(record.id)), encode(record)))
        self._coordinator.submit(ops).result(WRITE_S)
        self._written = seen.stored.version + 1
        log.info("return %d of %s: %s, %s, merge %s", record.id, record.node, record.rung, record.stage, record.merge)
