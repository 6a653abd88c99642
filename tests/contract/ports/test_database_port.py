"""What the loops believe of mysqld, its replication and its semi-sync (docs/safety.md 6), whatever stands for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from agents.dialect import channel_login
from orchestrator.core.errors import DatabaseUnavailable, KembarError, StepFailed
from orchestrator.core.gtid import GtidSet
from tests.contract.ports.databases import Pair, Server, answers
from tests.contract.ports.pace import Call, eventually, within


def executed(server: Server) -> GtidSet:
    return GtidSet.parse(server.database.executed())


def held(server: Server) -> GtidSet:
    return server.database.facts().held


def waiting(pair: Pair) -> int:
    return pair.primary.database.facts().wait_sessions


@contextmanager
def stalled(pair: Pair, value: int) -> Iterator[Call]:
    """A client whose commit waits for a frozen standby."""
    pair.primary.database.semisync.require_ack()
    with pair.standby.frozen():
        commit = pair.pace.begin(lambda: pair.primary.insert(value))
        eventually(pair.pace, lambda: waiting(pair) == 1, 5)
        yield commit


# --- facts and power


def test_facts_of_both_sides(pair: Pair) -> None:
    primary, standby = pair.primary.database.facts(), pair.standby.database.facts()
    assert primary.writable and primary.durable and primary.channel_source is None
    assert not (primary.receiver_running or primary.requires_ack or primary.wait_sessions)
    assert not standby.writable and standby.channel_source is not None
    assert standby.receiver_connected and standby.applier_running and standby.replica_side_on
    assert standby.server_uuid != primary.server_uuid


def test_it_starts_fenced(pair: Pair) -> None:
    pair.restart(pair.standby)
    facts = pair.standby.database.facts()
    assert facts.offline and facts.read_only and facts.super_read_only
    assert not (facts.receiver_running or facts.applier_running or facts.source_on)
    assert facts.channel_source is not None, "the channel stays configured"


def test_a_heartbeat_of_the_channel_shows_as_an_arrival(pair: Pair) -> None:
    """The standby's age of the last arrival is one of the two signals of a failover."""
    before = pair.standby.database.facts().arrivals
    eventually(pair.pace, lambda: pair.standby.database.facts().arrivals != before, 3)


def test_what_is_committed_is_replicated(pair: Pair) -> None:
    pair.primary.insert(1)
    pair.primary.database.heartbeat("db-a", 1)
    assert pair.standby.database.await_executed(pair.primary.database.executed(), 30)
    assert pair.primary.values() == pair.standby.values() == {1}


def test_read_only_stops_writes_and_is_undone(pair: Pair) -> None:
    pair.primary.database.set_read_only(kill_blockers=False)
    facts = pair.primary.database.facts()
    assert facts.read_only and facts.super_read_only
    with pytest.raises(StepFailed, match="1290"):
        pair.primary.insert(1)
    pair.primary.database.set_writable()
    pair.primary.insert(2)
    assert pair.primary.values() == {2}


def test_offline_mode_refuses_clients_and_not_the_agent(pair: Pair) -> None:
    pair.primary.database.set_offline(True)
    with pytest.raises(KembarError):
        pair.primary.insert(1)
    assert pair.primary.database.facts().offline
    pair.primary.database.set_offline(False)
    pair.primary.insert(2)


def test_offline_mode_of_a_source_ends_its_replication(pair: Pair) -> None:
    """Right on a node that is fenced; a source has to be online, also before it is writable."""
    pair.primary.database.set_offline(True)
    eventually(pair.pace, lambda: not pair.standby.database.facts().receiver_connected, 5)
    assert pair.standby.database.facts().receiver_running
    pair.primary.database.set_offline(False)
    eventually(pair.pace, lambda: pair.standby.database.facts().receiver_connected, 5)


def test_read_only_behind_a_client_that_may_not_be_killed_fails_and_changes_nothing(pair: Pair) -> None:
    """A switchover waits for clients; it does not end them."""
    with pair.primary.locked():
        within(pair.pace, 1.3, lambda: refuses_read_only(pair, kill=False, tries=1))
        assert pair.primary.database.facts().writable


def refuses_read_only(pair: Pair, *, kill: bool, tries: int) -> None:
    with pytest.raises(StepFailed):
        pair.primary.database.set_read_only(kill_blockers=kill, tries=tries)


def test_a_demotion_kills_the_client_in_its_way(pair: Pair) -> None:
    with pair.primary.locked():
        within(pair.pace, 3.3, lambda: pair.primary.database.set_read_only(kill_blockers=True))
        assert pair.primary.database.facts().super_read_only


