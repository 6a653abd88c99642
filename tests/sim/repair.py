"""The repair thread of one agent, in virtual time: the product's own, with sessions and logs that are simulated.

Rows are values. What a server has changed back is in `disk.undone` until its GTIDs are taken back too.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from agents.reconcile.cloning import Unclonable
from agents.reconcile.merger import Merger
from agents.reconcile.returner import Returner
from agents.reconcile.swap import SwapState
from agents.reconcile.worker import RepairWorker, Task
from orchestrator.core.errors import DatabaseUnavailable, StepFailed, Unavailable
from orchestrator.core.gtid import GtidSet
from orchestrator.core.kept import Settlements
from orchestrator.core.mergepolicy import MergePolicy
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.returning import Ended, Merging, Outcome, Returning, Rung, Stage, Verdict
from tests.sim import strands
from tests.sim.kept import Archive, SimFolder, folder_of
from tests.sim.mysqld import NOTHING, Txn, values
from tests.sim.strands import Process

if TYPE_CHECKING:
    from tests.sim.node import Node

CHOICES = -1000  # values below are of the notes of choices
TOGETHER = 20  # transactions that are undone in one commit
COMMIT_S = 5.0
AGAIN = "undo again"  # the step, when something is undone already


class SimSession:
    """The statements of a return but for those that carry events. Each takes a while, and may be the last."""

    def __init__(self, node: Node) -> None:
        self._node, self._server, self._life = node, node.server, node.server.life
        self._reach("login")

    def close(self) -> None:
        """Nothing is left of it."""

    def _reach(self, name: str) -> None:
        strand = strands.this_strand()
        self._node.world.checker.returns.step(self._node, name)
        strand.boundary(strands.CHANGES)
        strand.sleep(0.003)
        if self._server.life != self._life or not self._server.answers:
            raise DatabaseUnavailable("no answer")

    def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[dict[str, str], ...]:
        words = sql.split()
        self._reach(" ".join(words[:3]))
        return self._answer(words, arguments)

    def _answer(self, words: list[str], arguments: Sequence[object]) -> tuple[dict[str, str], ...]:
        server, disk = self._server, self._server.disk
        busy = {"receivers": str(int(server.receiver.on)), "appliers": str(int(server.receiver.applying))}
        match words:
            case ["SELECT", "PROCESSLIST_ID", "FROM", where, *_] if where.endswith("session_connect_attrs"):
                return tuple({"PROCESSLIST_ID": str(number)} for number, _ in enumerate(server.late))
            case ["KILL", *_]:
                server.late.clear()
            case ["SELECT", "PROCESSLIST_ID", *_]:
                pass
            case ["SELECT", "@@GLOBAL.server_uuid", *_]:
                return ({"value": server.uuid},)
            case ["SELECT", "@@GLOBAL.gtid_executed", *_]:
                return ({"value": disk.executed.text()},)
            case ["SELECT", "@@GLOBAL.gtid_purged", *_]:
                return ({"value": disk.purged},)
            case ["SELECT", "@@GLOBAL.offline_mode", *_]:
                return ({"offline": str(int(server.offline)), "read_only": str(int(server.read_only)), **busy},)
            case ["SELECT", state, *_] if state.startswith("REPLACE(@@GLOBAL.gtid_executed"):
                return ({"executed": disk.executed.text(), "purged": disk.purged, "transactions": "0", **busy},)
            case ["SELECT", "LAST_ERROR_MESSAGE", *_]:
                pass  # no log is purged here
            case ["SELECT", "@@GLOBAL.event_scheduler", *_]:
                return ({"value": "OFF"},)
            case ["SET", "GLOBAL", "super_read_only", "=", wanted]:
                server.super_read_only = wanted == "ON"
            case ["SET", "SESSION", *_]:
                pass
            case ["DELETE", "FROM", "kembar.reconcile_journal", *_]:
                disk.journal.clear()
            case ["RESET", *_]:
                server.reset_log()
            case ["SET", "GLOBAL", "gtid_purged", *_]:
                server.set_purged(GtidSet.parse(str(arguments[0])))
            case _:
                raise AssertionError(f"no simulated server knows {' '.join(words)[:60]}")
        return ()


class NoCopies:
    """Nobody returns by a copy here: a person has to make the server anew."""

    state = SwapState()

    def work(self, record: Reconcile, tell: object) -> bool:
        raise Unclonable("no copy can be made here")

    def end(self, record: Reconcile) -> None:
        """There is no old directory."""


class SimReturner(Returner):
    """What reads or writes binary logs is simulated; the order of everything is the product's."""

    def __init__(self, node: Node) -> None:
        self._node, self._server = node, node.server
        self._sessions: Any = lambda: SimSession(node)
        self._owing: Any = node.kept
        self._cloner: Any = NoCopies()
        self.facts = self._owing.read()

    def _folder(self, record: Reconcile) -> Any:
        return SimFolder(self._node.kept, folder_of(record))

    def _executed_here(self) -> GtidSet:
        with closing(self._sessions()) as session:
            return GtidSet.parse(session.ask("SELECT @@GLOBAL.gtid_executed AS value", within_s=1.0)[0]["value"])

    def _detect(self, record: Reconcile, primary_executed: GtidSet) -> None:
        errant = self._executed_here() - primary_executed
        self._reached(Stage.DETECT, rung=Rung.REWIND, errant=str(errant), transactions=len(errant))

    def _archived(self, record: Reconcile, primary_executed: GtidSet) -> str:
        name, kept = folder_of(record), self._node.kept
        if name not in kept.own:
            self._node.world.checker.returns.step(self._node, "archive")
            strands.this_strand().boundary(strands.CHANGES)
            executed = self._executed_here()
            txns = tuple(txn for txn in self._server.disk.binlog if not has(primary_executed, txn))
            kept.own[name] = Archive(executed, txns)
        return kept.own[name].sums

    def _held(self, folder: Any) -> GtidSet:
        return self._node.kept.own[folder._name].held

    def _undo(self, record: Reconcile) -> GtidSet:
        """All from the first errant one on, newest first, as far as the journal does not name it."""
        errant, txns = GtidSet.parse(record.errant), self._node.kept.own[folder_of(record)].txns
        first = next((n for n, txn in enumerate(txns) if has(errant, txn)), None)
        if first is None:
            refusal = f"the evidence no longer allows what it did: {errant} is not in it"
            self.facts = replace(self.facts, refusal=refusal)
            raise StepFailed(refusal)
        self._node.world.checker.returns.undoes(self._node, folder_of(record), record, txns[first:])
        with closing(SimSession(self._node)) as session:
            done = self._journal()
            left = [txn for txn in reversed(txns[first:]) if key(txn) not in done]
            for begin in range(0, len(left), TOGETHER):
                session._reach(AGAIN if begin else "undo")
                self._server.undo(left[begin : begin + TOGETHER])
        return gtids(txns[first:])

    def _journal(self) -> set[tuple[str, int]]:
        return set(self._server.disk.journal)

    def _differing(self, record: Reconcile) -> str:
        """Both hold the same under these numbers."""
        with closing(SimSession(self._node)):
            ours, theirs = self._server.content(), self._node.peer.server.content()
            for txn in self._node.kept.own[folder_of(record)].txns:
                if has(GtidSet.parse(record.errant), txn) and ours.get(key(txn)) != theirs.get(key(txn)):
                    return f"{key(txn)} differs"
        return ""


