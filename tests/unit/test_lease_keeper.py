"""The renewal thread, one pass at a time: what gives the gate its life, and everything that ends it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from agents.guard import Guard
from agents.lease import LeaseKeeper
from orchestrator.core.errors import CoordinatorUnavailable, GateRefused, StaleWrite, StepFailed, UnknownOutcome
from orchestrator.core.lease import Timing
from orchestrator.core.model import DEFAULT, FAST, Lease, LeaseState
from orchestrator.core.ports import Check, SetData
from orchestrator.core.wire import decode
from tests.builders import UUID_A
from tests.fakes import FakeClock, FakeCoordinator, FakeGate, FakeVip

PATH, DESIRED = "/kembar/main/lease/db-a", "/kembar/main/desired"
OWNER, EPOCH, LIFE = "db-a/o1", 7, "db-a/1"
A, TTL, H = DEFAULT.timing.authorised_s, DEFAULT.timing.gate_ttl_s, DEFAULT.timing.renew_every_s


class Host:
    """A keeper with everything around it. `ask` carries out a command in the keeper's next pass."""

    def __init__(self, timing: Timing = DEFAULT.timing, stored: Lease | None = None, *, gate_open: bool = False):
        self.clock, self.coordinator, self.vip = FakeClock(), FakeCoordinator(), FakeVip()
        self.gate = FakeGate(self.clock)
        if gate_open:
            self.gate.lease_until = self.clock.now + timing.gate_ttl_s
        self.coordinator.put(PATH, stored or Lease())
        self.coordinator.put(DESIRED, Lease())
        self.changes = 0
        self.keeper = self.make(timing)

    def make(self, timing: Timing = DEFAULT.timing, owner: str = OWNER) -> LeaseKeeper:
        return LeaseKeeper(
            PATH, owner, self.coordinator, Guard(self.gate, self.vip, self.clock, 4), self.clock, timing,
            changed=self._changed,
        )  # fmt: skip

    def _changed(self) -> None:
        self.changes += 1

    def ask(self, command: Callable[[], None]) -> None:
        """The command is another thread's, the pass is ours."""
        with ThreadPoolExecutor(1) as tick:
            asked = tick.submit(command)
            while not self.keeper.await_work():
                pass
            self.keeper.step()
            asked.result(5)

    def step(self, after_s: float = 0.0) -> None:
        self.clock.now += after_s
        self.keeper.step()

    def run(self, for_s: float, every_s: float = H) -> None:
        for _ in range(round(for_s / every_s)):
            self.step(every_s)

    def take(self, epoch: int = EPOCH) -> None:
        check = Check(DESIRED, self.coordinator.nodes[DESIRED].version)
        self.ask(lambda: self.keeper.take(epoch, LIFE, (check,)))

    def open(self) -> None:
        self.ask(self.keeper.open)

    @property
    def stored(self) -> Lease:
        return self.coordinator.get(Lease, PATH)

    @property
    def version(self) -> int:
        return self.coordinator.nodes[PATH].version

    def revoke(self) -> None:
        """C3, as the leader writes it; the desired record moves in the same write."""
        self.coordinator.put(PATH, replace(self.stored, state=LeaseState.REVOKED, why="epoch 8"))
        self.coordinator.put(DESIRED, Lease())


def serving(timing: Timing = DEFAULT.timing) -> Host:
    """A primary with an open gate whose last renewal has been acknowledged."""
    host = Host(timing)
    host.take()
    host.vip.here = True
    host.open()
    host.ask(host.keeper.say_open)
    host.step()  # hears the answer
    host.gate.calls.clear()
    host.vip.calls.clear()
    return host


# --- taking and opening


def test_the_lease_is_held_by_one_write_with_the_check_of_the_record():
    host = Host()
    host.take()
    assert host.coordinator.writes[0][1] == Check(DESIRED, 0)
    power = host.keeper.power()
    assert (power.lease.state, power.lease.epoch, power.lease.owner) == (LeaseState.HELD, EPOCH, OWNER)
    assert host.stored.incarnation == LIFE and not host.stored.gate_open
    assert host.keeper.may_act() and not power.gate_open and host.changes == 1


def test_a_record_that_moved_refuses_the_lease():
    host = Host()
    host.step()
    with pytest.raises(StaleWrite):
        host.ask(lambda: host.keeper.take(EPOCH, LIFE, (Check(DESIRED, 5),)))
    assert host.stored == Lease() and not host.keeper.may_act()


