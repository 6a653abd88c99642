"""Who writes the record of a return, and when: the leader that has seen the newest desired record, and nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.coordination.paths import Paths
from orchestrator.core.history import Event
from orchestrator.core.kept import KeptTransaction, Open, Settlements
from orchestrator.core.ports import Check, Create, Seen, SetData, Stored
from orchestrator.core.reconcile import Merge, Reconcile
from orchestrator.core.requests import Kind, Request, RequestState
from orchestrator.core.return_events import with_choice
from orchestrator.core.returning import Ended, Merging, Outcome, Returning, Rung, Stage
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
        self.events: list[Event] = []
        self.reconciler = Reconciler(PATHS, self.coordinator, lambda: self.term_version, self.events.append)

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
        seen(DB_A, merging=merging, executed=f"{UUID_A}:1-{101 if record is not None and record.open else 100}"),
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


def test_counts_alone_are_not_written_again_at_once() -> None:
    """Each write of the record wakes both agents and every orchestrator: a merge would be slowed by its own news."""
    merging = replace(CLOSING, merge=Merge.RUNNING, verdicts={})
    told = Told(merging)

    def saw(record: Reconcile, version: int, merged: int, at: float) -> Look:
        one = look(record, version)
        assert one.situation is not None
        primary = one.situation.reports[DB_A]
        report = replace(primary.value, merging=Merging(42, "s", verdicts={"merged": merged}))
        reports = {**one.situation.reports, DB_A: replace(primary, value=report)}
        return replace(one, now=at, situation=replace(one.situation, reports=reports))

    first, written = saw(merging, 3, 1, NOW), replace(merging, verdicts={"merged": 1})
    record = told.after(first, saw(written, 4, 2, NOW + 0.5))
    assert record is not None and record.verdicts == {"merged": 1}
    record = told.after(saw(written, 4, 3, NOW + 1.5))
    assert record is not None and record.verdicts == {"merged": 3}


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


def test_a_report_has_as_many_choices_as_can_be_read_again() -> None:
    request = Request("r1", Kind.RECONCILE_DISCARD, DB_B, "щ" * 500, "olga", EPOCH, answer="щ" * 1000, returning=42)
    record = CLOSING
    for number in range(200):
        record = with_choice(record, replace(request, gtid=f"{UUID_A}:{number}"), 1)
    assert decode(Reconcile, encode(record)) == record
    assert [one.gtid.rpartition(":")[2] for one in record.settled[-2:]] == ["198", "199"]


def test_a_write_without_an_answer_is_tried_again() -> None:
    told = Told()
    told.coordinator.connected = False
    assert told.after(look()) is None
    told.coordinator.connected = True
    assert told.after(look()) is not None


def test_a_second_return_within_one_desired_record_has_another_number() -> None:
    closed = replace(CLOSING, id=41, stage=Stage.CLOSED, errant=f"{UUID_A}:90")  # and now there is more
    record = Told(closed).after(look(closed))
    assert record is not None and record.open and record.id == 43  # the primary's agent knows of 42: it was lost


def test_a_return_that_was_closed_and_opened_again_has_its_last_copy() -> None:
    told = Told(CLOSING)
    told.coordinator.nodes[PATHS.reconcile("42")] = Stored(b"of before", 5)
    record = told.after(look(CLOSING, **DONE))
    assert record is not None and not record.open
    assert decode(Reconcile, told.coordinator.nodes[PATHS.reconcile("42")].data) == record


GTID = f"{UUID_A}:101"
KEPT = Open(1, (KeptTransaction(42, GTID, "update_differs", seen="v1"),))
CHOSEN = Request("r1", Kind.RECONCILE_DISCARD, DB_B, "known", "olga", EPOCH, returning=42, gtid=GTID, seen="v1")
CLOSED = replace(CLOSING, stage=Stage.CLOSED)


class Chosen(Told):
    """A return that is over, and a person who chooses; its report is at 0, the decisions at 5."""

    def __init__(self, request: Request = CHOSEN, outcome: Outcome | None = None) -> None:
        super().__init__(CLOSED)
        self.request, self.outcome = request, outcome
        self.coordinator.put(PATHS.reconcile("42"), CLOSED)
        self.coordinator.put(PATHS.request("r1"), request)
        self.coordinator.nodes[PATHS.decisions] = Stored(b"", 5)

    def look(self, outcome: Outcome | None = None) -> Look:
        """At what is stored now, with what the primary's agent says."""
        nodes = self.coordinator.nodes
        report = seen(DB_A, settled=(outcome,) if outcome else ()).report
        situation = rejoining(seen(DB_B))
        decisions = nodes[PATHS.decisions]
        request = decode(Request, nodes[PATHS.request("r1")].data)
        situation = replace(
            situation,
            requests={"r1": Sighting(request, nodes[PATHS.request("r1")].version, NOW)},
            reports={**situation.reports, DB_A: Sighting(report, 1, NOW)},
            reconcile=Sighting(CLOSED, 3, NOW),
            kept=KEPT,
            settlements=Sighting(decode(Settlements, decisions.data), decisions.version, NOW)
            if decisions.data
            else None,
        )
        shown = {path: Seen(nodes[path], NOW) for path in (PATHS.returning, PATHS.decisions)}
        return Look(shown, NOW, True, situation, desired_version=9)

    def state(self) -> RequestState:
        return self.coordinator.get(Request, PATHS.request("r1")).state

    def pending(self) -> list[str]:
        return [one.request for one in self.coordinator.get(Settlements, PATHS.decisions).pending]

    def report(self) -> Reconcile:
        return self.coordinator.get(Reconcile, PATHS.reconcile("42"))