def test_a_frozen_server_gives_no_answer_and_is_there_again(pair: Pair) -> None:
    database = pair.primary.database
    with pair.primary.frozen():
        for call in (database.facts, database.executed, lambda: database.heartbeat("db-a", 1)):
            within(pair.pace, 2.0, lambda call=call: fails(call))
    eventually(pair.pace, lambda: answers(pair.primary), 5)
    assert database.facts().writable


def fails(call: Callable[[], object]) -> None:
    with pytest.raises((DatabaseUnavailable, StepFailed)):
        call()


def test_a_statement_whose_caller_gave_up_may_still_take_effect(pair: Pair) -> None:
    """So every step reads back what it did, and ends the statements of earlier ones before it counts on something."""
    with pair.primary.frozen():
        fails(lambda: pair.primary.database.set_offline(True))
    eventually(pair.pace, lambda: answers(pair.primary) and pair.primary.database.facts().offline, 5)
    pair.primary.database.set_offline(False)


# --- replication


def test_the_receiver_stops_also_when_its_source_is_frozen(pair: Pair) -> None:
    """The write fence of a promotion must not depend on the node that is fenced."""
    with pair.primary.frozen():
        within(pair.pace, 1, pair.standby.database.channel.stop_receiver)
        facts = pair.standby.database.facts()
        assert not facts.receiver_running and facts.applier_running


def test_both_threads_stop_and_the_channel_and_what_it_received_stay(pair: Pair) -> None:
    pair.primary.insert(1)
    assert pair.standby.database.await_executed(pair.primary.database.executed(), 30)
    before = pair.standby.database.facts()
    pair.standby.database.channel.stop()
    facts = pair.standby.database.facts()
    assert not (facts.receiver_running or facts.receiver_connected or facts.applier_running)
    assert (facts.channel_source, facts.received) == (before.channel_source, before.received) and facts.received


def test_what_was_received_waits_for_the_applier(pair: Pair) -> None:
    """Received and acknowledged is not executed: a promotion drains first."""
    pair.standby.stop_applier()
    pair.primary.insert(1)
    eventually(pair.pace, lambda: executed(pair.primary) <= held(pair.standby), 5)
    pair.standby.database.channel.stop_receiver()
    wanted = str(held(pair.standby))
    assert not pair.standby.database.await_executed(wanted, 0.2)
    assert pair.standby.values() == set() and pair.standby.database.facts().backlog
    pair.standby.database.channel.start_applier()
    assert pair.standby.database.await_executed(wanted, 30)
    assert pair.standby.values() == {1} and not pair.standby.database.facts().backlog
    assert not pair.standby.database.facts().receiver_running


def test_waiting_for_a_set_ends_in_time(pair: Pair) -> None:
    missing = f"{pair.primary.database.facts().server_uuid}:1-999999"
    within(pair.pace, 1.5, lambda: is_late(pair, missing))


def is_late(pair: Pair, gtid_set: str) -> None:
    assert not pair.standby.database.await_executed(gtid_set, 0.2)


def test_configuring_the_channel_throws_away_what_was_not_applied(pair: Pair) -> None:
    """Acknowledged transactions too: hence the new incarnation before it (I12)."""
    before = acknowledged_and_not_applied(pair)
    pair.standby.database.channel.stop()
    pair.follow(pair.standby)
    assert not before <= held(pair.standby)
    assert pair.standby.values() == set()
    pair.standby.database.channel.start()
    assert pair.standby.database.await_executed(str(before), 30)


def test_the_login_of_a_channel_changes_while_what_was_received_is_applied(pair: Pair) -> None:
    """Nothing that was acknowledged is thrown away, and nobody who reads there is sent away."""
    user, password, tls = pair.login
    channel, before = pair.standby.database.channel, pair.standby.database.facts()
    with pytest.raises(StepFailed, match="3021"):
        channel.change_login("somebody", password, tls)
    channel.stop_receiver()
    channel.change_login("somebody", password, tls)
    changed = pair.standby.database.facts()
    assert changed.channel_login == channel_login("somebody", tls) and changed.channel_source == before.channel_source
    assert changed.applier_running and (changed.received, changed.held) == (before.received, before.held)
    channel.change_login(user, password, tls)
    channel.start()
    eventually(pair.pace, lambda: pair.standby.database.facts().receiver_connected, 30)
    pair.primary.insert(1)
    assert pair.standby.database.await_executed(pair.primary.database.executed(), 30)


