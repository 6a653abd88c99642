"""Where the cut goes, and each reason for not cutting at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agents.binlog.capture import capture
from agents.binlog.contents import Reason
from agents.binlog.logs import LogUnfit, files_after
from agents.binlog.truncate import Clean, Cut, Refusal, doubt, plan_cut
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import Goal, Mode, NodeName, Role, Sync, SyncState
from tests.unit.binlog_bytes import OWN, PEER, Log

NAME = "binlog.000007"
HELD = GtidSet.parse(f"{OWN}:1-12,{PEER}:1-900")


def planned(log: Log) -> Cut | Clean | Refusal:
    return plan_cut(NAME, log.bytes, HELD, OWN)


def filled(**options: object) -> Log:
    """Ten earlier transactions, and two in the file that the new primary holds."""
    log = Log(**({"previous": f"{OWN}:1-10"} | options))  # type: ignore[arg-type]
    log.rows(11)
    log.rows(12)
    return log


def test_a_tail_is_cut_where_its_first_transaction_begins() -> None:
    log = filled()
    at = log.rows(13)
    log.rows(14)
    assert planned(log) == Cut(NAME, len(log.bytes), at, f"{OWN}:13-14")


def test_a_half_written_end_goes_with_the_tail() -> None:
    log = filled()
    at = log.rows(13)
    log.rows(14)
    del log.data[-3:]
    assert planned(log) == Cut(NAME, len(log.bytes), at, f"{OWN}:13")


def test_nothing_is_cut_when_the_new_primary_holds_everything() -> None:
    assert planned(filled()) == Clean()
    assert planned(filled(in_use=False)) == Clean()


def test_a_half_written_transaction_alone_is_left_to_mysqld() -> None:
    """Its recovery takes it off by itself."""
    log = filled()
    log.begin(13)
    log.query("BEGIN")
    assert planned(log) == Clean()


def closed(log: Log) -> None:
    log.data[4 + 17] &= ~1
    log.rows(13)
    log.event(3)


def earlier(log: Log) -> None:
    log.__init__(previous=f"{OWN}:1-13")  # type: ignore[misc]
    log.rows(14)


def interleaved(log: Log) -> None:
    log.rows(13)
    log.rows(7, PEER)


def foreign(log: Log) -> None:
    log.rows(901, PEER)


def ddl(log: Log) -> None:
    log.rows(13)
    log.begin(14)
    log.query("CREATE TABLE shop.new (id INT PRIMARY KEY)")


def account(log: Log) -> None:
    log.begin(13)
    log.query("CREATE USER 'eve'@'%' IDENTIFIED WITH 'x' AS '$A$secret'")


def create_select(log: Log) -> None:
    log.begin(13)
    log.query("BEGIN")
    log.query("CREATE TABLE shop.new (id INT) START TRANSACTION")
    log.event(30, b"row")
    log.event(16, bytes(8))


def other_engine(log: Log) -> None:
    log.begin(13)
    log.query("BEGIN")
    log.event(30, b"row")
    log.query("COMMIT")


def xa(log: Log) -> None:
    log.begin(13)
    log.query("XA START X'61',X'',1")
    log.event(38, bytes(20))


def packed(log: Log) -> None:
    log.begin(13)
    log.query("BEGIN")
    log.event(40, b"compressed")
    log.event(16, bytes(8))


def disordered(log: Log) -> None:
    log.rows(13)
    log.sequence -= 1
    log.rows(14)


def damaged(log: Log) -> None:
    at = log.rows(13)
    log.data[at + 30] ^= 1


def loose(log: Log) -> None:
    log.rows(13)
    log.event(30, b"row")


def nested(log: Log) -> None:
    log.begin(13)
    log.begin(14)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (closed, "was closed"),
        (earlier, f"files before {NAME} hold {OWN}:13"),
        (interleaved, f"holds {PEER}:7, and not {OWN}:13 before it"),
        (foreign, "of another server"),
        (ddl, r"is a statement \(CREATE TABLE\)"),
        (account, r"is a statement \(CREATE USER\)"),
        (create_select, r"is a statement \(CREATE TABLE\)"),
        (other_engine, "an engine without transactions"),
        (xa, "is an XA transaction"),
        (packed, "event of type 40"),
        (disordered, "out of commit order"),
        (damaged, "wrong checksum"),
        (loose, "outside of a transaction"),
        (nested, "begins within"),
    ],
)
def test_a_doubtful_file_is_left_as_it_is(spoil: Callable[[Log], None], why: str) -> None:
    log = filled()
    spoil(log)
    found = planned(log)
    assert isinstance(found, Refusal)
    assert re.search(why, found.why), found.why
    assert "secret" not in found.why


def test_savepoints_are_no_doubt() -> None:
    log = filled()
    at = log.begin(13)
    log.query("BEGIN")
    log.query("SAVEPOINT `one`")
    log.event(30, b"row")
    log.event(16, bytes(8))
    assert planned(log) == Cut(NAME, len(log.bytes), at, f"{OWN}:13")


# --- what the records must show ---------------------------------------------------------------

OPENED = (6, f"{OWN}/boot/100/200/0")
HEIR = f"{PEER}/boot/300/400/0"
GOAL = Goal(Role.RETURNING, Mode.ASYNC, epoch=7, seq=50, primary=NodeName("db-b"), heir=HEIR, promotable=None)
ARMED = Sync(SyncState.ARMED, epoch=6, incarnation=OPENED[1], token="t", standby=HEIR, executed=f"{OWN}:1-5")


def test_a_certified_takeover_of_an_armed_primary_leaves_no_doubt() -> None:
    assert doubt(OPENED, GOAL, ARMED, HELD) == ""


@pytest.mark.parametrize(
    ("goal", "sync", "why"),
    [
        (replace(GOAL, epoch=8), ARMED, "does not follow"),
        (replace(GOAL, heir=None), ARMED, "certified takeover"),  # F6 and adopt accept loss
        (replace(GOAL, heir="other"), ARMED, "not the one that acknowledged"),
        (GOAL, replace(ARMED, state=SyncState.RELAXED), "relaxed"),
        (GOAL, replace(ARMED, state=SyncState.DEGRADED), "degraded"),
        (GOAL, Sync(), "none"),
        (GOAL, replace(ARMED, epoch=5), "did not all wait"),
        (GOAL, replace(ARMED, incarnation="before the restart in place"), "did not all wait"),
        (GOAL, replace(ARMED, executed=f"{OWN}:1-13"), f"lacks {OWN}:13"),
    ],
)
def test_each_missing_premise_is_named(goal: Goal, sync: Sync, why: str) -> None:
    assert why in doubt(OPENED, goal, sync, HELD)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"./binlog.000001\0\0\0\n", b"./binlog.000009\n"])
def test_an_index_that_is_damaged_is_refused_and_ends_no_agent(tmp_path: Path, content: bytes) -> None:
    index = tmp_path / "binlog.index"
    index.write_bytes(content)
    with pytest.raises(StepFailed, match=r"binlog\.index"):
        capture(tmp_path, tmp_path / "evidence", index, 7, HELD, OWN)
    with pytest.raises(LogUnfit) as unfit:
        files_after(tmp_path, index, HELD)
    assert unfit.value.reason is Reason.BINLOG_MISSING