class SimMerger(Merger):
    """One transaction after the other, each under its own number; which are in conflict their values tell."""

    def __init__(self, node: Node, rng: Random) -> None:
        self._node, self._server, self._rng = node, node.server, rng
        self._policy: Any = MergePolicy
        self.facts = Merging()

    def _serves(self) -> bool:
        return self._node.kernel.is_open

    def _fetched(self, record: Reconcile) -> str:
        peer, name = self._node.peer, folder_of(record)
        strands.this_strand().sleep(self._rng.uniform(0.005, 0.05))
        reachable = self._node.world.network.both(self._node.name, peer.name)
        if not reachable or peer.process is None or peer.process.frozen:
            raise Unavailable(f"the agent of {peer.name} does not answer")
        found = peer.kept.own.get(name)
        if found is None or found.sums != record.sums:
            raise StepFailed(f"the evidence of {peer.name} is not the one that it named")
        strands.this_strand().boundary(strands.CHANGES)
        self._node.kept.theirs[name] = found
        return record.sums

    def _merge(self, record: Reconcile) -> str:
        errant, found = GtidSet.parse(record.errant), Counter[str]()
        for txn in self._node.kept.theirs[folder_of(record)].txns:
            if has(errant, txn):
                found[self._take(record, txn)] += 1
        if missing := errant - GtidSet.parse(self._server.disk.executed.text()):
            raise StepFailed(f"the evidence does not hold {missing}")
        self.facts = replace(self.facts, verdicts=dict(found))
        return ""

    def _take(self, record: Reconcile, txn: Txn) -> Verdict:
        begun = self._server.time.now
        with closing(SimSession(self._node)) as session:
            if not self._serves():
                raise StepFailed("this node no longer serves: the merge goes on where the power is")
            verdict = verdict_of(record, txn)
            if self._server.disk.executed.has(txn.uuid, txn.number):
                return verdict
            if verdict is Verdict.QUARANTINED:
                self._node.world.checker.returns.kept.add(key(txn))
                self._enter(session, txn)
            self._commit(session, txn if verdict is Verdict.MERGED else Txn(txn.uuid, txn.number, NOTHING), begun)
            return verdict

    def _enter(self, session: SimSession, txn: Txn) -> None:
        self._node.kept.entries[key(txn)] = txn.value
        session._reach("entered")

    def _commit(self, session: SimSession, txn: Txn, begun: float) -> None:
        """Under its own number: one that another session has is waited for, one that is executed is done."""
        server, end = self._server, self._server.time.now + COMMIT_S
        if server.super_read_only:
            raise StepFailed("1290: the server is read only")
        if not any(key(commit.txn) == key(txn) for commit in server.pipeline):
            self._node.world.checker.returns.merges(self._node, begun)
            server.log(txn, None)
        while not server.disk.executed.has(txn.uuid, txn.number):
            session._reach("commit")
            strands.this_strand().sleep(0.01)
            if server.time.now > end:
                raise StepFailed("its commit waits")


