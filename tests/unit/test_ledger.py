"""What is open, as it is shown and published: it fits, it is the primary's, and it is written only when it changed."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agents.binlog.images import Operation
from agents.binlog.rewind import Lasting
from agents.binlog.table import Table
from agents.reconcile import ledger
from agents.reconcile.deciding import Quarantine
from agents.reconcile.judging import Ruling, Touched
from agents.reconcile.parts import Undecided
from agents.reconcile.publishing import OpenRecord
from agents.reconcile.quarantine import Entry, State, keep, recorded
from agents.reconcile.swap import Swap
from agents.reconcile.worker import RepairWorker
from agents.session import Row
from orchestrator.coordination.paths import Paths
from orchestrator.core.conflicts import Conflict
from orchestrator.core.errors import CoordinatorUnavailable, StaleWrite, StepFailed
from orchestrator.core.kept import Choice, KeptTransaction, Open, Settlement, Settlements
from orchestrator.core.ports import Check, Create, SetData, Stored
from orchestrator.core.returning import Ended, Merging, Outcome, Returning
from orchestrator.core.wire import SIZE_MAX, encode
from tests.builders import DB_A, DB_B, STEADY
from tests.fakes import FakeCoordinator

PATHS = Paths("orders")
WHAT = Open(1, (KeptTransaction(7, "u:1", "update_differs", seen="v1"),))


def row(n: int = 0) -> dict[str, object]:
    version = {"id": str(n), "note": "x" * 64}
    return {"table": "shop.acct", "operation": "update", "conflict": None, "key": "`id` = 1", "base": version,
            "left": version, "primary": None}  # fmt: skip


class Counting:
    """A server that counts what is open."""

    def __init__(self, count: int) -> None:
        self.count = count

    def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
        assert sql.startswith("SELECT COUNT(*)")
        return ({"open": str(self.count)},)

    def close(self) -> None: ...


def kept(n: int, rows: int, **summary: object) -> ledger.Kept:
    told = {"why": "update_differs", "detail": "", "rows": [row(k) for k in range(rows)], "row_count": rows, **summary}
    return ledger.Kept(7, f"u:{n}", "open", told)


def test_the_record_fits_however_much_is_open() -> None:
    many = [kept(n, 200) for n in range(200)]
    shown = ledger.shown(Counting(900), many)
    assert len(encode(shown)) < SIZE_MAX
    assert shown.total == 900 and 0 < len(shown.transactions) <= 200
    assert all(one.row_count == 200 and 0 < len(one.rows) < 200 for one in shown.transactions)


def test_many_wide_rows_are_kept_by_a_statement_that_the_server_takes(tmp_path: Path) -> None:
    asked: list[str] = []

    class Noting(Counting):
        def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
            asked.append(str(arguments[-1]))
            return ()

    wide = {f"column_{n}": "щ" * 64 for n in range(1000)}
    touched = Touched(
        ("shop.t", "1"),
        Table(1, "shop", "t", (), (), key_of_parts=False, named=True),
        "`id` = 1",
        None,
        None,
        Operation.INSERT,
    )
    entry = Entry("u:1", Conflict.INSERT_EXISTS, "", [Ruling(touched)] * 200, [wide] * 200)
    keep(Noting(0), tmp_path / "return-7" / "quarantine", 7, entry)
    told = json.loads(asked[0])
    assert len(asked[0]) < 8 << 20 and told["row_count"] == 200 and 0 < len(told["rows"]) < 200
    assert recorded(tmp_path / "return-7" / "quarantine", "u:1") is State.OPEN


@pytest.mark.parametrize(("columns", "rows"), [(300, 1), (1000, 1), (4000, 0)])
def test_a_row_that_would_fill_the_record_alone_hides_nothing(columns: int, rows: int) -> None:
    wide = {f"column_{n}": "щ" * 64 + "..." for n in range(columns)}
    only = row() | {"base": wide, "left": wide, "primary": wide}
    shown = ledger.shown(Counting(1), [ledger.Kept(7, "u:1", "open", {"rows": [only], "row_count": 1})])
    assert len(encode(shown)) < SIZE_MAX
    assert [(one.gtid, one.row_count, len(one.rows)) for one in shown.transactions] == [("u:1", 1, rows)]
    assert all(row.left is not None and len(row.left) == columns for one in shown.transactions for row in one.rows)


def test_what_became_of_many_choices_is_told_as_far_as_a_report_has_room(tmp_path: Path) -> None:
    def no_session() -> Lasting:
        raise StepFailed("щ" * 2000)

    quarantine = Quarantine(tmp_path, no_session, lambda: True, lambda _: None)
    pending = [Settlement(f"r{n}", Choice.DISCARD, 7, f"u:{n}", "", "olga", "known") for n in range(100)]
    lives = 0
    while pending:
        with pytest.raises(StepFailed):
            quarantine.work(Settlements(tuple(pending)))
        assert quarantine.settled and sum(len(encode(one)) for one in quarantine.settled) < SIZE_MAX // 2
        answered = {one.request for one in quarantine.settled}
        pending, lives = [one for one in pending if one.request not in answered], lives + 1
    assert lives > 1


def test_what_comes_first_is_only_what_is_still_open() -> None:
    shown = ledger.shown(Counting(2), [kept(2, 1, after=["u:1"]), kept(3, 1, after=["u:2"])])
    assert [one.after for one in shown.transactions] == [(), ("u:2",)]


def test_an_entry_of_an_older_version_is_shown_as_far_as_it_goes() -> None:
    (one,) = ledger.shown(Counting(1), [ledger.Kept(7, "u:1", "open", {"why": "not_by_rows"})]).transactions
    assert (one.why, one.rows, one.seen, one.bar) == ("not_by_rows", (), "", "")


class Published:
    """An agent of db-a, whose cluster's desired record is at 9."""

    def __init__(self, primary: str = DB_A, data: bytes | None = b"") -> None:
        self.coordinator = FakeCoordinator()
        desired = encode(replace(STEADY, primary=primary, promotable=None))
        self.coordinator.nodes = {PATHS.desired: Stored(desired, 9)}
        if data is not None:
            self.coordinator.nodes[PATHS.kept] = Stored(data, 3)
        self.record = OpenRecord(DB_A, PATHS, self.coordinator)


