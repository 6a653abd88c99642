"""The renewal thread: it alone writes this node's lease, and it alone arms, opens, renews and shuts the gate.

With two threads, one could pause before ARM, wake after the other's release, and open beside the new primary.
The loop opens no file and takes no lock over I/O. While the gate is open nothing in it waits longer than READ_BACK_S.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from agents.guard import Guard
from orchestrator.coordination.records import readable
from orchestrator.core.errors import (
    CoordinatorUnavailable,
    InvariantBroken,
    KembarError,
    StaleWrite,
    StepFailed,
    UnknownOutcome,
)
from orchestrator.core.lease import Margins, Timing
from orchestrator.core.model import Instant, Lease, LeaseState
from orchestrator.core.ports import Clock, Coordinator, Op, Pending, SetData, Stored
from orchestrator.core.wire import encode

ANSWER_S = 1.0  # of a take or release; the gate is shut, or stays armed no longer than its own life
COMMAND_S = 3.0  # until a command has begun; it takes no longer itself
READ_BACK_S = 0.04  # well below gate_ttl_s, so that a doubt never costs the gate its renewal
IDLE_S = 0.5  # between two passes of a keeper that holds nothing
LOOK_S = 2.0  # between two looks of it at its own record, which somebody may have overwritten
TICK_S = 15.0  # a tick that is silent for so long hangs, and nobody judges mysqld any more: power ends


@dataclass(frozen=True, slots=True)
class Power:
    """What the thread holds, as of its last pass."""

    lease: Lease
    sent: Instant | None  # holder's clock before the last acknowledged renewal; None after SHUT
    gate_open: bool
    known: bool  # whether our own lease record has been read
    saying_open: bool = False  # the next renewal tells the leader that clients are served
    trouble: str = ""  # of gate or address
    margins: Margins = field(default_factory=Margins)


@dataclass(slots=True)
class _Flight:
    """A renewal whose answer is not in, or whose outcome is in doubt."""

    lease: Lease
    sent: Instant | None  # None: a SHUT came after the sending, so its answer authorises nothing
    pending: Pending


class LeaseKeeper:
    """Owns power. Every public method may be called from any thread; the work is done in the keeper's own."""

    def __init__(
        self,
        path: str,
        owner: str,
        coordinator: Coordinator,
        guard: Guard,
        clock: Clock,
        timing: Timing,
        *,
        changed: Callable[[], None],
    ) -> None:
        self._path, self._owner = path, owner
        self._coordinator, self._guard, self._clock = coordinator, guard, clock
        self._used = self._wanted = timing
        self._changed = changed
        self._lease, self._version = Lease(timing=timing), -1
        self._number = 0  # of our last write: never used twice, so that a read tells which of them happened
        self._sent: Instant | None = None
        self._flight: _Flight | None = None
        self._doubt = False
        self._renouncing = False  # shut by the tick: no renewal until the lease is taken anew, so that W can pass
        self._saying_open = False
        self._ticked: Instant | None = None
        self._commands: deque[Callable[[], None]] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._margins = Margins()
        self._trouble = ""
        self._looked: Instant = float("-inf")
        self._unreadable = ""  # why our own record could not be read when it was read last
        self._power = self._now()

    # --- any thread

    def power(self) -> Power:
        """What is held now; a value, not a view."""
        return self._power

    def may_act(self) -> bool:
        """Whether the last acknowledged renewal still lets the gate be renewed."""
        power = self._power
        return power.lease.state is LeaseState.HELD and self._used.may_act(self._clock.holder_now(), power.sent)

    def ticked(self) -> None:
        """A tick has ended: whoever judges mysqld is alive."""
        self._ticked = self._clock.holder_now()

    def follow(self, timing: Timing) -> None:
        """Use other timings: longer ones only after the lease record says so, it shrinks only after they are used."""
        self._wanted = timing

    def take(self, epoch: int, incarnation: str, others: Sequence[Op]) -> None:
        """Hold the lease in `epoch`, in one write with `others` (the check of the desired record among them).

        Raises StaleWrite, CoordinatorUnavailable, UnknownOutcome.
        """
        self._ask(lambda: self._take(epoch, incarnation, others))

    def open(self) -> None:
        """Gate probation: ARM, then check the horizon, then OPEN. Raises GateRefused, StepFailed (no authority)."""
        self._ask(lambda: self._guard.open(self._used.gate_ttl_s, self._authorised))

    def say_open(self) -> None:
        """Tell the leader that clients are served: with the next renewal, which is sent at once."""
        self._ask(self._say_open)

    def shut(self) -> None:
        """SHUT the gate for good: the lease is not renewed either, until it is taken again.

        If the word of a release cannot be given after this, the lease falls silent and the fence wait covers the rest.
        """
        self._ask(self._renounce)

    def release(self, why: str, executed: str = "", began: Instant | None = None, *, epoch: int = 0) -> None:
        """Shut, then say so. Only when nothing local can write any more. Raises as take().

        `epoch` is that of the record that is followed: of a lease that cannot be read it may have been held in it.
        """
        self._ask(lambda: self._release(why, executed, began, epoch))

    def exited(self, began: Instant) -> None:
        """From the process watch: mysqld has begun to exit, so release at once, without waiting for a tick."""
        self._commands.append(lambda: self._release_if_held("exited", began))
        self._wake.set()

    def stop(self) -> None:
        """End the thread. The gate is left to close by itself, so that a successor may adopt it."""
        self._stopping = True
        self._wake.set()

    # --- the keeper's thread

    def run(self) -> None:
        """The loop: commands, the answer in flight, the next renewal, the gate."""
        while not self._stopping:
            self.await_work()
            self.step()

    def await_work(self) -> bool:
        """Until a command is there, at most one period, a longer one without power; whether one is."""
        powerless = self._version >= 0 and not self._ours(self._lease) and not self._guard.is_open
        woken = self._wake.wait(IDLE_S if powerless else self._used.renew_every_s)
        self._wake.clear()
        return woken

    def step(self) -> None:
        """One pass of the loop. Waits for nothing but the answer of a command, or of a read after a doubt."""
        before = self._power
        while self._commands:
            self._commands.popleft()()
        self._hear_answer()
        self._send_renewal()
        self._renew_gate()
        self._guard.tend()
        self._power = self._now()
        if (before.lease.state, before.gate_open) != (self._lease.state, self._guard.is_open):
            self._changed()

    def _ask(self, command: Callable[[], None]) -> None:
        answer: Future[None] = Future()

        def run() -> None:
            if not answer.set_running_or_notify_cancel():
                return  # whoever asked has gone on: a late release, say, would attest what is no longer so
            try:
                command()
            except KembarError as error:
                self._power = self._now()
                answer.set_exception(error)
            else:
                self._power = self._now()
                answer.set_result(None)

        self._commands.append(run)
        self._wake.set()
        try:
            answer.result(COMMAND_S)
        except TimeoutError:
            if answer.cancel():
                raise StepFailed(f"the keeper of {self._path} was busy for {COMMAND_S} s: nothing was begun") from None
            answer.result()  # each of its waits has a limit

    def _now(self) -> Power:
        return Power(
            self._lease,
            self._sent,
            self._guard.is_open,
            known=self._version >= 0,
            saying_open=self._saying_open,
            trouble=self._trouble or self._unreadable or self._guard.trouble,
            margins=self._margins,
        )

    # renewals

    def _hear_answer(self) -> None:
        flight = self._flight
        if self._doubt or self._version < 0 or self._look_due():
            self._read_back()
        elif flight is not None and flight.pending.done():
            self._settle(flight)

    def _look_due(self) -> bool:
        """Whoever renews hears of a stranger's write by its own; nobody else would."""
        now = self._clock.holder_now()
        if self._ours(self._lease) or self._guard.is_open or now - self._looked < LOOK_S:
            return False
        self._looked = now
        return True

    def _settle(self, flight: _Flight) -> None:
        try:
            (version,) = flight.pending.result(0)
        except CoordinatorUnavailable:
            self._flight = None
        except (UnknownOutcome, StaleWrite):
            self._doubt = True
            self._read_back()
        else:
            self._accept(flight, int(version))

    def _accept(self, flight: _Flight, version: int) -> None:
        self._lease, self._version = flight.lease, version
        self._note_margin()
        self._sent = flight.sent or self._sent
        self._saying_open = self._saying_open and not flight.lease.gate_open
        if flight.lease.timing.longest(self._wanted) == flight.lease.timing:
            self._used = self._wanted  # else they came after this renewal was sent: the next one carries them
        self._flight, self._doubt = None, False

    def _note_margin(self) -> None:
        if self._sent is not None:
            left_s = self._used.left(self._clock.holder_now(), self._sent)
            self._margins = self._margins.noting(left_s, self._used)

    def _read_back(self) -> None:
        """After a doubt: ours by owner and number, else another's; a read older than what we know says nothing."""
        try:
            stored = self._coordinator.read(self._path, READ_BACK_S)
        except CoordinatorUnavailable:
            return
        if stored is None:
            self._version, self._unreadable = -1, f"RECORD_UNREADABLE: {self._path} does not exist"
            return
        if stored.version < self._version:
            return
        found, flight = self._read(stored), self._flight
        if flight is not None and (found.owner, found.n, found.state) == (self._owner, flight.lease.n, LeaseState.HELD):
            self._accept(flight, stored.version)
            return
        self._learn(stored)

    def _learn(self, stored: Stored) -> None:
        """Take what the record says. The same version as before: our write never happened.

        A newer one of our own is an earlier write whose answer was lost; it authorises nothing new.
        """
        found = self._read(stored)
        moved = self._sent is not None or stored.version > self._version >= 0
        if moved and not self._ours(found):
            self._shut_for_clients()  # somebody took the lease: the leader, by a revoke
        self._lease, self._version = found, stored.version
        self._flight, self._doubt = None, False

    def _read(self, stored: Stored) -> Lease:
        """What cannot be read may be a revoke: power ends, and only a take makes the lease ours again."""
        found = readable(Lease, stored)
        self._unreadable = "" if found else f"RECORD_UNREADABLE: {self._path} at version {stored.version}"
        return found or replace(self._lease, state=LeaseState.REVOKED, owner="", gate_open=False, why="unreadable")

    def _ours(self, lease: Lease) -> bool:
        return lease.state is LeaseState.HELD and lease.owner == self._owner

    def _next_number(self) -> int:
        self._number = max(self._number, self._lease.n) + 1
        return self._number

    def _send_renewal(self) -> None:
        if not self._ours(self._lease) or self._flight is not None or self._version < 0 or self._renouncing:
            return
        lease = replace(
            self._lease,
            n=self._next_number(),
            timing=self._used.longest(self._wanted),
            gate_open=self._guard.is_open and (self._lease.gate_open or self._saying_open),
        )
        self._flight = self._write(lease, self._version)

    def _write(self, lease: Lease, version: int, others: Sequence[Op] = ()) -> _Flight | None:
        if version < 0:  # which ZooKeeper takes for any version: it would overwrite a revoke
            raise InvariantBroken(f"C8: {self._path} was to be written without a version")
        sent = self._clock.holder_now()  # before it is sent: the horizon counts from here
        try:
            pending = self._coordinator.submit((SetData(self._path, encode(lease), version), *others))
        except CoordinatorUnavailable:
            return None
        return _Flight(lease, sent, pending)

    # commands

    def _take(self, epoch: int, incarnation: str, others: Sequence[Op]) -> None:
        self._know()
        self._land()
        lease = Lease(
            LeaseState.HELD,
            epoch,
            self._owner,
            self._next_number(),
            incarnation=incarnation,
            timing=self._used.longest(self._wanted),
        )
        flight = self._written(lease, others)
        self._sent, self._renouncing, self._saying_open = flight.sent, False, False
        if self._guard.is_open:
            self._renew_gate()  # adopted from an agent that ended: the element must not run out meanwhile

    def _say_open(self) -> None:
        """By the next renewal, sent at once: the gate is open, so nothing here may wait for an answer."""
        if not (self._ours(self._lease) and self._guard.is_open):
            raise StepFailed(f"the gate is not open under a lease of ours: {self._lease.state}")
        self._saying_open = True
        self._send_renewal()

    def _renounce(self) -> None:
        self._renouncing = True
        self._shut()

    def _release_if_held(self, why: str, began: Instant) -> None:
        if not self._ours(self._lease):
            return
        try:
            self._release(why, "", began, 0)
        except KembarError as error:
            self._trouble = str(error)  # the gate is shut, which is the fence; the tick tries the word again
        self._changed()

    def _release(self, why: str, executed: str, began: Instant | None, epoch: int) -> None:
        was_open = self._guard.is_open
        self._renounce()
        self._know()
        took_ms = 0.0 if began is None else round((self._clock.holder_now() - began) * 1000, 2)
        released = replace(
            self._lease,
            state=LeaseState.RELEASED,
            epoch=max(self._lease.epoch, epoch if self._unreadable else 0),
            owner=self._owner,
            n=self._next_number(),
            gate_open=False,
            why=why,
            executed=executed,
            took_ms=took_ms,
        )
        # A renewal in flight is not waited for: one session's writes are applied in order.
        version = self._version + (1 if self._flight is not None else 0)
        self._flight = None
        flight = self._write(released, version)
        if was_open:
            self._guard.reset_clients()  # beside the write: whoever waits for an answer must not wait for ever
        try:
            self._land_written(flight, released)
        except StaleWrite:
            self._know()
            self._land_written(self._write(replace(released, n=self._next_number()), self._version), released)

    def _written(self, lease: Lease, others: Sequence[Op] = ()) -> _Flight:
        return self._land_written(self._write(lease, self._version, others), lease)

    def _land_written(self, flight: _Flight | None, lease: Lease) -> _Flight:
        """Wait for a write of ours. Raises as take(); after a doubt the record is read again before the next write."""
        if flight is None:
            raise CoordinatorUnavailable(f"lease {lease.state} in epoch {lease.epoch}: not connected, nothing was sent")
        try:
            answer = flight.pending.result(ANSWER_S)
        except (StaleWrite, UnknownOutcome):
            self._version = -1
            raise
        self._lease, self._version, self._unreadable = flight.lease, int(answer[0]), ""
        return flight

    def _land(self) -> None:
        """Let a renewal in flight come down, for its version is needed next."""
        flight, self._flight = self._flight, None
        if flight is not None:
            try:
                (version,) = flight.pending.result(ANSWER_S)
            except KembarError:
                self._version = -1
                self._know()
            else:
                self._accept(flight, int(version))

    def _know(self) -> None:
        """Read our own lease record, unless we already know it. Raises CoordinatorUnavailable."""
        if self._version >= 0:
            return
        stored = self._coordinator.read(self._path, ANSWER_S)
        if stored is None:
            raise StepFailed(f"{self._path} does not exist: the cluster is not provisioned")
        self._learn(stored)

    # the gate

    def _authorised(self) -> bool:
        """Whether power may be used now: under a lease of ours, within the horizon, and with a living tick."""
        now = self._clock.holder_now()
        ticking = self._ticked is None or now - self._ticked < TICK_S
        return self._ours(self._lease) and ticking and self._used.may_act(now, self._sent)

    def _forget_authority(self) -> None:
        """ARM and RENEW need a renewal that is sent from now on."""
        self._sent, self._saying_open = None, False
        if self._flight is not None:
            self._flight.sent = None

    def _shut(self) -> None:
        self._forget_authority()
        self._guard.shut()

    def _shut_for_clients(self) -> None:
        self._forget_authority()
        self._guard.shut_for_clients()

    def _renew_gate(self) -> None:
        if not self._guard.is_open:
            self._guard.look_while_shut()
        elif self._lease.owner != self._owner:
            self._guard.look_at_foreign()
        elif not self._authorised():
            self._note_margin()
            self._shut_for_clients()  # the lease may still be ours: a later renewal lets it open again
        elif not self._guard.renew(self._used.gate_ttl_s):
            self._forget_authority()