def test_a_choice_and_the_decisions_are_one_write() -> None:
    chosen = Chosen()
    chosen.after(chosen.look())
    (write,) = chosen.coordinator.writes
    assert [type(op) for op in write] == [Check, Check, SetData, SetData]
    assert (chosen.state(), chosen.pending()) == (RequestState.RUNNING, ["r1"])
    assert [(event.type, event.actor, event.reason) for event in chosen.events] == [
        ("reconcile.decided", "olga", "known")
    ]


def test_decisions_are_made_where_an_older_version_made_no_node_for_them() -> None:
    chosen = Chosen()
    looked = chosen.look()
    del chosen.coordinator.nodes[PATHS.decisions]
    chosen.after(replace(looked, seen={PATHS.returning: looked.seen[PATHS.returning]}))
    assert chosen.pending() == ["r1"]


def test_what_became_of_it_is_answered_kept_in_the_report_and_told() -> None:
    chosen = Chosen(replace(CHOSEN, state=RequestState.RUNNING))
    chosen.after(chosen.look(Outcome("r1", Ended.DONE, "it is discarded")))
    assert chosen.state() is RequestState.DONE
    (made,) = chosen.report().settled
    assert (made.gtid, made.choice, made.actor, made.reason, made.ended) == (GTID, "discard", "olga", "known", "done")
    assert [event.type for event in chosen.events] == ["reconcile.applied"]


@pytest.mark.parametrize("happened", [True, False])
def test_a_write_whose_answer_is_lost_gives_one_choice(happened: bool) -> None:
    chosen = Chosen()
    chosen.coordinator.slow = True
    chosen.coordinator.when_waiting = lambda: chosen.coordinator.lose(happened=happened)
    chosen.after(chosen.look())
    assert chosen.state() is (RequestState.RUNNING if happened else RequestState.REQUESTED)
    chosen.coordinator.slow, chosen.coordinator.when_waiting = False, lambda: None
    chosen.after(chosen.look())  # the next leader, or the same one
    chosen.after(chosen.look())
    assert (chosen.state(), chosen.pending()) == (RequestState.RUNNING, ["r1"])


def test_the_time_of_each_stage_is_kept_by_zookeepers_clock() -> None:
    told = Told(CLOSING)
    looked = look(CLOSING, **DONE)
    stored = replace(looked.seen[PATHS.returning].stored, modified_ms=5000)
    record = told.after(replace(looked, seen={PATHS.returning: Seen(stored, NOW)}))
    assert record is not None and record.began_ms == {"closed": 5000}


def test_what_a_return_came_to_is_told() -> None:
    opened, closed = Told(), Told(CLOSING)
    opened.after(look())
    closed.after(look(CLOSING, **DONE))
    assert [event.type for event in opened.events + closed.events] == ["reconcile.opened", "reconcile.closed"]