def test_the_primarys_agent_publishes_under_the_record_that_names_it() -> None:
    published = Published()
    published.record.publish(WHAT)
    assert published.coordinator.get(Open, PATHS.kept) == WHAT
    assert published.coordinator.writes == [(Check(PATHS.desired, 9), SetData(PATHS.kept, encode(WHAT), 3))]
    published.record.publish(WHAT)
    assert len(published.coordinator.writes) == 1, "nothing has changed"
    published.record.publish(Open())
    assert published.coordinator.get(Open, PATHS.kept) == Open()


def test_nobody_else_does() -> None:
    published = Published(DB_B)
    with pytest.raises(StaleWrite, match="does not name db-a"):
        published.record.publish(WHAT)
    assert published.coordinator.writes == []


def test_a_primary_of_before_overwrites_nothing() -> None:
    published = Published()
    desired = published.coordinator.nodes[PATHS.desired]
    published.coordinator.slow = True

    def moved() -> None:
        published.coordinator.nodes[PATHS.desired] = replace(desired, version=10)

    published.coordinator.when_waiting = moved
    with pytest.raises(StaleWrite):
        published.record.publish(WHAT)
    assert published.coordinator.nodes[PATHS.kept].data == b""


@pytest.mark.parametrize("data", [b"", None], ids=["empty", "of an older version"])
def test_nothing_is_written_for_nothing(data: bytes | None) -> None:
    published = Published(data=data)
    published.record.publish(Open())
    assert published.coordinator.writes == []


def test_a_record_that_is_not_there_is_made_and_one_that_cannot_be_read_is_written_anew() -> None:
    made, anew = Published(data=None), Published(data=b"{")
    for one in (made, anew):
        one.record.publish(WHAT)
        assert one.coordinator.get(Open, PATHS.kept) == WHAT
    assert isinstance(made.coordinator.writes[0][1], Create)


class Part:
    """A node's part that has nothing to do."""

    def __init__(self, facts: Returning | Merging) -> None:
        self.facts = facts


class Decider:
    """Fails as often as it is told to, then answers everything that is pending."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.asked = failures, 0
        self.settled: tuple[Outcome, ...] = ()
        self.done = threading.Semaphore(0)

    def work(self, settlements: Settlements) -> None:
        self.asked += 1
        try:
            if self.asked <= self.failures:
                raise StepFailed("ZooKeeper is gone") if self.asked % 2 else CoordinatorUnavailable("gone")
            self.settled = tuple(Outcome(one.request, Ended.DONE, "done") for one in settlements.pending)
        finally:
            self.done.release()


MADE = Settlement("r1", Choice.DISCARD, 7, "u:1", "v1", "olga", "known")


def worker(decider: Decider, told: threading.Event, home: Path) -> RepairWorker:
    swap = Swap(home / "data", home)
    return RepairWorker(Part(Returning()), Part(Merging()), swap, told.set, decider)  # type: ignore[arg-type]


@pytest.mark.parametrize("failures", [0, 1])
def test_a_choice_is_taken_up_at_once_and_told_and_tried_again(
    tmp_path: Path, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.reconcile.worker.LOOK_S", 3600.0)
    decider, told = Decider(failures), threading.Event()
    working = worker(decider, told, tmp_path)
    thread = threading.Thread(target=working.run, daemon=True)
    thread.start()
    try:
        working.decide(Settlements((MADE,)))
        for _ in range(failures + 1):
            assert decider.done.acquire(timeout=60)  # it never looks by itself here
        assert told.wait(60)
        assert [one.request for one in working.settled] == ["r1"]
    finally:
        working.stop()
        thread.join(10)
    assert not thread.is_alive()


def test_a_node_without_power_carries_nothing_out(tmp_path: Path) -> None:
    decider = Decider()
    working = worker(decider, threading.Event(), tmp_path)
    working.decide(Settlements((MADE,)))
    working.decide(None)
    working.stop()
    working.run()
    assert decider.asked == 0


def test_an_agent_that_is_not_equipped_says_so_to_everybody_who_asks() -> None:
    undecided = Undecided()
    undecided.work(Settlements((MADE,)))
    (one,) = undecided.settled
    assert one.ended is Ended.FAILED and "mysql.rejoin" in one.answer


def test_the_note_of_a_choice_is_one_json_value() -> None:
    """By a server it is tested in tests/contract; here, that nothing of what a person typed leaves its place."""
    said: list[tuple[str, Sequence[object]]] = []

    class Noting(Counting):
        def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
            said.append((sql, arguments))
            return ()

    ledger.settle(Noting(0), replace(MADE, reason='it\'s "odd" %s', choice=Choice.APPLY, edits={"1": {"a": "b"}}))
    ((_, arguments),) = said
    assert arguments[0] == "applied"
    assert json.loads(str(arguments[1])) == {
        "request": "r1", "choice": "edit", "actor": "olga", "reason": "it's \"odd\" %s",
    }  # fmt: skip