def test_the_gate_opens_by_probation():
    """A plain add could be carried out late, by a paused agent, beside the new primary's gate."""
    host = Host()
    host.take()
    host.open()
    assert host.gate.calls[:2] == ["arm", "open"] and host.gate.is_open()
    assert host.keeper.power().gate_open


def test_the_gate_does_not_open_without_an_acknowledged_renewal():
    host = Host()
    with pytest.raises(StepFailed):
        host.open()
    host.take()
    host.coordinator.connected = False
    host.step(A)
    with pytest.raises(StepFailed):
        host.open()
    assert "open" not in host.gate.calls and not host.gate.is_open()


def test_a_pause_before_arm_is_seen_by_the_check_after_it():
    """The check comes after ARM: a pause before ARM, however long, cannot open the gate."""
    host = Host()
    host.take()
    arm = host.gate.arm

    def late(ttl_s: float) -> None:
        host.clock.now += A
        arm(ttl_s)

    host.gate.arm = late  # type: ignore[method-assign]
    with pytest.raises(StepFailed):
        host.open()
    assert not host.gate.is_open()


def test_a_pause_after_the_check_is_refused_by_the_kernel_and_all_is_done_again():
    host = Host()
    host.take()
    host.gate.before_open = lambda: setattr(host.clock, "now", host.clock.now + TTL)
    with pytest.raises(GateRefused):
        host.open()
    assert not host.gate.is_open() and not host.keeper.power().gate_open
    host.gate.before_open = lambda: None
    host.open()
    assert host.gate.is_open()


def test_an_open_gate_is_told_with_the_lease():
    host = serving()
    assert host.stored.gate_open and host.keeper.power().lease.gate_open


# --- renewing


def test_renewals_keep_the_gate_open():
    host = serving()
    host.run(10.0)
    assert host.gate.is_open() and host.stored.n > 90 and host.stored.gate_open


def test_one_renewal_is_in_flight_at_a_time():
    host = serving()
    host.coordinator.slow = True
    host.step(H)  # hears of the last one, sends another
    before = len(host.coordinator.writes)
    host.run(0.5)
    assert len(host.coordinator.writes) == before
    host.coordinator.deliver()
    host.step(H)
    assert len(host.coordinator.writes) == before + 1


def test_authority_counts_from_the_sending_and_not_from_the_answer():
    """The waiter first saw that version at some time after it was sent: counting from the answer could outlast W."""
    host = serving()
    host.step(H)
    sent = host.clock.now
    host.coordinator.slow = True
    host.step(H)  # hears of the renewal of `sent`, sends another
    assert host.keeper.power().sent == sent
    sent = host.clock.now
    host.run(0.5)
    host.coordinator.deliver()
    host.coordinator.connected = False
    host.step()
    assert host.keeper.power().sent == sent


def test_the_gate_is_not_renewed_at_the_horizon_and_clients_are_reset():
    host = serving()
    host.run(0.3)
    host.coordinator.stalled = True
    host.run(A - 2 * H)
    assert host.gate.is_open() and "reset_clients" not in host.vip.calls
    host.run(3 * H)
    assert not host.gate.is_open() and not host.keeper.may_act()
    assert host.vip.calls[-1] == "reset_clients" and not host.keeper.power().gate_open
    assert host.vip.here, "the node refuses, which needs the address"


def test_a_stall_shorter_than_the_horizon_costs_nothing():
    host = serving()
    host.coordinator.slow = True
    host.run(A - 3 * H)
    host.coordinator.slow = False
    host.coordinator.deliver()
    host.run(A)
    assert host.gate.is_open() and "shut" not in host.gate.calls


def test_the_gate_reopens_after_a_stall_by_probation_under_a_new_renewal_only():
    host = serving()
    host.coordinator.connected = False
    host.run(A + H)
    host.coordinator.connected = True
    with pytest.raises(StepFailed):
        host.open()  # nothing has been acknowledged since
    host.run(2 * H)
    assert host.keeper.may_act() and not host.gate.is_open()
    assert not host.stored.gate_open, "the leader must not believe that clients are served"
    host.gate.calls.clear()
    host.open()
    assert host.gate.calls[:2] == ["arm", "open"] and host.gate.is_open()


def test_an_agent_that_paused_longer_than_the_elements_life_does_not_revive_it():
    host = serving()
    host.step(TTL)
    assert not host.gate.is_open() and not host.keeper.power().gate_open
    assert "reset_clients" in host.vip.calls
    host.run(1.0)
    assert not host.gate.is_open(), "only OPEN opens"
    host.open()
    assert host.gate.is_open()


