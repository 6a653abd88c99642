"""Orders within one action that a lost row would depend on: certification, and records by their version."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agents.binlog.capture import PLAN, TailState, capture
from agents.binlog.truncate import Cut, write_plan
from agents.converge import Action
from agents.steps import LOGIN_PAUSE_S, Order, Source, Steps
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import StaleWrite, StepFailed, UnknownOutcome
from orchestrator.core.model import Goal, Mode, Role, Sync, SyncState
from tests.builders import DB_A, DB_B, UUID_A
from tests.fakes import FakeClock, FakeCoordinator

PATHS = Paths("main")
SYNC, DESIRED = PATHS.sync(DB_A), PATHS.desired


class FakeServer:
    """A primary on which commits go on: each question counts one more, and each lets one go by itself."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.semisync = self
        self.no_tx = 0

    def require_ack(self) -> None:
        self.calls.append("require_ack")

    def relax(self) -> None:
        self.calls.append("relax")

    def executed(self) -> str:
        self.calls.append("executed")
        return f"{UUID_A}:1-9"

    def facts(self) -> FakeServer:
        self.calls.append("no_tx")
        return self

    def heartbeat(self, *_: object) -> None:
        self.calls.append("heartbeat")
        self.no_tx += 1

    def variables(self, names: tuple[str, ...]) -> dict[str, str]:
        return dict.fromkeys(names, "/data/binlog.index")


class FakeMemory:
    def tail(self) -> None:
        return None

    def write_tail(self, tail: object) -> None:
        return None


class Hands:
    def __init__(self) -> None:
        self.server, self.coordinator = FakeServer(), FakeCoordinator()
        self.coordinator.put(SYNC, Sync())
        self.coordinator.put(DESIRED, Sync())
        nobody = cast(Any, None)
        self.steps = Steps(
            DB_A, PATHS, self.coordinator, nobody, nobody, nobody, cast(Any, self.server), cast(Any, FakeMemory()),
            nobody, FakeClock(), 4, nobody, nobody,
        )  # fmt: skip

    def see(self) -> None:
        stored = self.coordinator.nodes[SYNC]
        self.steps.see_sync(self.coordinator.get(Sync, SYNC), stored.version)

    def run(self, action: Action, *, desired_version: int = 0) -> None:
        goal = Goal(Role.PRIMARY, Mode.ASYNC, 7, 42, DB_A, None, None)
        self.steps.run(action, Order(goal, desired_version, "db-a/1", standby="db-b/1"))

    @property
    def stored(self) -> Sync:
        return self.coordinator.get(Sync, SYNC)


def test_the_set_and_the_count_are_read_after_on_and_before_the_commit_that_proves_them():
    """A commit that was let go between the proof and a later count would never be missed."""
    hands = Hands()
    hands.see()
    hands.run(Action.CERTIFY)
    calls = hands.server.calls
    assert calls[0] == "require_ack" and calls[-1] == "heartbeat" and set(calls[1:-1]) == {"executed", "no_tx"}
    sync = hands.stored
    assert (sync.state, sync.epoch, sync.incarnation, sync.standby) == (SyncState.ARMED, 7, "db-a/1", "db-b/1")
    assert sync.executed == f"{UUID_A}:1-9" and sync.no_tx == 0 and sync.token


def test_each_certification_has_a_token_of_its_own():
    hands = Hands()
    hands.see()
    tokens = []
    for _ in range(2):
        hands.run(Action.CERTIFY)
        tokens.append(hands.stored.token)
    assert tokens[0] != tokens[1]


@pytest.mark.parametrize("action", [Action.CERTIFY, Action.RECORD_RELAXED, Action.RECORD_DEGRADED, Action.WITHDRAW])
def test_no_record_is_written_before_one_was_read(action):
    """ZooKeeper takes -1 for any version."""
    hands = Hands()
    with pytest.raises(StepFailed):
        hands.run(action)
    assert hands.stored == Sync()


@pytest.mark.parametrize("action", [Action.CERTIFY, Action.RECORD_RELAXED, Action.RECORD_DEGRADED, Action.WITHDRAW])
def test_a_record_that_somebody_else_wrote_is_not_overwritten(action):
    hands = Hands()
    hands.see()
    hands.coordinator.put(SYNC, Sync(token="another"))
    with pytest.raises(StaleWrite):
        hands.run(action)
    assert hands.stored.token == "another"


def test_relaxing_is_recorded_under_the_record_that_allows_it():
    """C5: whichever of promotion and relaxing commits first makes the other fail."""
    hands = Hands()
    hands.see()
    hands.coordinator.put(DESIRED, Sync())
    with pytest.raises(StaleWrite):
        hands.run(Action.RECORD_RELAXED)
    assert hands.stored == Sync()
    hands.run(Action.RECORD_RELAXED, desired_version=1)
    assert hands.stored.state is SyncState.RELAXED and "relax" not in hands.server.calls


def test_an_armed_write_of_unknown_outcome_leaves_nothing_relaxed():
    """A read still shows the relaxed record, yet the write may come later: only another write of ours ends that."""
    hands = Hands()
    hands.see()
    hands.run(Action.RECORD_RELAXED)
    assert hands.steps.relaxed(7)
    hands.coordinator.slow = True
    hands.coordinator.when_waiting = lambda: hands.coordinator.lose(happened=False)
    with pytest.raises(UnknownOutcome):
        hands.run(Action.CERTIFY)
    hands.coordinator.slow = False
    hands.see()
    assert not hands.steps.relaxed(7)
    before = hands.coordinator.nodes[SYNC].version
    hands.run(Action.RECORD_RELAXED)
    assert hands.steps.relaxed(7) and hands.coordinator.nodes[SYNC].version == before + 1