class SimRepair:
    """Repair (see agents.ports): the worker, and what persons chose, which is simulated as a whole."""

    def __init__(self, node: Node, process: Process, rng: Random, changed: Any) -> None:
        self._server, self._process, self._rng = node.server, process, rng
        swap: Any = NoCopies()
        self.worker = RepairWorker(SimReturner(node), SimMerger(node, rng), swap, changed)
        self.settled: tuple[Outcome, ...] = ()
        self._choosing: set[str] = set()
        self._may_choose = False
        self.swap = SwapState()

    @property
    def returning(self) -> Returning:
        return self.worker.returning

    @property
    def merging(self) -> Merging:
        return self.worker.merging

    @property
    def trouble(self) -> str:
        return self.worker.trouble

    def give(self, task: Task | None) -> None:
        self.worker.give(task)

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


def choice_value(request: str) -> int:
    """Of the transaction by which this choice is made."""
    return CHOICES - zlib.crc32(request.encode())


def verdict_of(record: Reconcile, txn: Txn) -> Verdict:
    """Heartbeats and what nobody was told of are discarded; of the others one in two is in conflict."""
    if txn.value == -1 or not record.acknowledged:
        return Verdict.DISCARDED
    return Verdict.QUARANTINED if zlib.crc32(str(txn.value).encode()) % 2 else Verdict.MERGED


def key(txn: Txn) -> tuple[str, int]:
    return txn.uuid, txn.number


def has(gtids: GtidSet, txn: Txn) -> bool:
    return any(first <= txn.number <= last for first, last in gtids.intervals.get(txn.uuid, ()))


def gtids(txns: Sequence[Txn]) -> GtidSet:
    return GtidSet.parse(",".join(f"{txn.uuid}:{txn.number}" for txn in txns))
