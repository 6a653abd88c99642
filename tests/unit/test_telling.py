"""What a report says of steps that cannot be done, and of time without a standby."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agents.converge import Action, Local
from agents.executor import STUCK, STUCK_S, Executor
from agents.lease import Power
from agents.look import Peer, Sight, copied, copied_from, follows_peer, login_due, repairing
from agents.reconcile.swap import SwapState
from agents.telling import Telling
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import (
    FAST,
    Cluster,
    HostFacts,
    Lease,
    Mode,
    Mysqld,
    Phase,
    Report,
    Role,
    Sync,
    goal_for,
)
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.returning import Rung, Stage
from tests.builders import DB_A, DB_B
from tests.fakes import FakeClock

PHASES = {
    Role.PREPARE: Phase.FENCING,
    Role.PRIMARY: Phase.PROMOTING,
    Role.HANDOVER: Phase.SWITCHING,
}


class Failing:
    def run(self, action: Action, order: object) -> None:
        raise StepFailed("the relay disk hangs")


class Quiet:
    arrival = None
    new = False

    def trouble(self) -> str:
        return ""

    def troubles(self) -> tuple[str, ...]:
        return ()

    def tail(self) -> None:
        return None

    def opened(self) -> None:
        return None


def sight(role: Role = Role.PREPARE, mode: Mode = Mode.SYNC, **changes: Any) -> Sight:
    cluster = Cluster(7, 42, DB_A, mode, PHASES[role], heir="me")
    base = Sight(
        node=DB_A,
        cluster=cluster,
        goal=goal_for(DB_A, cluster),
        policy=FAST,
        now=100.0,
        mysqld=Mysqld.RUNNING,
        incarnation="me",
        facts=None,
        fresh=True,
        power=Power(Lease(), None, gate_open=False, known=True),
        may_act=False,
        has_address=False,
        sync=Sync(),
        sync_readable=True,
        relaxed=False,
        armed_since=0.0,
        peer=Peer(),
        peer_address="192.0.2.12",
        channel_login=("kembar_repl", "NO"),
        login_after=0.0,
        peer_errant=GtidSet(),
        stalled_s=0.0,
        released_since=None,
        certify_after=0.0,
        refusals=(),
        reconcile=None,
        told_handover="",
        swap=SwapState(),
    )
    return replace(base, **changes)


class Node:
    def __init__(self) -> None:
        quiet = cast(Any, Quiet())
        self.clock = FakeClock()
        self.executor = Executor(Failing(), self.clock)
        self.telling = Telling(self.executor, quiet, quiet, quiet, self.clock, lambda facts: HostFacts())

    def fail(self, action: Action, times: int) -> None:
        order = cast(Any, type("Order", (), {"goal": sight().goal}))
        for _ in range(times):
            assert not self.executor.run((action,), order)

    def unable(self, role: Role, forgetful: str = "", **found: Any) -> str:
        local = Local(Mysqld.RUNNING, incarnation="me", **found)
        return self.telling.report(sight(role), local, Sync(), forgetful).unable


CLONING = Reconcile(9, 7, DB_A, Rung.CLONE, Stage.CLONE)


def following(**changes: Any) -> Sight:
    standby = replace(sight().goal, role=Role.STANDBY)
    return replace(sight(), **{"goal": standby, "reconcile": CLONING, "swap": SwapState(9), **changes})


def test_a_copy_takes_the_place_of_the_data_only_for_the_return_that_it_was_made_for():
    assert copied(following())
    assert not copied(following(swap=SwapState()))
    assert not copied(following(swap=SwapState(8)))
    assert not copied(following(reconcile=None))
    assert not copied(following(reconcile=replace(CLONING, stage=Stage.STOPPED)))
    assert not copied(following(reconcile=replace(CLONING, node=DB_B)))
    assert not copied(following(goal=sight(Role.PRIMARY).goal))  # what is here may be the only data


def test_a_swap_that_has_begun_is_finished_whatever_is_wanted_now():
    assert copied(following(swap=SwapState(8, begun=True), reconcile=None))


@pytest.mark.parametrize(
    ("source", "login", "follows", "due"),
    [
        (("192.0.2.12", 3306), ("kembar_repl", "YES", "/ca", "/cert", "/key", "YES"), True, False),
        (("192.0.2.13", 3306), ("kembar_repl", "YES", "/ca", "/cert", "/key", "YES"), False, False),
        (("192.0.2.13", 3306), ("kembar_repl", "NO"), False, False),  # every option is written anyway
        (("192.0.2.12", 3306), ("kembar_repl", "YES", "/old", "/cert", "/key", "YES"), True, True),
        (("192.0.2.12", 3306), ("kembar_repl", "NO"), True, True),
        (None, (), False, False),
    ],
)
def test_a_channel_is_seen_to_lead_to_the_peer_and_to_log_in_there_as_it_is_to(source, login, follows, due):
    """Else it would go on as it was configured when this node last was a standby."""
    wanted = ("kembar_repl", "YES", "/ca", "/cert", "/key", "YES")
    facts = cast(Any, SimpleNamespace(channel_source=source, channel_login=login, login_refused=False))
    sight = following(facts=facts, channel_login=wanted)
    assert (follows_peer(sight), login_due(sight)) == (follows, due)


def test_a_channel_that_is_not_let_in_is_given_the_password_of_now_and_not_again_for_a_while():
    """No server shows which one it has."""
    login = sight().channel_login
    facts = cast(Any, SimpleNamespace(channel_source=("192.0.2.12", 3306), channel_login=login, login_refused=True))
    assert login_due(following(facts=facts))
    assert not login_due(following(facts=facts, login_after=100.5))
    facts.channel_login = ("somebody", "NO")
    assert not login_due(following(facts=facts, login_after=100.5))  # a statement that fails is paced too


def test_a_node_that_is_repaired_holds_still_also_before_the_record_follows_a_new_epoch():
    """Else it would replicate in between, with rows that are half changed back."""
    assert repairing(following(reconcile=replace(CLONING, epoch=6)))
    assert not repairing(following(reconcile=replace(CLONING, stage=Stage.CLOSED)))


def test_what_was_cut_is_told_with_the_epoch_by_which_its_evidence_is_named():
    """The cut follows the epoch in which the node wrote, whichever it is now."""
    tail = {"epoch": 4, "incarnation": "me", "state": "cut", "gtids": "x:1"}
    memory = SimpleNamespace(opened=lambda: (4, "me"), tail=lambda: tail, trouble=lambda: "", new=False)
    quiet, executor = cast(Any, Quiet()), Executor(Failing(), FakeClock())
    telling = Telling(executor, quiet, quiet, cast(Any, memory), FakeClock(), lambda facts: HostFacts())
    local = Local(Mysqld.RUNNING, incarnation="me")
    told = telling.report(following(reconcile=None), local, Sync(), "")
    assert (told.epoch, told.cut, told.cut_in) == (7, "x:1", 5)
    assert telling.report(sight(Role.PRIMARY), local, Sync(), "").cut == ""


def test_a_copy_that_cannot_take_its_place_is_told():
    """Meanwhile mysqld is down, and nothing else would say why."""
    node = Node()
    node.fail(Action.SWAP_DATA, 1)
    local = Local(Mysqld.DEAD, copied=True)
    assert "swap_data: the relay disk hangs" in node.telling.report(following(), local, Sync(), "").troubles


@pytest.mark.parametrize("action", [Action.STOP_RECEIVER, Action.STOP_APPLIER, Action.WRITE_PROMOTION])
def test_a_step_of_the_takeover_that_keeps_failing_gives_the_power_back(action):
    node = Node()
    node.fail(action, 2)
    assert node.unable(Role.PREPARE) == ""
    node.fail(action, 1)
    assert "the relay disk hangs" in node.unable(Role.PREPARE)
    assert node.unable(Role.PRIMARY, opened=True, was_primary=True) == ""


def test_a_long_drain_is_waited_for():
    node = Node()
    node.fail(Action.DRAIN, 50)
    assert node.unable(Role.PREPARE) == ""


def test_a_handover_is_withdrawn_after_three_tries():
    node = Node()
    node.fail(Action.SET_READ_ONLY, 2)
    assert node.unable(Role.HANDOVER) == ""
    node.fail(Action.SET_READ_ONLY, 1)
    assert node.unable(Role.HANDOVER)


def test_an_epoch_that_cannot_be_remembered_is_not_taken_over():
    node = Node()
    assert node.unable(Role.PREPARE, "epoch.json: no space").startswith("memory")
    assert node.unable(Role.PRIMARY, "epoch.json: no space").startswith("memory")
    assert node.unable(Role.PRIMARY, "epoch.json: no space", opened=True, was_primary=True) == ""


@pytest.mark.parametrize(
    ("waiting", "fresh", "told"), [(True, True, 1.2), (False, True, 0.0), (True, False, 0.0)], ids=str
)
def test_only_a_server_that_answers_says_that_its_commits_wait_for_the_standby(waiting, fresh, told):
    """One that hangs had a commit waiting when it was last heard, as always under load: ASYNC would be recorded for
    it, and nobody could take over any more."""
    local = Local(Mysqld.RUNNING, commits_waiting=waiting)
    seen = sight(Role.PRIMARY, stalled_s=1.2, fresh=fresh)
    assert Node().telling.report(seen, local, Sync(), "").stalled_s == told


def test_a_copied_server_is_refused_and_its_primary_goes_on():
    """After a restart in place the primary would not open either, and nobody would serve."""
    identity = {"server_uuid": "u1", "server_id": "11", "auto_increment_offset": "1"}
    facts = cast(Any, SimpleNamespace(identity=identity))
    peer = Peer(Report(DB_B, identity={**identity, "server_id": "12", "auto_increment_offset": "2"}))
    assert copied_from(peer, Role.PRIMARY, facts) == ()
    (refusal,) = copied_from(peer, Role.STANDBY, facts)
    assert refusal.startswith("server_uuid=u1 on both nodes")


def test_a_step_that_fails_again_and_again_is_told_whatever_the_node_is():
    node, local = Node(), Local(Mysqld.RUNNING, incarnation="me")
    node.fail(Action.CONFIGURE_CHANNEL, STUCK - 1)
    assert not node.telling.report(following(), local, Sync(), "").troubles
    node.fail(Action.CONFIGURE_CHANNEL, 1)
    assert node.telling.report(following(), local, Sync(), "").troubles == ("configure_channel: the relay disk hangs",)
    node.clock.now += STUCK_S  # nobody wants that step any more
    assert not node.telling.report(following(), local, Sync(), "").troubles