# --- doubt


@pytest.mark.parametrize("happened", [True, False])
def test_a_lost_answer_is_read_back_and_never_repeated(happened):
    host = serving()
    host.coordinator.slow = True
    host.step(H)
    sent = host.clock.now
    number, version = host.stored.n, host.version
    host.step(H)
    host.coordinator.lose(happened=happened)
    host.coordinator.connected = True
    writes = len(host.coordinator.writes)
    host.step(H)
    assert host.version == version + happened and host.stored.n == number + happened
    assert len(host.coordinator.writes) == writes + 1
    assert (host.keeper.power().sent == sent) == happened
    host.coordinator.slow = False
    host.coordinator.deliver()
    host.run(2.0)
    assert host.gate.is_open()


def in_doubt(*, happened: bool) -> Host:
    """Serving, with a renewal whose answer was lost."""
    host = serving()
    host.coordinator.slow = True
    host.step(H)
    host.coordinator.lose(happened=happened)
    return host


def test_a_revoke_over_a_renewal_whose_answer_was_lost_is_a_revoke():
    """It keeps owner and number of the lease that it takes."""
    host = in_doubt(happened=True)
    host.revoke()
    host.step(H)
    assert host.keeper.power().lease.state is LeaseState.REVOKED
    assert not host.gate.is_open() and not host.keeper.may_act()


def test_anothers_write_with_the_number_of_ours_is_anothers():
    host = in_doubt(happened=False)
    host.coordinator.put(PATH, replace(host.stored, owner="db-a/o2", n=host.stored.n + 1))
    host.step(H)
    assert not host.gate.is_open() and not host.keeper.may_act()


def test_a_read_older_than_what_is_known_says_nothing():
    host = serving()
    host.run(0.3)
    old = host.coordinator.nodes[PATH]
    host.run(0.3)
    fresh = host.coordinator.nodes[PATH]
    host.coordinator.slow = True
    host.step(H)
    host.coordinator.lose(happened=True)
    newest = host.coordinator.nodes[PATH]
    assert newest.version == fresh.version + 1
    host.coordinator.nodes[PATH] = old
    writes = len(host.coordinator.writes)
    host.step(H)
    assert len(host.coordinator.writes) == writes, "a doubt is settled before anything is sent"
    host.coordinator.nodes[PATH] = newest
    host.coordinator.slow = False
    host.run(2.0)
    assert host.gate.is_open()


def test_two_writes_never_carry_the_same_number():
    """A renewal whose fate nobody learned, then a second with its number: the first would be taken for the second, and
    authority counted from a sending that was never acknowledged."""
    host = serving()
    host.coordinator.slow = True
    host.step(H)  # a renewal is on its way
    host.coordinator.connected = False
    with pytest.raises(CoordinatorUnavailable):
        host.ask(lambda: host.keeper.release("superseded"))  # shut; nothing more could be sent
    host.coordinator.deliver()
    host.coordinator.connected = True
    host.clock.now += 10.0
    host.coordinator.slow = False
    host.step()  # sends another, which is refused
    host.coordinator.slow = True
    host.step()  # reads back: the record is that of the first
    assert host.keeper.power().sent is None
    numbers = [decode(Lease, op.data).n for ops in host.coordinator.writes for op in ops if isinstance(op, SetData)]
    assert len(set(numbers)) == len(numbers)


def test_nothing_is_ever_written_without_a_version():
    """ZooKeeper takes -1 for any version: such a renewal would overwrite the leader's revoke."""
    host = serving()
    host.revoke()
    host.coordinator.readable = False
    host.ask(host.keeper.say_open)  # with the next renewal, which the revoke makes fail
    host.run(1.0)
    assert host.stored.state is LeaseState.REVOKED
    with pytest.raises(CoordinatorUnavailable):
        host.take()
    host.coordinator.readable = True
    host.run(1.0)
    assert host.stored.state is LeaseState.REVOKED and not host.gate.is_open()
    written = [op.version for ops in host.coordinator.writes for op in ops if isinstance(op, SetData)]
    assert min(written) >= 0


def test_a_lost_take_is_found_when_it_is_read_back():
    host = Host()
    host.step()
    host.coordinator.slow = True
    host.coordinator.when_waiting = lambda: host.coordinator.lose(happened=True)
    with pytest.raises(UnknownOutcome):
        host.take()
    host.coordinator.when_waiting = lambda: None
    host.coordinator.slow = False
    host.coordinator.deliver()
    assert host.stored.state is LeaseState.HELD
    host.run(2 * H)
    assert host.keeper.power().lease.state is LeaseState.HELD and host.keeper.may_act()


