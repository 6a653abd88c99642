"""Numbers that are taken back or used up, and the thread that does it: each step may be repeated after a kill."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from agents.reconcile.reset import reset
from agents.reconcile.swap import Swap
from agents.reconcile.tombstones import bury
from agents.reconcile.worker import RepairWorker, Task
from agents.session import Row, StatementRefused
from orchestrator.core.errors import DatabaseUnavailable, StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import NodeName
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.returning import Merging, Returning, Rung, Stage

OWN, PEER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
BEFORE, TARGET = GtidSet.parse(f"{OWN}:1-9,{PEER}:1-5"), GtidSet.parse(f"{OWN}:1-7,{PEER}:1-5")


@dataclass
class Server:
    """As much of one as takes numbers back and uses them up; dies before the statement that `dies_at` counts."""

    executed: GtidSet
    purged: GtidSet = field(default_factory=GtidSet)
    transactions: int = 0
    receivers: int = 0
    appliers: int = 0
    said: list[str] = field(default_factory=list)
    dies_at: int = 1000
    next: str = "AUTOMATIC"
    refuses_begin: bool = False

    def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
        if len(self.said) == self.dies_at:
            self.dies_at = 1000
            raise DatabaseUnavailable("gone")
        self.said.append(sql)
        match sql.split()[:3]:
            case ["SELECT", "GTID_SUBSET(%s,", _]:
                return ({"done": "1" if GtidSet.parse(str(arguments[0])) <= self.executed else "0"},)
            case ["SELECT", *_]:
                counts = {what: str(getattr(self, what)) for what in ("transactions", "receivers", "appliers")}
                return ({"executed": str(self.executed), "purged": str(self.purged), **counts},)
            case ["RESET", *_]:
                self.executed = self.purged = GtidSet()
            case ["SET", "GLOBAL", "gtid_purged"]:
                self.executed = self.purged = GtidSet.parse(str(arguments[0]))
            case ["SET", "SESSION", "gtid_next"]:
                self.next = str(arguments[0]) if arguments else "AUTOMATIC"
            case ["BEGIN"] if self.refuses_begin:
                raise StatementRefused("BEGIN: no", 1290)
            case ["COMMIT"]:
                self.executed |= GtidSet.parse(self.next)
        return ()

    def close(self) -> None:
        pass


def test_a_reset_leaves_what_was_not_undone_and_is_done_once() -> None:
    server = Server(BEFORE)
    reset(server, BEFORE, TARGET)
    assert server.executed == server.purged == TARGET
    said = len(server.said)
    reset(server, BEFORE, TARGET)
    assert server.executed == TARGET and len(server.said) == said + 1


@pytest.mark.parametrize("statement", range(4))
def test_a_reset_goes_on_wherever_it_was_killed(statement: int) -> None:
    server = Server(BEFORE, dies_at=statement)
    with pytest.raises(DatabaseUnavailable):
        reset(server, BEFORE, TARGET)
    reset(server, BEFORE, TARGET)
    assert server.executed == server.purged == TARGET
    assert sum(sql.startswith("RESET") for sql in server.said) == 1


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (Server(BEFORE | GtidSet.parse(f"{OWN}:10")), "stray_gtid"),
        (Server(BEFORE, transactions=2), "2 transactions"),
        (Server(BEFORE, receivers=1), "1 receivers"),
        (Server(BEFORE, appliers=1), "1 appliers"),
    ],
)
def test_nothing_is_reset_while_it_is_not_as_expected(server: Server, why: str) -> None:
    before = server.executed
    with pytest.raises(StepFailed, match=why):
        reset(server, BEFORE, TARGET)
    assert server.executed == before and not any(sql.startswith("RESET") for sql in server.said)


def test_a_number_is_used_up_once() -> None:
    server = Server(TARGET)
    bury(server, f"{OWN}:8")
    assert server.executed == TARGET | GtidSet.parse(f"{OWN}:8") and server.next == "AUTOMATIC"
    said = len(server.said)
    bury(server, f"{OWN}:8")
    assert len(server.said) == said + 1  # asked, and nothing more


def test_a_session_does_not_keep_a_number_that_it_could_not_use() -> None:
    server = Server(TARGET, refuses_begin=True)
    with pytest.raises(StatementRefused):
        bury(server, f"{OWN}:8")
    assert (server.executed, server.next) == (TARGET, "AUTOMATIC")


@dataclass
class Part:
    """One node's part that says when it was asked, and does as the next of `acts`."""

    facts: Returning | Merging
    acts: list[Callable[[], None]] = field(default_factory=list)
    asked: list[Reconcile] = field(default_factory=list)
    done: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def work(self, record: Reconcile, primary_executed: GtidSet) -> None:
        self.asked.append(record)
        try:
            if self.acts:
                self.acts.pop(0)()
        finally:
            self.done.release()


