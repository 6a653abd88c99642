"""Threads that look whether mysqld lives: SELECT 1, the heartbeat commit, what it waits for, and the disks.

Each has at most one statement in flight on a kept session and never gives up on it: how long it waits is the evidence,
and a second commit behind a stalled one would only fill the server. What it means is said by `agents.evidence`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from agents import dialect
from agents.disk import DiskProbe
from agents.evidence import Evidence, Probe, Process, Waits
from agents.session import LOGIN_S, Access, Row, Session, StatementRefused
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.core.model import Instant
from orchestrator.core.ports import Clock
from orchestrator.process import threads

ASK_S = 1.0
PULSE_S = 0.2
WAITS_S = 0.2
GAP_S = 0.6  # beats that lie further apart: we were paused or starved, and silence before that proves nothing
RESERVE_S = 5.0
LATE_S = 0.4  # a commit that takes longer is looked into


class Pulse:
    """Since when this process runs without a break, by a thread that waits for nothing but time.

    The tick cannot tell: a frozen server holds it up, as a frozen agent would.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stopped = threading.Event()
        self._beat = self._since = clock.waiter_now()

    def awake_since(self, now: Instant) -> Instant:
        """After a pause `now` itself, until the first beat."""
        return now if now - self._beat > GAP_S else self._since

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopped.wait(PULSE_S):
            now = self._clock.waiter_now()
            self._since = self.awake_since(now)
            self._beat = now

    def stop(self) -> None:
        self._stopped.set()


class StatementProbe:
    """One statement again and again on one session, by one thread, while it is wanted."""

    def __init__(
        self, session: Session, clock: Clock, every_s: float, statement: Callable[[], tuple[str, Sequence[object]]]
    ) -> None:
        self._session = session
        self._clock = clock
        self._every_s = every_s
        self._statement = statement
        self._stopped = threading.Event()
        self._wanted = threading.Event()
        self._state = Probe()
        self._reserve_since: Instant | None = None

    @property
    def state(self) -> Probe:
        """Replaced whole, so that a reader needs no lock."""
        return self._state

    @property
    def connection_id(self) -> int | None:
        return self._session.connection_id

    def want(self, on: bool) -> None:
        """Send it, or stop sending. One in flight is left to its end: it may be stalled, and must not be repeated."""
        if on:
            self._wanted.set()
        else:
            self._wanted.clear()

    @property
    def wanted(self) -> bool:
        return self._wanted.is_set()

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopped.is_set():
            if self._wanted.wait(0.2) and not self._stopped.is_set():
                self._once()
                self._stopped.wait(self._every_s)
        self._session.close()

    def stop(self) -> None:
        """End the thread, also in the middle of a statement."""
        self._stopped.set()
        self._session.cut()

    def _once(self) -> None:
        begun = self._clock.waiter_now()
        try:
            if not self._session.open:
                if self._state.logging_in is None:
                    self._state = replace(self._state, logging_in=begun)
                self._session.login(LOGIN_S)
            asked = self._clock.waiter_now()
            self._state = replace(self._state, asked=asked, logging_in=None, reserve=self._session.reserve)
            sql, arguments = self._statement()
            self._session.ask(sql, arguments, within_s=None)
        except (DatabaseUnavailable, StatementRefused) as error:
            # A login that hung keeps its begin: the next try is the same wait. A refused one has ended.
            hung = not self._session.open and self._clock.waiter_now() - begun >= LOGIN_S
            since = self._state.logging_in if hung else None
            self._state = replace(self._state, asked=None, logging_in=since, errno=error.errno, text=str(error))
        else:
            answered = self._clock.waiter_now()
            self._state = Probe(answered=answered, began=asked, reserve=self._session.reserve)
            self._leave_reserve(answered)

    def _leave_reserve(self, now: Instant) -> None:
        """Try the socket again from time to time: else an overload that is over would be reported for ever."""
        if not self._session.reserve:
            self._reserve_since = None
        elif self._reserve_since is None:
            self._reserve_since = now
        elif now - self._reserve_since > RESERVE_S:
            self._reserve_since = None
            self._session.close()


