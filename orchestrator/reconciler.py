"""Opens the record of a return and moves it on, and sees to what persons decide about one.

In a thread of its own: no failover waits for it.
"""

from __future__ import annotations

import logging
import math
import queue
from collections.abc import Callable
from dataclasses import replace

from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import readable
from orchestrator.core.errors import KembarError
from orchestrator.core.history import Event
from orchestrator.core.invariants import check_return
from orchestrator.core.kept import Settlements
from orchestrator.core.model import Instant
from orchestrator.core.ports import Check, Coordinator, Create, Delete, Op, Seen, SetData
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.reconciling import wanted
from orchestrator.core.requests import CHOICES, OF_RETURNS, Request, RequestState
from orchestrator.core.return_events import of_record, of_request, with_choice
from orchestrator.core.settling import Step, step
from orchestrator.core.situation import Situation
from orchestrator.core.wire import encode
from orchestrator.loop import Look
from orchestrator.watching import zookeeper_ms

log = logging.getLogger("kembar.reconcile")

WRITE_S, COUNT_S = 2.0, 1.0
REQUESTS_KEPT = 20
Told = Callable[[Event], None]


class Reconciler:
    """Takes the looks of one loop. `term_version` is asked at each write: only the leader writes.

    `tell` takes an event of each write, for the history.
    """

    def __init__(
        self, paths: Paths, coordinator: Coordinator, term_version: Callable[[], int | None], tell: Told
    ) -> None:
        self._paths, self._coordinator, self._term_version, self._tell = paths, coordinator, term_version, tell
        self._looks: queue.SimpleQueue[Look | None] = queue.SimpleQueue()
        self._written = -1  # version of our last write: what the mirror shows may be older
        self._counted: Instant = -math.inf  # when counts alone were last worth a write

    def take(self, look: Look) -> None:
        """From the loop: never blocks. Only what leads to a write is kept."""
        if look.leading and look.situation is not None and not look.written and self._moves(look.situation, look.now):
            self._looks.put(look)

    def _moves(self, s: Situation, now: Instant) -> bool:
        return self._advances(s, now) or not step(s).empty

    def _advances(self, s: Situation, now: Instant) -> bool:
        """A record of which the counts alone have grown is written once in a while: each write wakes everybody."""
        before, after = s.reconcile.value if s.reconcile else None, wanted(s)
        if before is None or after is None or before != replace(after, verdicts=before.verdicts):
            return after != before
        due = after != before and now - self._counted >= COUNT_S
        self._counted = now if due else self._counted
        return due

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
        # The desired record too: a return is not moved on by a leader that has not seen the newest epoch.
        guards: list[Op] = [Check(self._paths.leader, term_version), Check(self._paths.desired, look.desired_version)]
        asked = step(situation)
        if not asked.empty:
            self._settle(look, situation, asked, guards, seen)
            return
        record = wanted(situation)
        if record is not None:
            self._advance(look, situation, record, guards, seen)

    def _advance(self, look: Look, s: Situation, record: Reconcile, guards: list[Op], seen: Seen) -> None:
        before = s.reconcile.value if s.reconcile else None
        record = _stamped(record, before, zookeeper_ms(look.seen))
        check_return(before, record)
        ops = [*guards, SetData(self._paths.returning, encode(record), seen.stored.version)]
        if not record.open:
            ops.append(self._copy(record))
        self._coordinator.submit(ops).result(WRITE_S)
        self._written = seen.stored.version + 1
        log.info("return %d of %s: %s, %s, merge %s", record.id, record.node, record.rung, record.stage, record.merge)
        if (event := of_record(record, before, s)) is not None:
            self._tell(event)

    def _copy(self, record: Reconcile) -> Op:
        """The report of the return. One that was closed too early, and opened again, has one already."""
        path = self._paths.reconcile(str(record.id))
        kept = self._coordinator.read(path)
        return Create(path, encode(record)) if kept is None else SetData(path, encode(record), kept.version)

    def _settle(self, look: Look, s: Situation, asked: Step, guards: list[Op], seen: Seen) -> None:
        """Requests, choices and record in one write: whatever becomes of its answer, all of it happened or none."""
        before = s.reconcile.value if s.reconcile else None
        now_ms = zookeeper_ms(look.seen)
        record = _stamped(asked.record, before, now_ms) if asked.record else before
        ops = list(guards)
        for answer in asked.answers:
            ops.append(SetData(self._paths.request(answer.request.id), encode(answer.request), answer.version))
        if asked.settlements is not None:
            ops.append(self._choices(look, asked.settlements))
        ended = [one.request for one in asked.answers if _is_ended_choice(one.request)]
        if record is not None and record.open:
            for request in ended:
                record = with_choice(record, request, now_ms) if request.returning == record.id else record
        if record is not None and record != before:
            ops.append(SetData(self._paths.returning, encode(record), seen.stored.version))
        ops += self._reports(ended, record, now_ms)
        self._coordinator.submit(ops).result(WRITE_S)
        if record != before:
            self._written = seen.stored.version + 1
        for answer in asked.answers:
            log.info("%s by %s: %s", answer.request.kind, answer.request.actor, answer.request.state)
            self._tell(of_request(answer.request, s))
        self._prune(s, guards[0])

    def _choices(self, look: Look, settlements: Settlements) -> Op:
        stored = look.seen.get(self._paths.decisions)
        if stored is None:
            return Create(self._paths.decisions, encode(settlements))
        return SetData(self._paths.decisions, encode(settlements), stored.stored.version)

    def _reports(self, ended: list[Request], record: Reconcile | None, now_ms: int) -> list[Op]:
        """What was chosen stands in the report of its return, which was closed before in most cases."""
        ops: list[Op] = []
        for id in sorted({one.returning for one in ended}):
            path = self._paths.reconcile(str(id))
            stored = self._coordinator.read(path)
            report = readable(Reconcile, stored)
            if stored is None or report is None or (record is not None and record.open and record.id == id):
                continue
            for request in ended:
                report = with_choice(report, request, now_ms) if request.returning == id else report
            ops.append(SetData(path, encode(report), stored.version))
        return ops

    def _prune(self, s: Situation, leads: Op) -> None:
        ended = [
            (name, one.version)
            for name, one in s.requests.items()
            if one.value.kind in OF_RETURNS
            and one.value.state not in (RequestState.REQUESTED, RequestState.RUNNING)
        ]  # fmt: skip
        for name, version in ended[:-REQUESTS_KEPT]:
            self._coordinator.submit((leads, Delete(self._paths.request(name), version))).result(WRITE_S)


def _stamped(record: Reconcile, before: Reconcile | None, now_ms: int) -> Reconcile:
    """With the time at which it came to its stage, by which the report tells how long each took."""
    if before is not None and (before.id, before.stage) == (record.id, record.stage):
        return record
    return replace(record, began_ms={**record.began_ms, record.stage: now_ms})


def _is_ended_choice(request: Request) -> bool:
    return request.kind in CHOICES and request.state in (RequestState.DONE, RequestState.REFUSED, RequestState.FAILED)