RECORD = Reconcile(42, 8, NodeName("db-a"), Rung.REWIND, Stage.DETECT)
NEWS = threading.Event()


WOKEN_S = 60.0  # it never looks by itself here


@pytest.fixture
def worked(tmp_path, monkeypatch):
    monkeypatch.setattr("agents.reconcile.worker.LOOK_S", 3600.0)
    returner, merger = Part(Returning(id=1)), Part(Merging(id=2))
    worker = RepairWorker(returner, merger, Swap(tmp_path / "data", tmp_path), NEWS.set)  # type: ignore[arg-type]
    NEWS.clear()
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    yield worker, returner, merger
    worker.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_each_node_does_its_own_part_and_a_record_that_changed_is_taken_up_at_once(worked) -> None:
    worker, returner, merger = worked
    assert (worker.returning, worker.merging) == (Returning(id=1), Merging(id=2))
    worker.give(Task(RECORD, returning=True, primary_executed=TARGET))
    assert returner.done.acquire(timeout=WOKEN_S)
    later = replace(RECORD, stage=Stage.BUNDLE)
    worker.give(Task(later, returning=True, primary_executed=TARGET))
    assert returner.done.acquire(timeout=WOKEN_S)
    worker.give(Task(replace(later, stage=Stage.REWIND), returning=False, primary_executed=TARGET))
    assert merger.done.acquire(timeout=WOKEN_S)
    assert returner.asked == [RECORD, later] and len(merger.asked) == 1


def test_what_a_step_found_is_told_at_once(worked) -> None:
    """Each stage would else cost a period of the reports."""
    worker, returner, _ = worked

    def reach() -> None:
        returner.facts = Returning(id=42, reached=Stage.DETECT)

    returner.acts = [reach]
    worker.give(Task(RECORD, returning=True, primary_executed=TARGET))
    assert NEWS.wait(WOKEN_S) and worker.returning.reached is Stage.DETECT
    NEWS.clear()
    worker.give(Task(replace(RECORD, stage=Stage.BUNDLE), returning=True, primary_executed=TARGET))
    assert returner.done.acquire(timeout=WOKEN_S) and returner.done.acquire(timeout=WOKEN_S)
    worker.stop()
    assert not NEWS.is_set()


def test_a_step_that_failed_is_told_and_done_again(worked) -> None:
    worker, returner, _ = worked

    def fail() -> None:
        raise StepFailed("no space")

    def told() -> None:
        assert worker.trouble == "no space"

    returner.acts = [fail, told]
    worker.give(Task(RECORD, returning=True, primary_executed=TARGET))
    assert returner.done.acquire(timeout=WOKEN_S) and returner.done.acquire(timeout=WOKEN_S)


def test_a_long_step_is_wanted_until_the_record_has_gone_on_or_the_agent_ends(worked) -> None:
    worker, _, _ = worked
    later = replace(RECORD, stage=Stage.BUNDLE)
    assert worker.wants(RECORD)
    worker.give(Task(RECORD, returning=True, primary_executed=TARGET))
    worker.give(None)  # its server is silent for a moment
    assert worker.wants(RECORD) and worker.wants(replace(RECORD, epoch=9))
    worker.give(Task(later, returning=True, primary_executed=TARGET))
    assert worker.wants(later) and not worker.wants(RECORD)
    worker.stop()
    assert not worker.wants(later)


def test_nothing_is_done_for_a_record_that_is_closed(tmp_path) -> None:
    returner, merger = Part(Returning()), Part(Merging())
    worker = RepairWorker(returner, merger, Swap(tmp_path / "data", tmp_path), NEWS.set)  # type: ignore[arg-type]
    worker.give(Task(replace(RECORD, stage=Stage.CLOSED), returning=True, primary_executed=TARGET))
    worker.stop()
    worker.run()
    worker.give(None)
    assert (returner.asked, merger.asked) == ([], [])
