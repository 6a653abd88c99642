"""Whatever stands in a node of ZooKeeper: it is named, nothing that rests on it is decided, and nobody dies of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from monitoring.blocks import own, whole
from monitoring.view import view
from orchestrator.coordination.paths import Paths
from orchestrator.core.history import Recent
from orchestrator.core.model import (
    Cluster,
    LeaderRecord,
    LeaseState,
    Mode,
    Mysqld,
    Policy,
)
from orchestrator.core.ports import Seen as Copy
from orchestrator.core.ports import SetData, Stored
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import Kind, Pause, RequestState
from orchestrator.core.returning import Rung, Stage
from orchestrator.core.situation import Situation
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.wire import decode, encode
from orchestrator.loop import Look, Orchestrator
from orchestrator.showing import snapshot_of
from orchestrator.watching import Watching
from tests.builders import DB_A, DB_B, NOW, PAIR, STEADY, fencing, promoting, request, seen, situation, switching
from tests.fakes import FakeClock, FakeCoordinator
from tests.garbage import KINDS, instead_of

PATHS = Paths("main")
TERM_VERSION = 3
EXITED = seen(
    DB_A, lease={"state": LeaseState.RELEASED, "why": "exited"}, mysqld=Mysqld.DEAD, gate_open=False, writable=False
)
ABOUT_TO = {
    "F5": situation(EXITED),
    "F1": situation(seen(DB_A, lease_age_s=5.0, report_age_s=5.0), seen(DB_B, receiver_connected=False)),
    "F2": fencing(fenced_age_s=5.0),
    "F3": promoting(seen(DB_B, lease={"state": LeaseState.HELD, "epoch": 8, "gate_open": True}, epoch=8)),
    "F4": promoting(seen(DB_B, epoch=8, unable="incarnation: another", lease={"epoch": 3})),
    "F6": situation(
        seen(DB_A, gate_open=False, writable=False, mysqld=Mysqld.DEAD, report_age_s=9.0),
        mode=Mode.ASYNC,
        promotable=None,
        requests=(request(Kind.FAILOVER),),
    ),
    "S1": situation(requests=(request(),)),
    "S2": switching(seen(DB_A, lease={"state": LeaseState.RELEASED, "why": "handover"})),
    "S3": switching(phase_since=NOW - 60),
    "U1": situation(seen(DB_A, stalled_s=9.0), seen(DB_B, report_age_s=9.0, receiver_connected=False)),
    "U2": situation(mode=Mode.ASYNC, promotable=None),
    "U3": situation(seen(DB_B, incarnation="db-b/2")),
    "none": situation(),
}
OWN = {PATHS.lease(node): "lease" for node in PAIR} | {PATHS.sync(node): "sync" for node in PAIR}
DECIDED_ON = {
    PATHS.desired: "desired",
    PATHS.policy: "policy",
    PATHS.pause: "pause",
    PATHS.recent: "history",
    **OWN,
    **{PATHS.report(node): "report" for node in PAIR},
}
HARMLESS = {PATHS.leader: "leader", PATHS.request("r1"): "request", PATHS.returning: "return"}
CLOSED = Reconcile(30, 6, DB_B, Rung.TRUNCATE, Stage.CLOSED)  # of an earlier epoch
# What takes promotability away, relaxes what waits, or goes back to where the power was.
GIVES_NOBODY_POWER = {"", "U1", "U3", "S3", "F4", "R1"}


def records(s: Situation) -> dict[str, Copy]:
    """The situation as ZooKeeper holds it."""
    found: dict[str, Copy] = {}

    def put(path: str, value: object, version: int = 0, first_seen: float = NOW - 50) -> None:
        found[path] = Copy(Stored(encode(value), version, 0, 1000), first_seen)

    put(PATHS.desired, s.cluster, 40, s.phase_since)
    put(PATHS.leader, LeaderRecord(s.term, "o1"), TERM_VERSION)
    put(PATHS.policy, s.policy)
    put(PATHS.pause, Pause())
    put(PATHS.recent, Recent())
    put(PATHS.returning, CLOSED)
    put(PATHS.request("r0"), replace(request(), id="r0", state=RequestState.DONE))
    for path_of, sightings in ((PATHS.lease, s.leases), (PATHS.sync, s.syncs), (PATHS.report, s.reports)):
        for node, sighting in sightings.items():
            put(path_of(node), sighting.value, sighting.version, sighting.first_seen)
    for name, sighting in s.requests.items():
        put(PATHS.request(name), sighting.value)
    return found


class Leading:
    """The election of an orchestrator that leads."""

    def __init__(self) -> None:
        self.tenure: tuple[int, int] | None = (12, TERM_VERSION)

    def resign(self) -> None:
        self.tenure = None

    def recheck(self) -> None:
        return None


class Deciding:
    """An orchestrator that leads, with ZooKeeper in a dictionary."""

    def __init__(self, s: Situation) -> None:
        self.seen, self.clock, self.coordinator = records(s), FakeClock(NOW), FakeCoordinator()
        self.watching, self.looks = Watching(PATHS, PAIR), list[Look]()
        self.leading = leading = Leading()
        loop = Orchestrator(
            "o1", PATHS, PAIR, self.clock, self.coordinator, self, leading, self.watching, self.looks.append
        )
        self.tick_loop = loop.tick
        if s.cluster.fence is not None and s.fence_seen is not None:  # it has watched the lease since then
            fence = s.cluster.fence
            self.watching._lease_seen[fence.node][fence.lease_version] = s.fence_seen

    def snapshot(self) -> Mapping[str, Copy]:
        return dict(self.seen)

    def put(self, path: str, data: bytes | None) -> None:
        before = self.seen[path]
        if data is None:
            del self.seen[path]
        else:
            self.seen[path] = Copy(Stored(data, before.stored.version + 1, 0, 1000), self.clock.now)

    def tick(self) -> str:
        """The rule that was written; empty: none."""
        self.coordinator.nodes = {path: copy.stored for path, copy in self.seen.items()}
        self.coordinator.writes.clear()
        self.tick_loop()
        written = [op for ops in self.coordinator.writes for op in ops if isinstance(op, SetData)]
        return next((decode(Cluster, op.data).rule for op in written if op.path == PATHS.desired), "")

    def shown(self) -> Snapshot:
        return snapshot_of(self.looks[-1], self.watching, PATHS, self.clock, "o1", "192.0.2.100")


def as_people_see_it(snapshot: Snapshot) -> dict[str, Any]:
    """The view, once the page could be made of it."""
    shown = view(snapshot, 0.0, "2026-11-21T18:59:04.120Z")
    drawn = {node["name"]: "" for node in shown["nodes"]}
    page = "".join(whole(shown, drawn, own(shown, [], None)).values())
    page.encode()
    for one in shown["unreadable"]:
        assert one["path"] in page
    return shown


@pytest.mark.parametrize("rule", [rule for rule in ABOUT_TO if rule != "none"])
def test_with_whole_records_each_rule_is_written(rule):
    """Else the tests below would prove nothing."""
    assert Deciding(ABOUT_TO[rule]).tick() == rule


@pytest.mark.parametrize("rule", ABOUT_TO)
@pytest.mark.parametrize(("path", "record"), DECIDED_ON.items(), ids=DECIDED_ON)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_a_record_that_cannot_be_read_is_named_and_nobody_is_promoted_by_it(rule, path, record, data):
    deciding = Deciding(ABOUT_TO[rule])
    if data.draw(st.booleans(), label="it was readable before"):
        deciding.watching.situation(deciding.snapshot(), NOW, 0.0, 12)
    deciding.put(path, data.draw(instead_of(deciding.seen[path].stored.data), label="what stands there"))
    written = deciding.tick()
    look = deciding.looks[-1]
    assume(look.unreadable)
    assert [(str(one.record), one.path) for one in look.unreadable] == [(record, path)]
    may = set() if record == "desired" else GIVES_NOBODY_POWER | RESTS_NOT_ON.get(record, set())
    assert written in may | {""}
    shown = as_people_see_it(deciding.shown())
    assert shown["state"] != "healthy"
    named = shown["unreadable"][0]
    assert (named["record"], named["path"]) == (record, path) and named["why"] and named["next"]
    assert shown["finding"]["name"] in ("record_unreadable", "two_writers", "blind")
    assert shown["risk"]["automatic"] is not True


# What has begun, or what a person asked for, goes on where it rests on other records.
RESTS_NOT_ON = {
    "policy": {"F2", "F3", "F6"},
    "pause": {"F2", "F3", "F6", "S2", "U2"},
    "history": {"F2", "F3", "F6", "S2", "U2"},
    "lease": {"F2", "F3", "F6", "S2", "U2"},
    "sync": {"F2", "F3", "F6", "S2", "U2"},
    "report": {"F2", "F3", "F6", "S2"},
}
RESTS_ON = {
    "F2": PATHS.lease(DB_A),
    "F3": PATHS.lease(DB_B),
    "F4": PATHS.lease(DB_B),
    "F6": PATHS.lease(DB_A),
    "S2": PATHS.lease(DB_A),
    "U1": PATHS.report(DB_A),
    "U2": PATHS.sync(DB_A),
    "U3": PATHS.report(DB_B),
}


@pytest.mark.parametrize("garbage", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("rule", "path"), RESTS_ON.items(), ids=RESTS_ON)
def test_a_rule_waits_for_the_record_that_it_rests_on(rule, path, garbage):
    deciding = Deciding(ABOUT_TO[rule])
    whole = deciding.seen[path]
    deciding.watching.situation(deciding.snapshot(), NOW, 0.0, 12)
    deciding.put(path, garbage)
    assert deciding.tick() == ""
    deciding.seen[path] = Copy(replace(whole.stored, version=whole.stored.version + 2), whole.first_seen)
    if rule not in ("F2",):  # its version is what the wait counts from
        assert deciding.tick() == rule


@pytest.mark.parametrize(("path", "record"), HARMLESS.items(), ids=HARMLESS)
@pytest.mark.parametrize("garbage", KINDS.values(), ids=KINDS)
def test_what_nobody_is_promoted_by_holds_up_no_failover(path, record, garbage):
    deciding = Deciding(ABOUT_TO["F5"])
    deciding.seen[path] = Copy(Stored(garbage or b"{}", 9), NOW)
    assert deciding.tick() == "F5"
    shown = as_people_see_it(deciding.shown())
    assert [one["record"] for one in shown["unreadable"]] == [record]


def test_a_request_under_another_name_is_not_carried_out():
    """Its answer would go to the name that it gives itself, or nowhere, and it would be tried for ever."""
    deciding = Deciding(ABOUT_TO["F5"])
    forged = replace(request(Kind.FAILOVER), id="../desired")
    deciding.seen[PATHS.request("r7")] = Copy(Stored(encode(forged), 0), NOW)
    assert deciding.tick() == "F5"
    assert deciding.looks[-1].unreadable[0].path == PATHS.request("r7")


STRANGERS = {
    "a primary of another pair": {"primary": "db-z"},
    "an heir of another pair": {"promotable": {"node": "db-z", "incarnation": "db-z/1"}},
    "a fence of another pair": {"fence": {"node": "db-z", "lease_version": 1, "how": "waited"}},
}


@pytest.mark.parametrize("wrong", STRANGERS.values(), ids=STRANGERS)
def test_a_desired_record_that_names_strangers_cannot_be_read(wrong):
    """Both nodes would take the other one for the primary, and demote themselves."""
    deciding = Deciding(situation())
    data = json.dumps({**json.loads(deciding.seen[PATHS.desired].stored.data), **wrong}).encode()
    deciding.put(PATHS.desired, data)
    assert deciding.tick() == ""
    assert "db-z" in deciding.looks[-1].unreadable[0].why


CONTRADICTIONS = {
    "somebody is promotable in ASYNC": {"mode": "ASYNC"},
    "the primary is its own heir": {"promotable": {"node": "db-a", "incarnation": "db-a/1"}},
    "another primary in the same epoch": {"primary": "db-b", "promotable": None},
}


@pytest.mark.parametrize("wrong", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_desired_record_that_cannot_be_true_is_not_obeyed(wrong):
    """The first decision on it would break an invariant and end the process, again and again."""
    deciding = Deciding(ABOUT_TO["F5"])
    assert deciding.watching.situation(deciding.snapshot(), NOW, 0.0, 12).situation is not None
    deciding.put(PATHS.desired, json.dumps({**json.loads(deciding.seen[PATHS.desired].stored.data), **wrong}).encode())
    assert deciding.tick() == ""
    assert deciding.looks[-1].unreadable[0].why.startswith("I")


@pytest.mark.parametrize("rule", ABOUT_TO)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_desired_record_ends_the_orchestrator(rule, data):
    """Also one that can be read; what is decided on it passes every check of a step."""
    deciding = Deciding(ABOUT_TO[rule])
    deciding.watching.situation(deciding.snapshot(), NOW, 0.0, 12)
    deciding.put(PATHS.desired, data.draw(instead_of(deciding.seen[PATHS.desired].stored.data)))
    deciding.tick()
    as_people_see_it(deciding.shown())


def test_a_record_of_a_later_term_is_not_written_over():
    """Another leads, though we have not heard of it; or the record is wrong, and only a later term can say so."""
    deciding = Deciding(situation(EXITED, cluster=replace(STEADY, term=99)))
    assert deciding.tick() == "" and deciding.leading.tenure is None


def test_the_desired_record_is_given_back_as_it_was_last():
    """The command that a person is shown makes the pair whole again."""
    deciding = Deciding(ABOUT_TO["F5"])
    deciding.watching.situation(deciding.snapshot(), NOW, 0.0, 12)
    before = deciding.seen[PATHS.desired].stored.data
    deciding.put(PATHS.desired, b"{")
    assert deciding.tick() == ""
    told = as_people_see_it(deciding.shown())
    assert told["primary"] == DB_A  # as it was last
    assert f"zkCli.sh set {PATHS.desired} '{before.decode()}'" in told["next"]["text"]
    deciding.put(PATHS.desired, before)
    assert deciding.tick() == "F5"


def test_without_any_desired_record_the_finding_stands_alone():
    deciding = Deciding(situation())
    deciding.put(PATHS.desired, b"{")
    assert deciding.tick() == ""
    told = as_people_see_it(deciding.shown())
    assert (told["state"], told["primary"]) == ("unknown", None)
    assert told["finding"]["name"] == "record_unreadable"
    assert "kembar adopt" in told["next"]["text"]


def test_what_cannot_be_read_counts_as_a_pause_and_as_a_hold_down():
    """Somebody may have paused; there may have been failovers. Each has its own command that ends the doubt."""
    for path, shown_as, command in (
        (PATHS.pause, "paused", "kembar resume"),
        (PATHS.recent, "hold-down", "kembar ack --reason TEXT"),
    ):
        deciding = Deciding(ABOUT_TO["F5"])
        deciding.put(path, b"{")
        assert deciding.tick() == ""
        told = as_people_see_it(deciding.shown())
        assert told["auto_failover"] == shown_as and command in told["next"]["text"] and command in told["waiting"]


def test_a_policy_that_cannot_be_read_is_followed_as_it_was():
    policy = Policy(maintenance=(DB_B,))
    deciding = Deciding(situation(policy=policy, mode=Mode.ASYNC, promotable=None))
    deciding.watching.situation(deciding.snapshot(), NOW, 0.0, 12)
    deciding.put(PATHS.policy, b"")
    deciding.tick()
    found = deciding.looks[-1].situation
    assert found is not None and found.policy == policy


def test_commits_are_let_go_though_the_standby_cannot_be_judged():
    """An unreadable report is no loss by itself; after twice the time nobody asks any more."""
    deciding = Deciding(situation(seen(DB_A, stalled_s=1.1)))
    deciding.put(PATHS.report(DB_B), b"{")
    assert deciding.tick() == ""
    deciding = Deciding(situation(seen(DB_A, stalled_s=2.1)))
    deciding.put(PATHS.report(DB_B), b"{")
    assert deciding.tick() == "U1"
