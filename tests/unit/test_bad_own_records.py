"""An agent whose own records cannot be read any more: power ends in time, and what it alone writes is written anew."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_lease_keeper import DESIRED, EPOCH, OWNER, PATH, TTL, A, H, Host
from test_steps import SYNC, Hands

from agents.converge import Action, Local, converge
from agents.invariants import check_plan
from orchestrator.coordination.records import readable
from orchestrator.core.errors import StepFailed
from orchestrator.core.model import Goal, Lease, LeaseState, Mode, Mysqld, Role, Sync, SyncState
from orchestrator.core.ports import Stored
from orchestrator.core.wire import decode, encode
from tests.builders import DB_A, DB_B
from tests.garbage import KINDS, instead_of

HELD = encode(Lease(LeaseState.HELD, EPOCH, OWNER, 5, gate_open=True))


def overwrite(host: Host, data: bytes) -> None:
    host.coordinator.nodes[PATH] = Stored(data, host.version + 1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(garbage=instead_of(HELD))
def test_a_lease_that_cannot_be_read_ends_power_by_the_horizon_and_no_thread(garbage):
    assume(garbage is None or readable(Lease, Stored(garbage, 0)) is None)
    host = Host()
    host.take()
    host.open()
    host.run(1.0)
    assert host.gate.is_open()
    if garbage is None:
        del host.coordinator.nodes[PATH]
    else:
        overwrite(host, garbage)
    host.run(A + 2 * TTL, every_s=H)
    assert not host.gate.is_open() and not host.keeper.may_act()
    assert PATH in host.keeper.power().trouble


def test_it_ends_power_at_once_where_a_renewal_hears_of_it():
    """It may be the leader's revoke that stood there a moment before."""
    host = Host()
    host.take()
    host.open()
    host.run(1.0)
    overwrite(host, b"{")
    host.run(3 * H)
    assert not host.gate.is_open()
    assert host.keeper.power().lease.state is LeaseState.REVOKED


def test_taken_again_under_the_desired_record_it_serves_again():
    host = Host()
    host.take()
    host.open()
    overwrite(host, b"{")
    host.run(3 * H)
    host.take()
    host.open()
    assert host.gate.is_open() and host.stored.state is LeaseState.HELD and host.stored.epoch == EPOCH
    assert host.keeper.power().trouble == ""


def test_a_keeper_that_holds_nothing_finds_out_too_and_its_word_makes_it_whole():
    """Else a standby's lease would stay unreadable, and hold up every failover, until it is taken."""
    host = Host()
    host.run(1.0)
    overwrite(host, b"\xff")
    host.run(3.0)
    assert host.keeper.power().lease.state is LeaseState.REVOKED
    host.ask(lambda: host.keeper.release("superseded", epoch=EPOCH))
    assert host.stored.state is LeaseState.RELEASED
    host.run(3.0)
    assert host.keeper.power().trouble == ""


def test_a_release_after_it_counts_for_the_present_epoch():
    """It may have been held in it: a leader that read another epoch would give the power back over what was written."""
    host = Host(stored=Lease())
    overwrite(host, b"{")
    host.run(1.0)
    host.ask(lambda: host.keeper.release("exited", epoch=EPOCH))
    assert host.stored.epoch == EPOCH


def test_a_release_of_a_lease_that_is_known_keeps_its_epoch():
    host = Host(stored=Lease(LeaseState.RELEASED, 3))
    host.run(1.0)
    host.ask(lambda: host.keeper.release("superseded", epoch=EPOCH))
    assert host.stored.epoch == 3


def test_a_lease_that_is_gone_is_named_and_one_that_is_made_again_is_taken():
    host = Host()
    host.take()
    host.open()
    kept = host.coordinator.nodes.pop(PATH)
    host.run(A + 2 * TTL)
    assert not host.gate.is_open() and "does not exist" in host.keeper.power().trouble
    with pytest.raises(StepFailed, match="does not exist"):
        host.take()
    host.coordinator.nodes[PATH] = Stored(encode(Lease()), 0)
    assert kept.version > 0
    host.run(1.0)
    host.take()
    host.open()
    assert host.gate.is_open() and host.coordinator.nodes[DESIRED].version == 0


@pytest.mark.parametrize("garbage", KINDS.values(), ids=KINDS)
def test_a_sync_record_that_cannot_be_read_proves_nothing_and_is_withdrawn(garbage):
    """It may have said relaxed: neither a promotion nor a relaxing statement may rest on what it said before."""
    hands = Hands()
    hands.see()
    hands.run(Action.RECORD_RELAXED)
    assert hands.steps.relaxed(7)
    version = hands.coordinator.nodes[SYNC].version + 1
    hands.coordinator.nodes[SYNC] = Stored(garbage, version)
    assert hands.steps.see_sync(None, version) == Sync()
    assert not hands.steps.relaxed(7) and not hands.steps.sync_readable
    hands.run(Action.WITHDRAW)
    assert hands.stored.state is SyncState.NONE and hands.steps.sync_readable
    assert decode(Sync, hands.coordinator.nodes[SYNC].data).epoch == 7


SERVING = Local(
    Mysqld.RUNNING, "db-a/1", lease_held=True, lease_open=True, gate_open=True, said_open=True, has_address=True,
    offline=False, read_only=False, locked=False, source_on=True, requires_ack=True, opened=True, was_primary=True,
)  # fmt: skip
FOLLOWING = Local(
    Mysqld.RUNNING, "db-a/1", offline=False, receiving=True, applying=True, follows_peer=True, errant=False
)


@given(mode=st.sampled_from(Mode))
def test_both_roles_withdraw_it_first_and_go_on_serving(mode):
    for role, local in ((Role.PRIMARY, SERVING), (Role.STANDBY, FOLLOWING), (Role.RETURNING, FOLLOWING)):
        primary = DB_A if role is Role.PRIMARY else DB_B
        goal = Goal(role, mode, 7, 42, primary, None, None)
        assert converge(goal, replace(local, sync_unreadable=True)) == (Action.WITHDRAW,)


def test_a_primary_whose_agent_has_forgotten_everything_serves_again_in_an_epoch_in_which_it_has_opened():
    """Its incarnation is another, as its counter is drawn anew; nobody is to take over, nobody else has its data."""
    forgotten = replace(SERVING, incarnation="another", opened=False, was_primary=False, lease_held=False,
                        gate_open=False, said_open=False, armed=False, promoted=False)  # fmt: skip
    for settled in (True, False):
        goal = Goal(Role.PRIMARY, Mode.ASYNC, 7, 42, DB_A, "db-a/1", None, settled=settled)
        actions = converge(goal, forgotten)
        check_plan(goal, forgotten, actions)
        assert (Action.TAKE_LEASE in actions and Action.OPEN_GATE in actions) is settled
