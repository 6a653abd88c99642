"""Who writes the record of a return, and when: the leader that has seen the newest desired record, and nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.coordination.paths import Paths
from orchestrator.core.ports import Check, Create, Seen, SetData, Stored
from orchestrator.core.reconcile import Merge, Reconcile
from orchestrator.core.returning import Merging, Returning, Rung, Stage
from orchestrator.core.situation import Sighting
from orchestrator.core.wire import decode, encode
from orchestrator.loop import Look
from orchestrator.reconciler import Reconciler
from tests.builders import DB_A, DB_B, EPOCH, NOW, UUID_A, rejoining, seen
from tests.fakes import FakeCoordinator

PATHS = Paths("orders")
ERRANT = f"{UUID_A}:101"
CLOSING = Reconcile(
    42, EPOCH, DB_B, Rung.REWIND, Stage.VERIFY, Merge.DONE, ERRANT, sums="s", verdicts={"merged": 1}
)  # fmt: skip
DONE = {"returning": Returning(42, Stage.VERIFY, sums="s", errant=ERRANT), "executed": f"{UUID_A}:1-101"}


class Told:
    """A reconciler, and the ZooKeeper that it writes to; the leader's record is at 4, the desired one at 9."""

    def __init__(self, record: Reconcile | None = None, version: int = 3) -> None:
        self.coordinator = FakeCoordinator()
        stored = {PATHS.leader: (b"", 4), PATHS.desired: (b"", 9)}
        stored[PATHS.returning] = (encode(record) if record else b"", version)
        self.coordinator.nodes = {path: Stored(*one) for path, one in stored.items()}
        self.term_version: int | None = 4
        self.reconciler = Reconciler(PATHS, self.coordinator, lambda: self.term_version)

    def after(self, *looks: Look) -> Reconcile | None:
        """The record once it has taken these, one after the other."""
        for look in looks:
            self.reconciler.take(look)
        self.reconciler.stop()
        self.reconciler.run()
        data = self.coordinator.nodes[PATHS.returning].data
        return decode(Reconcile, data) if data else None


def look(record: Reconcile | None = None, version: int = 3, leading: bool = True, **standby: object) -> Look:
    told = {"token": "", "receiver_connected": False, "applier_running": False, "errant": ERRANT, **standby}
    merging = Merging(42, "s", done=True, verdicts={"merged": 1})
    situation = rejoining(
        seen(DB_A, merging=merging, executed=f"{UUID_A}:1-101"),
        seen(DB_B, **told),  # type: ignore[arg-type]
    )
    if record is not None:
        situation = replace(situation, reconcile=Sighting(record, version, NOW))
    stored = Stored(encode(record) if record else b"", version)
    return Look({PATHS.returning: Seen(stored, NOW)}, NOW, leading, situation, desired_version=9)


def test_a_return_is_opened_by_the_leader() -> None:
    record = Told().after(look())
    assert record is not None and (record.stage, record.errant, record.node) == (Stage.DETECT, ERRANT, DB_B)


def test_nobody_else_writes() -> None:
    assert Told().after(look(leading=False)) is None
    deposed = Told()
    deposed.term_version = None
    assert deposed.after(look()) is None


@pytest.mark.parametrize("moved", [PATHS.leader, PATHS.desired, PATHS.returning])
def test_a_look_that_is_older_than_what_is_there_writes_nothing(moved: str) -> None:
    told = Told()
    told.coordinator.nodes[moved] = Stored(b"", 77)
    assert told.after(look()) is None
    assert len(told.coordinator.writes) == 1  # and is refused


def test_a_look_from_before_its_own_write_is_not_tried() -> None:
    told = Told()
    assert told.after(look(), look()) is not None
    assert len(told.coordinator.writes) == 1


def test_nothing_is_written_while_nothing_changes() -> None:
    waiting = replace(CLOSING, merge=Merge.RUNNING, verdicts={"merged": 1})
    silent = look(waiting)
    assert silent.situation is not None
    reports = {**silent.situation.reports, DB_A: replace(silent.situation.reports[DB_A], value=seen(DB_A).report)}
    told = Told(waiting)
    assert told.after(replace(silent, situation=replace(silent.situation, reports=reports))) == waiting
    assert told.coordinator.writes == []


def test_a_closed_record_and_its_copy_are_one_write() -> None:
    told = Told(CLOSING)
    record = told.after(look(CLOSING, **DONE))
    assert record is not None and not record.open
    assert decode(Reconcile, told.coordinator.nodes[PATHS.reconcile("42")].data) == record
    (write,) = told.coordinator.writes
    assert [type(op) for op in write] == [Check, Check, SetData, Create]


def test_a_write_without_an_answer_is_tried_again() -> None:
    told = Told()
    told.coordinator.connected = False
    assert told.after(look()) is None
    told.coordinator.connected = True
    assert told.after(look()) is not None


def test_a_second_return_within_one_desired_record_has_another_number() -> None:
    closed = replace(CLOSING, id=41, stage=Stage.CLOSED)
    record = Told(closed).after(look(closed))
    assert record is not None and record.open and record.id == 42