def test_a_new_agent_does_not_trust_the_relaxed_record_of_its_predecessor():
    hands = Hands()
    hands.coordinator.put(SYNC, Sync(SyncState.RELAXED, epoch=7))
    hands.see()
    assert not hands.steps.relaxed(7)
    before = hands.coordinator.nodes[SYNC].version
    hands.run(Action.RECORD_RELAXED)
    assert hands.steps.relaxed(7) and hands.coordinator.nodes[SYNC].version == before + 1


def test_withdrawing_asks_whether_the_node_is_still_primary():
    hands = Hands()
    hands.see()
    hands.coordinator.put(DESIRED, Sync())
    with pytest.raises(StaleWrite):
        hands.run(Action.WITHDRAW)
    assert hands.stored == Sync()


def test_a_cut_that_was_broken_off_is_finished_in_a_later_epoch(tmp_path: Path) -> None:
    """Else its numbers would be free, with nobody who knows of them."""
    evidence, log = tmp_path / "evidence", tmp_path / "binlog.000001"
    log.write_bytes(b"kept")
    (evidence / "5").mkdir(parents=True)
    write_plan(evidence / "5" / PLAN, Cut(log.name, len(b"kept and cut"), len(b"kept"), f"{UUID_A}:9"))
    tail = {"epoch": 4, "incarnation": f"{UUID_A}/1", "index": str(tmp_path / "binlog.index"), "state": TailState.ARMED}
    written: list[Mapping[str, object]] = []
    memory = SimpleNamespace(opened=lambda: None, tail=lambda: tail, write_tail=written.append)
    coordinator, nobody = FakeCoordinator(), cast(Any, None)
    coordinator.put(SYNC, Sync(SyncState.ARMED, epoch=4, incarnation=f"{UUID_A}/1"))
    steps = Steps(
        DB_A, PATHS, coordinator, nobody, nobody, nobody, nobody, cast(Any, memory),
        nobody, FakeClock(), 4, partial(capture, tmp_path, evidence), nobody,
    )  # fmt: skip
    goal = Goal(Role.RETURNING, Mode.ASYNC, 6, 42, DB_B, None, None)
    steps.run(Action.CAPTURE_TAIL, Order(goal, 0, "", primary_executed=f"{UUID_A}:1-8"))
    assert [(one["state"], one["gtids"]) for one in written] == [(TailState.CUT, f"{UUID_A}:9")]


class Channel:
    """A standby's; `backlog` is never executed."""

    def __init__(self, backlog: bool = False, fails: bool = False) -> None:
        self.channel, self.backlog, self.held = self, backlog, f"{UUID_A}:1-9"
        self.drawn, self.started, self.changed = 0, 0, list[tuple[str, str]]()
        self._fails = fails

    def facts(self) -> Channel:
        return self

    def await_executed(self, gtid_set: str, within_s: float) -> bool:
        assert gtid_set == self.held
        return False

    def draw_relay_counter(self) -> None:
        assert not self.changed
        self.drawn += 1

    def change_login(self, user: str, password: str, tls: object) -> None:
        if self._fails:
            raise StepFailed("no answer; it may still take effect")
        self.changed.append((user, password))

    def start(self) -> None:
        self.started += 1

    def tail(self) -> None:
        return None

    def steps(self) -> Steps:
        nobody, own = cast(Any, None), Source("192.0.2.12", 3306, "kembar_repl", "pa", None)
        return Steps(
            DB_B, PATHS, nobody, nobody, nobody, nobody, cast(Any, self), cast(Any, self), own, FakeClock(), 4,
            nobody, nobody,
        )  # fmt: skip


CHANGE = (Action.CHANGE_LOGIN, Order(Goal(Role.STANDBY, Mode.SYNC, 7, 42, DB_A, None, None), 0, "db-b/1"))


@pytest.mark.parametrize("backlog", [False, True])
def test_another_login_is_another_incarnation_only_if_something_received_may_be_lost(backlog):
    """I12: before the statement. The applier may end just then."""
    channel = Channel(backlog)
    channel.steps().run(*CHANGE)
    assert channel.changed == [("kembar_repl", "pa")] and channel.drawn == int(backlog)


@pytest.mark.parametrize("fails", [False, True])
def test_a_login_that_was_changed_or_could_not_be_is_left_alone_for_a_minute(fails):
    """While a primary refuses it, or the server the statement, ten tries a second would follow."""
    steps = Channel(fails=fails).steps()
    assert steps.login_after < 0
    with pytest.raises(StepFailed) if fails else nullcontext():
        steps.run(*CHANGE)
    assert steps.login_after == FakeClock().now + LOGIN_PAUSE_S >= FakeClock().now + 30


def test_a_channel_whose_login_could_not_be_changed_goes_on():
    """Its receiver has just been stopped, and a standby that is ahead of the primary's report is not let follow."""
    channel = Channel(fails=True)
    with pytest.raises(StepFailed):
        channel.steps().run(*CHANGE)
    assert channel.started == 1