class Probes:
    """All probes of one server. Started once; `evidence` is asked by the tick."""

    def __init__(self, access: Access, clock: Clock, node: str, every_s: float, directories: Sequence[Path]) -> None:
        """`every_s` between the end of a probe and the next; `directories` of data and binary log."""
        self._clock = clock
        self._node = node
        self._n = 0
        self._select = StatementProbe(Session(access, "kembar_select"), clock, every_s, lambda: ("SELECT 1", ()))
        self._commit = StatementProbe(Session(access, "kembar_commit"), clock, every_s, self._next_commit)
        self._waits = WaitsProbe(Session(access, "kembar_waits", database=dialect.SCHEMA), self._commit, clock)
        self._disk = DiskProbe(directories, clock)
        self._pulse = Pulse(clock)
        self._alive_since = clock.waiter_now()
        self._incarnation: str | None = None

    def start(self) -> None:
        """Begin with SELECT; commits begin with `write`."""
        self._select.want(True)
        for name, run in (
            ("probe-select", self._select.run),
            ("probe-commit", self._commit.run),
            ("probe-waits", self._waits.run),
            ("probe-disk", self._disk.run),
            ("probe-pulse", self._pulse.run),
        ):
            threads.start(name, run)

    def stop(self) -> None:
        for probe in (self._select, self._commit, self._waits, self._disk, self._pulse):
            probe.stop()

    def write(self, on: bool) -> None:
        """Send heartbeat commits: on a primary that is writable, and nowhere else."""
        self._commit.want(on)

    def evidence(self, process: Process, incarnation: str | None) -> Evidence:
        """What is known now; asked by one thread."""
        now = self._clock.waiter_now()
        if incarnation != self._incarnation:
            self._incarnation, self._alive_since = incarnation, now
        commit = self._commit.state if self._commit.wanted or self._commit.state.asked is not None else None
        self._disk.suspect(commit is not None and (commit.errno is not None or commit.waiting_s(now, 0.0) > LATE_S))
        return Evidence(
            process=process,
            alive_since=self._alive_since,
            select=self._select.state,
            commit=commit,
            waits=self._waits.state,
            disk=self._disk.state(now),
            now=now,
            awake_since=self._pulse.awake_since(now),
        )

    def committed_after(self, instant: Instant) -> bool:
        """Whether a heartbeat commit that was sent later (waiter's clock) has returned."""
        began = self._commit.state.began
        return began is not None and began > instant

    def stalled_s(self) -> float:
        """How long the heartbeat commit has been unanswered, 0 if none is."""
        now = self._clock.waiter_now()
        return self._commit.state.waiting_s(now, self._pulse.awake_since(now))

    def _next_commit(self) -> tuple[str, Sequence[object]]:
        self._n += 1
        return dialect.HEARTBEAT, (self._node, self._n)


class WaitsProbe:
    """What a late commit waits for, asked on a session of its own: its questions take locks too.

    Logged in before there is anything to ask: a waiting account statement lets nobody log in.
    """

    def __init__(self, session: Session, commit: StatementProbe, clock: Clock) -> None:
        self._session = session
        self._commit = commit
        self._clock = clock
        self._stopped = threading.Event()
        self._state = Waits()

    @property
    def state(self) -> Waits:
        return self._state

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopped.wait(WAITS_S):
            late = self._commit.state.waiting_s(self._clock.waiter_now(), 0.0) > LATE_S
            self._state = self._look() if late else Waits()
            if not late and self._commit.wanted:
                self._get_ready()
        self._session.close()

    def stop(self) -> None:
        self._stopped.set()
        self._session.cut()

    def _get_ready(self) -> None:
        with suppress(DatabaseUnavailable):  # the other probes tell of it
            self._session.login(LOGIN_S)

    def _look(self) -> Waits:
        try:
            waiting = self._session.ask(dialect.SEMISYNC_WAITERS, within_s=ASK_S)[0]["waiting"]
            holders = self._session.ask(dialect.LOCK_HOLDERS, (self._commit.connection_id,), within_s=ASK_S)
        except (DatabaseUnavailable, StatementRefused):
            return self._state  # it is no probe: silence here says nothing
        return Waits(int(waiting), tuple(_holder(row) for row in holders))


def _holder(row: Row) -> str:
    return (
        f"{row['PROCESSLIST_USER']}@{row['PROCESSLIST_HOST']} (session {row['PROCESSLIST_ID']}, {row['OBJECT_TYPE']})"
    )