# --- taken away


def test_a_revoke_shuts_at_once():
    host = serving()
    host.revoke()
    host.run(2 * H)  # the renewal in flight was refused, the next pass reads back
    assert not host.gate.is_open() and not host.keeper.may_act()
    assert host.keeper.power().lease.state is LeaseState.REVOKED
    assert host.vip.calls[-1] == "reset_clients"
    host.run(3.0)
    assert host.stored.state is LeaseState.REVOKED, "a revoked lease is not renewed"


def test_a_revoke_found_by_a_command_shuts_at_once_too():
    host = serving()
    host.revoke()
    with pytest.raises(StaleWrite):
        host.ask(lambda: host.keeper.take(EPOCH, LIFE, (Check(DESIRED, 99),)))
    host.step()
    assert not host.gate.is_open() and host.keeper.power().lease.state is LeaseState.REVOKED


def test_a_revoked_lease_opens_nothing():
    host = serving()
    host.revoke()
    host.run(2 * H)
    for command in (host.keeper.say_open, host.keeper.open):
        with pytest.raises(StepFailed):
            host.ask(command)
    assert not host.gate.is_open() and host.stored.state is not LeaseState.HELD


def test_shut_forgets_the_authority_to_open():
    host = serving()
    host.coordinator.slow = True
    host.ask(host.keeper.shut)
    assert not host.gate.is_open() and not host.keeper.may_act()
    with pytest.raises(StepFailed):
        host.open()


def test_an_answer_to_a_renewal_sent_before_shut_authorises_nothing():
    host = serving()
    host.coordinator.slow = True
    host.step(H)
    host.step(H)  # one is in flight
    host.ask(host.keeper.shut)
    host.coordinator.deliver()
    host.step()  # its answer is heard
    assert host.keeper.power().sent is None
    with pytest.raises(StepFailed):
        host.open()
    host.coordinator.slow = False
    host.take()
    assert host.keeper.may_act()
    host.open()
    assert host.gate.is_open()


def test_a_lost_answer_to_a_renewal_sent_before_shut_authorises_nothing_either():
    host = serving()
    host.coordinator.slow = True
    host.step(H)
    host.step(H)
    host.ask(host.keeper.shut)
    host.coordinator.lose(happened=True)
    host.step()
    assert host.keeper.power().sent is None


def test_a_gate_that_will_not_shut_loses_its_address_and_nothing_is_attested():
    host = serving()
    host.gate.broken = True
    with pytest.raises(StepFailed):
        host.ask(lambda: host.keeper.release("superseded"))
    assert not host.vip.here and host.stored.state is LeaseState.HELD


def test_rules_taken_from_a_shut_gate_cost_the_address():
    """A firewall that is reloaded would let the kept address answer beside the new primary."""
    host = serving()
    host.ask(host.keeper.shut)
    host.step(1.0)  # the address is kept, and refreshed
    host.gate.rules = False
    host.step()
    assert not host.vip.here and host.gate.rules and host.vip.calls[-2:] == ["reset_clients", "drop"]


def test_a_release_needs_no_rules_to_be_given():
    host = serving()
    host.ask(host.keeper.shut)
    host.gate.rules = False
    host.ask(lambda: host.keeper.release("exited"))
    assert host.stored.state is LeaseState.RELEASED and host.gate.rules and not host.vip.here


def test_power_that_was_shut_for_good_is_not_renewed():
    """Should the word of a release never come, the lease falls silent and the fence wait covers it."""
    host = serving()
    host.ask(host.keeper.shut)
    before = host.version
    host.run(2.0)
    assert host.version == before
    host.take()
    host.run(1.0)
    assert host.version > before + 5


def test_a_tick_that_hangs_ends_power():
    """Nobody judges mysqld any more."""
    host = serving()
    host.keeper.ticked()
    host.run(10.0)
    assert host.gate.is_open()
    host.run(10.0)
    assert not host.gate.is_open()


# --- releasing