def test_a_login_with_another_password_is_refused_until_it_is_changed_again(pair: Pair) -> None:
    """Its number is all that an agent has to go by: which password a channel has is shown by no server."""
    user, password, tls = pair.login
    channel, before = pair.standby.database.channel, pair.standby.database.facts()
    channel.stop_receiver()
    channel.change_login(user, "of before", tls)
    channel.start()
    eventually(pair.pace, lambda: pair.standby.database.facts().login_refused, 30)
    facts = pair.standby.database.facts()
    assert facts.channel_login == before.channel_login and facts.receiver_running and not facts.receiver_connected
    channel.stop_receiver()
    channel.change_login(user, password, tls)
    channel.start()
    eventually(pair.pace, lambda: pair.standby.database.facts().receiver_connected, 30)
    assert not pair.standby.database.facts().login_refused


def test_another_login_throws_away_what_was_not_applied_once_the_applier_has_stopped_too(pair: Pair) -> None:
    before = acknowledged_and_not_applied(pair)
    pair.standby.database.channel.stop()
    pair.standby.database.channel.change_login(*pair.login)
    assert not before <= held(pair.standby)
    pair.standby.database.channel.start()
    assert pair.standby.database.await_executed(str(before), 30)


def acknowledged_and_not_applied(pair: Pair) -> GtidSet:
    pair.primary.database.semisync.require_ack()
    pair.standby.stop_applier()
    pair.primary.insert(1)
    after = executed(pair.primary)
    assert after <= held(pair.standby)
    pair.primary.database.semisync.relax()
    return after


def test_a_restart_throws_away_what_was_not_applied(pair: Pair) -> None:
    """Relay log recovery, acknowledged transactions too: another incarnation (I12)."""
    before = acknowledged_and_not_applied(pair)
    pair.restart(pair.standby)
    facts = pair.standby.database.facts()
    assert not before <= facts.held and GtidSet.parse(facts.received) <= GtidSet.parse(facts.executed)
    assert pair.standby.values() == set()
    pair.standby.database.channel.start()
    assert pair.standby.database.await_executed(str(before), 30)


def test_a_restart_keeps_what_was_applied(pair: Pair) -> None:
    pair.primary.insert(1)
    wanted = pair.primary.database.executed()
    assert pair.standby.database.await_executed(wanted, 30)
    pair.restart(pair.standby)
    assert GtidSet.parse(wanted) <= executed(pair.standby)
    assert pair.standby.values() == {1}


def test_an_errant_transaction_shows_in_the_executed_set(pair: Pair) -> None:
    pair.standby.insert_errant(7)
    errant = executed(pair.standby) - executed(pair.primary)
    own = pair.standby.database.facts().server_uuid
    assert list(errant.intervals) == [own]
    assert pair.standby.values() == {7} and pair.primary.values() == set()


# --- semi-sync


def test_an_acknowledged_commit_has_been_received(pair: Pair) -> None:
    """Before its client is told (I2); a heartbeat that returned says the same."""
    pair.primary.database.semisync.require_ack()
    for number in range(10):
        pair.primary.insert(number)
        assert executed(pair.primary) <= held(pair.standby)
        pair.primary.database.heartbeat("db-a", number)
        assert executed(pair.primary) <= held(pair.standby)
    facts = pair.primary.database.facts()
    assert facts.requires_ack and facts.source_status_on and facts.wait_no_replica and facts.semisync_clients == 1
    assert pair.standby.database.facts().replica_status_on
    pair.primary.database.semisync.relax()


def test_a_commit_waits_for_a_frozen_standby_and_ends_with_its_answer(pair: Pair) -> None:
    """Binlogged and synced, and not visible: neither to others nor in the executed set."""
    before = executed(pair.primary)
    with stalled(pair, 1) as commit:
        pair.pace.sleep(1.0)
        assert commit.waiting
        assert executed(pair.primary) == before and pair.primary.values() == set()
    assert commit.ends_within(20) and commit.error is None
    assert pair.primary.values() == {1}
    pair.primary.database.semisync.relax()


def test_a_stopped_receiver_gives_no_acknowledgement(pair: Pair) -> None:
    """The write fence: whatever the primary does, it can report no commit any more."""
    pair.primary.database.semisync.require_ack()
    pair.standby.database.channel.stop_receiver()
    commit = pair.pace.begin(lambda: pair.primary.insert(1))
    eventually(pair.pace, lambda: waiting(pair) == 1, 5)
    pair.pace.sleep(1.0)
    assert commit.waiting
    assert pair.standby.values() == set()
    pair.standby.database.channel.start()
    assert commit.ends_within(20) and commit.error is None
    pair.primary.database.semisync.relax()


