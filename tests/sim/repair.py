"""What the repair threads of both agents do about a return, in virtual time: rows are values, evidence is a name.

Stands for agents.reconcile. The record, its state machine and what the ticks do about it are the product's own.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from random import Random

from agents.reconcile.swap import SwapState
from agents.reconcile.worker import Task
from orchestrator.core.gtid import GtidSet
from orchestrator.core.kept import Settlements
from orchestrator.core.reconcile import Merge, Reconcile
from orchestrator.core.returning import Ended, Merging, Outcome, Returning, Rung, Stage, Verdict
from tests.sim.mysqld import Numbers, Server, Txn, values
from tests.sim.strands import Process

EVIDENCE = "evidence-{}"
NOTHING = -2  # the value of an empty transaction
CHOICES = -1000  # values below are of the notes of choices


class SimRepair:
    """The repair thread of one agent: each stage takes a while, and ends with the process."""

    def __init__(self, server: Server, process: Process, rng: Random) -> None:
        self._server, self._process, self._rng = server, process, rng
        self._task: Task | None = None
        self._busy = False
        self.returning, self.merging = Returning(), Merging()
        self.settled: tuple[Outcome, ...] = ()
        self._choosing: set[str] = set()
        self._may_choose = False
        self.trouble = ""
        self.swap = SwapState()

    def decide(self, settlements: Settlements | None) -> None:
        """Each takes a while; its note is a transaction of its own."""
        self._may_choose = settlements is not None
        pending = {one.request for one in settlements.pending} if settlements else set()
        self.settled = tuple(one for one in self.settled if one.request in pending)
        for request in sorted(pending - {one.request for one in self.settled} - self._choosing):
            self._choosing.add(request)
            self._server.time.after(
                self._rng.uniform(0.01, 0.5), lambda request=request: self._process.do(lambda: self._choose(request))
            )

    def _choose(self, request: str) -> None:
        """It looks first, also at what still waits for an acknowledgement, whose row is locked."""
        self._choosing.discard(request)
        server, value = self._server, choice_value(request)
        waits = any(commit.txn.value == value for commit in server.pipeline)
        if not self._may_choose or not server.answers or waits:
            return
        if value in values(server):
            self.settled = (*self.settled, Outcome(request, Ended.DONE, "done"))
        elif server.writable:
            server.commit(value, None)

    def give(self, task: Task | None) -> None:
        self._task = task
        if task is not None and not self._busy and self._left(task):
            self._busy = True
            self._server.time.after(self._rng.uniform(0.01, 0.5), lambda: self._process.do(self._work))

    def _left(self, task: Task) -> bool:
        record = task.record
        if task.returning:
            done = self.returning.id == record.id and self.returning.reached is record.stage
            return record.stage in (Stage.DETECT, Stage.BUNDLE, Stage.REWIND, Stage.VERIFY) and not done
        fetched = self.merging.id == record.id and self.merging.sums == record.sums
        return bool(record.sums) and not (fetched and (self.merging.done or record.merge is not Merge.RUNNING))

    def _work(self) -> None:
        self._busy = False
        task = self._task
        if task is None or not self._server.answers or not self._left(task):
            return
        if task.returning:
            self._return(task)
        else:
            self._take_in(task.record)

    def _return(self, task: Task) -> None:
        record, disk = task.record, self._server.disk
        facts = self.returning if self.returning.id == record.id else Returning(record.id, rung=record.rung)
        match record.stage:
            case Stage.DETECT:
                errant = GtidSet.parse(disk.executed.text()) - task.primary_executed
                facts = replace(facts, errant=str(errant), transactions=len(errant), rung=Rung.REWIND)
            case Stage.BUNDLE:
                facts = replace(facts, sums=EVIDENCE.format(record.id))
            case Stage.REWIND:
                if not self._server.offline or self._server.receiver.on:
                    return
                rewind(self._server, GtidSet.parse(record.errant))
        self.returning = replace(facts, reached=record.stage)

    def _take_in(self, record: Reconcile) -> None:
        facts = self.merging if self.merging.id == record.id else Merging(record.id)
        self.merging = replace(facts, sums=record.sums)
        if record.merge is not Merge.RUNNING or not self._server.writable:
            return
        errant = GtidSet.parse(record.errant)
        for uuid, number in numbers(errant):
            logged = any((txn.uuid, txn.number) == (uuid, number) for txn in self._server.disk.binlog)
            if not (logged or self._server.disk.executed.has(uuid, number)):
                self._server.log(Txn(uuid, number, NOTHING), None)
        if errant <= GtidSet.parse(self._server.disk.executed.text()):
            self.merging = replace(self.merging, done=True, verdicts={Verdict.DISCARDED: len(errant)})


def choice_value(request: str) -> int:
    """Of the transaction by which this choice is made."""
    return CHOICES - zlib.crc32(request.encode())


def rewind(server: Server, errant: GtidSet) -> None:
    """The values of these transactions are gone, and their numbers are free again."""
    disk, taken = server.disk, set(numbers(errant))
    disk.binlog = [txn for txn in disk.binlog if (txn.uuid, txn.number) not in taken]
    disk.executed, disk.received = Numbers(), Numbers()
    for txn in disk.binlog:
        disk.executed.add(txn.uuid, txn.number)
    server.acked = len(disk.binlog) - 1


def numbers(gtids: GtidSet) -> list[tuple[str, int]]:
    return [
        (uuid, number)
        for uuid, intervals in gtids.intervals.items()
        for first, last in intervals
        for number in range(first, last + 1)
    ]