def test_a_release_is_written_after_the_gate_is_shut():
    host = serving()
    open_when_written: list[bool] = []
    submit = host.coordinator.submit

    def watched(ops, wake=None):
        open_when_written.append(host.gate.is_open())
        return submit(ops, wake)

    host.coordinator.submit = watched  # type: ignore[method-assign]
    host.ask(lambda: host.keeper.release("handover", f"{UUID_A}:1-9"))
    assert open_when_written == [False]
    stored = host.stored
    assert (stored.state, stored.why, stored.executed, stored.epoch) == (
        LeaseState.RELEASED, "handover", f"{UUID_A}:1-9", EPOCH,
    )  # fmt: skip
    assert not stored.gate_open and "reset_clients" in host.vip.calls
    assert host.keeper.power().lease.state is LeaseState.RELEASED and not host.keeper.may_act()
    host.run(1.0)
    assert host.stored == stored, "what is released is not renewed"


def test_a_release_does_not_wait_for_the_renewal_in_flight():
    """One session's writes are applied in order."""
    host = serving()
    host.coordinator.slow = True
    host.step(H)
    host.step(H)
    host.ask(lambda: host.keeper.release("superseded"))
    assert host.stored.state is LeaseState.RELEASED
    host.coordinator.slow = False
    host.run(1.0)
    assert host.stored.state is LeaseState.RELEASED and not host.gate.is_open()


@pytest.mark.parametrize("happened", [True, False])
def test_a_release_after_a_renewal_of_unknown_fate_is_written_all_the_same(happened):
    host = serving()
    host.coordinator.slow = True
    host.step(H)
    host.step(H)
    host.coordinator.lose(happened=happened)
    host.ask(lambda: host.keeper.release("superseded"))
    host.coordinator.slow = False
    host.run(1.0)
    assert host.stored.state is LeaseState.RELEASED


def test_a_release_after_a_revoke_comes_after_it():
    """It is the leader's proof (F2) by its version."""
    host = serving()
    host.revoke()
    revoked = host.version
    host.ask(lambda: host.keeper.release("superseded"))
    assert host.stored.state is LeaseState.RELEASED and host.version > revoked


def test_an_exit_releases_at_once_and_says_how_long_it_took():
    host = serving()
    began = host.clock.now
    host.clock.now += 0.005
    host.keeper.exited(began)
    host.step()
    assert (host.stored.state, host.stored.why, host.stored.took_ms) == (LeaseState.RELEASED, "exited", 5.0)
    assert not host.gate.is_open() and "reset_clients" in host.vip.calls


@pytest.mark.parametrize("state", [LeaseState.IDLE, LeaseState.RELEASED, LeaseState.REVOKED])
def test_an_exit_releases_only_what_is_held(state):
    host = Host(stored=Lease(state, EPOCH, OWNER))
    host.step()
    host.keeper.exited(host.clock.now)
    host.step()
    assert host.stored.state is state and host.version == 0


def test_an_exit_does_not_release_a_predecessors_lease():
    """Its mysqld may be another one; the tick looks first."""
    host = Host(stored=Lease(LeaseState.HELD, EPOCH, "db-a/o0"))
    host.step()
    host.keeper.exited(host.clock.now)
    host.step()
    assert host.stored.state is LeaseState.HELD and host.version == 0


def test_an_exit_without_zookeeper_shuts_all_the_same():
    host = serving()
    host.coordinator.connected = False
    host.keeper.exited(host.clock.now)
    host.step()
    assert not host.gate.is_open() and not host.keeper.may_act() and host.keeper.power().trouble


# --- succession


def held_by_a_predecessor() -> Host:
    return Host(stored=Lease(LeaseState.HELD, EPOCH, "db-a/o0", 44, gate_open=True), gate_open=True)


def test_a_successor_adopts_an_open_gate():
    host = held_by_a_predecessor()
    host.step(0.2)
    assert host.gate.calls == [], "it is not renewed before the lease is ours"
    host.take()
    assert host.gate.calls[0] == "renew" and host.gate.is_open() and "open" not in host.gate.calls
    host.run(3.0)
    assert host.gate.is_open() and host.stored.owner == OWNER


def test_a_gate_that_is_not_adopted_closes_by_itself():
    host = held_by_a_predecessor()
    host.run(1.0)
    assert not host.gate.is_open() and host.stored.owner == "db-a/o0" and host.version == 0


def test_a_successor_that_comes_too_late_opens_by_probation():
    host = held_by_a_predecessor()
    host.step(TTL)
    host.take()
    assert not host.gate.is_open() and not host.keeper.power().gate_open
    host.run(2 * H)
    host.open()
    assert host.gate.is_open() and host.gate.calls.count("open") == 1


def test_whoever_lost_the_lease_to_a_successor_shuts():
    host = serving()
    host.coordinator.put(PATH, replace(host.stored, owner="db-a/o2"))
    host.run(2 * H)
    assert "shut" in host.gate.calls
    host.run(1.0)
    assert host.stored.owner == "db-a/o2"