def test_a_timeout_of_0_alone_frees_nobody_who_waits(pair: Pair) -> None:
    """A later commit waits behind them."""
    with stalled(pair, 1) as commit:
        pair.primary.set_timeout_0()
        later = pair.pace.begin(lambda: pair.primary.insert(2))
        pair.pace.sleep(1.0)
        assert commit.waiting and later.waiting
        pair.primary.database.semisync.relax()
        assert commit.ends_within(20) and later.ends_within(20)
        assert (commit.error, later.error) == (None, None)
    assert pair.primary.values() == {1, 2}


def test_relaxing_reports_what_waits_as_committed(pair: Pair) -> None:
    before = pair.primary.database.facts().no_tx
    with stalled(pair, 1) as commit:
        pair.primary.database.semisync.relax()
        assert commit.ends_within(20) and commit.error is None
        facts = pair.primary.database.facts()
        assert not (facts.wait_sessions or facts.requires_ack or facts.source_on) and facts.no_tx > before
        pair.primary.insert(2)
    assert pair.primary.values() == {1, 2}


def test_relaxing_before_anything_waits_stalls_nobody(pair: Pair) -> None:
    pair.primary.database.semisync.require_ack()
    within(pair.pace, 0.3, pair.primary.database.semisync.relax)
    with pair.standby.frozen():
        within(pair.pace, 0.5, lambda: pair.primary.insert(1))
    facts = pair.primary.database.facts()
    assert not facts.requires_ack and facts.source_on


def test_the_source_side_is_not_switched_off_under_waiting_commits(pair: Pair) -> None:
    """OFF would report them as committed (I11)."""
    with stalled(pair, 1) as commit:
        with pytest.raises(StepFailed, match="wait for an acknowledgement"):
            pair.primary.database.semisync.source_off()
        assert commit.waiting
        pair.primary.database.semisync.relax()
        assert commit.ends_within(20)


def test_requiring_without_a_standby_fails_in_its_budget(pair: Pair) -> None:
    pair.standby.database.channel.stop()
    eventually(pair.pace, lambda: pair.primary.database.facts().semisync_clients == 0, 5)
    within(pair.pace, 1.0, lambda: needs_a_client(pair))


def needs_a_client(pair: Pair) -> None:
    with pytest.raises(StepFailed, match="clients 1"):
        pair.primary.database.semisync.require_ack(0.5)


def test_read_only_behind_a_stalled_commit_fails_and_changes_nothing(pair: Pair) -> None:
    """Neither offline mode nor KILL frees a commit that waits for the standby: the caller ends the server instead.

    Its client learns no more than that the connection broke.
    """
    with stalled(pair, 1) as commit:
        pair.primary.database.set_offline(True)
        within(pair.pace, 3.5, lambda: refuses_read_only(pair, kill=True, tries=3))
        facts = pair.primary.database.facts()
        assert (facts.read_only, facts.super_read_only, facts.wait_sessions) == (False, False, 1)
        assert commit.ends_within(20) and commit.error is not None
        pair.primary.database.semisync.relax()


def test_a_killed_server_commits_the_stalled_tail_when_it_recovers(pair: Pair) -> None:
    """L8: never acknowledged, and readable after the start. Its client is told that the connection broke."""
    with stalled(pair, 1) as commit:
        before = executed(pair.primary)
        pair.primary.supervisor.kill()
        assert commit.ends_within(20) and commit.error is not None
        pair.restart(pair.primary)
        assert before <= executed(pair.primary) != before
        assert pair.primary.values() == {1}
        facts = pair.primary.database.facts()
        assert not facts.source_on and not facts.writable


def test_the_applier_of_a_standby_whose_source_side_is_on_waits_for_ever(pair: Pair) -> None:
    """It waits for an acknowledgement that nobody sends; only OFF frees it."""
    pair.standby.set_source_on()
    pair.primary.insert(1)
    wanted = pair.primary.database.executed()
    assert not pair.standby.database.await_executed(wanted, 1.0)
    pair.standby.set_timeout_0()
    assert not pair.standby.database.await_executed(wanted, 1.0)
    assert pair.standby.values() == set()
    pair.standby.database.semisync.relax()
    assert pair.standby.database.await_executed(wanted, 30)
    assert pair.standby.values() == {1}