# --- the kernel's rules


def test_rules_flushed_by_a_third_party_cost_the_address_until_they_stand_again():
    host = serving()
    host.gate.rules = False
    host.step(H)
    assert not host.vip.here and host.gate.rules and not host.keeper.power().gate_open
    assert host.vip.calls.index("reset_clients") < host.vip.calls.index("drop"), "resets need the address"
    assert host.gate.calls[-1] == "load"
    host.run(1.0)
    assert not host.gate.is_open()
    host.open()
    assert host.gate.is_open()


def test_rules_found_missing_at_the_opening_come_before_it():
    host = Host()
    host.take()
    host.vip.here, host.gate.rules = True, False
    with pytest.raises(StepFailed):
        host.open()
    assert not host.vip.here and host.gate.rules and not host.gate.is_open()


# --- timings


def test_longer_timings_are_written_before_they_are_used():
    host = serving(FAST.timing)
    host.coordinator.slow = True
    host.step(FAST.timing.renew_every_s)
    host.keeper.follow(DEFAULT.timing)  # a renewal with the shorter ones is in flight
    host.coordinator.deliver()
    host.step(FAST.timing.renew_every_s)
    assert host.stored.timing == FAST.timing
    assert host.gate.ttls[-1] == FAST.timing.gate_ttl_s
    host.coordinator.deliver()
    assert host.stored.timing.authorised_s == A
    host.step(FAST.timing.renew_every_s)
    assert host.gate.ttls[-1] == TTL


def test_the_horizon_of_longer_timings_is_not_used_before_they_are_written():
    host = serving(FAST.timing)
    host.coordinator.stalled = True
    host.step(FAST.timing.renew_every_s)
    host.keeper.follow(DEFAULT.timing)
    host.run(FAST.timing.authorised_s + 0.1, FAST.timing.renew_every_s)
    assert not host.gate.is_open() and not host.keeper.may_act()


def test_shorter_timings_are_used_before_they_are_written():
    host = serving()
    host.keeper.follow(FAST.timing)
    host.run(2.0)
    assert host.stored.timing == FAST.timing and host.gate.ttls[-1] == FAST.timing.gate_ttl_s
    longer = [op.data for ops in host.coordinator.writes for op in ops if isinstance(op, SetData)]
    assert longer  # the record shrank only after the first renewal under the shorter ones was acknowledged


def test_a_lease_taken_while_timings_shrink_claims_those_in_use():
    host = Host()
    host.keeper.follow(FAST.timing)
    host.take()
    assert host.coordinator.get(Lease, PATH).timing.authorised_s == A
    sent = [decode(Lease, op.data).timing for ops in host.coordinator.writes for op in ops if isinstance(op, SetData)]
    assert sent[0].gate_ttl_s == TTL


def test_the_lease_never_claims_less_than_what_is_used():
    host = serving(FAST.timing)
    for wanted in (DEFAULT.timing, FAST.timing, DEFAULT.timing):
        host.keeper.follow(wanted)
        for _ in range(6):
            host.step(FAST.timing.renew_every_s)
            assert host.stored.timing.gate_ttl_s >= host.gate.ttls[-1]


# --- the address


def test_the_address_lives_on_while_the_node_refuses():
    host = serving()
    host.coordinator.connected = False
    host.run(5.0)
    assert host.vip.calls.count("add") >= 4 and host.vip.here


def test_an_absent_address_is_not_added_by_the_keeper():
    host = Host()
    host.run(3.0)
    assert "add" not in host.vip.calls


def test_announcements_are_repeated_and_end_with_the_gate():
    host = serving()
    host.run(1.2, 0.01)
    assert host.vip.calls.count("announce") == 4
    host.run(30.0)
    assert host.vip.calls.count("announce") == 5
    host.ask(host.keeper.shut)
    host.vip.calls.clear()
    host.run(60.0)
    assert "announce" not in host.vip.calls


# --- commands


def test_a_command_that_the_keeper_never_began_is_not_carried_out_later():
    """Its caller has gone on; a late release would attest what is no longer so."""
    host = serving()
    with ThreadPoolExecutor(1) as tick:
        asked = tick.submit(lambda: host.keeper.release("superseded"))
        while not host.keeper.await_work():
            pass
        with pytest.raises(StepFailed):
            asked.result(10)
    host.step()
    assert host.stored.state is LeaseState.HELD and host.gate.calls[-1] == "renew"
