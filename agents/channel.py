"""The replication channel of one server: stop, drain, configure, start. Every step reads back what it did."""

from __future__ import annotations

import time

from agents import dialect
from agents.dialect import ChannelTls
from agents.roles import Deadline, Roles
from orchestrator.core.errors import StepFailed

STOP_S = 1.0
POLL_S = 0.002


class Channel:
    """The one channel of a server, the unnamed one."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles

    def stop_receiver(self, within_s: float = STOP_S) -> None:
        """Stop receiving: the write fence (I3). Raises StepFailed if it does not show in time.

        2-5 ms with the source alive, frozen or killed (measured).
        """
        self._roles.clear_others()
        deadline = Deadline(self._roles.clock, within_s)
        self._roles.run(dialect.STOP_RECEIVER, within_s=within_s)
        self._await_threads(deadline, receiver="OFF")

    def stop(self, within_s: float = 5.0) -> None:
        """Stop receiver and applier; the channel stays configured, its relay logs stay. Raises StepFailed."""
        deadline = Deadline(self._roles.clock, within_s)
        self._roles.run(dialect.STOP_REPLICA, within_s=within_s)
        self._await_threads(deadline, receiver="OFF", applier="OFF")

    def start(self, within_s: float = 5.0) -> None:
        """Start both threads. Whether the source can be reached shows later, in the facts. Raises StepFailed.

        An earlier CHANGE or STOP whose answer never came is ended first: late, it would throw relay logs away.
        """
        self._roles.clear_others()
        deadline = Deadline(self._roles.clock, within_s)
        self._roles.run(dialect.START_REPLICA, within_s=within_s)
        self._await_threads(deadline, receiver="ON CONNECTING", applier="ON")

    def start_applier(self, within_s: float = 5.0) -> None:
        """Start the applier alone, to drain what was received. Raises StepFailed."""
        deadline = Deadline(self._roles.clock, within_s)
        self._roles.run("START REPLICA SQL_THREAD", within_s=within_s)
        self._await_threads(deadline, applier="ON")

    def configure(
        self, host: str, port: int, user: str, password: str, tls: ChannelTls | None, within_s: float = 5.0
    ) -> None:
        """Point the stopped channel at a source, by auto position. Raises StepFailed.

        It deletes relay logs, acknowledged transactions included: the caller has drained them, and has drawn a new
        incarnation before (I12).
        """
        self._roles.run(dialect.configure_channel(tls), (host, port, user, password, *_files(tls)), within_s=within_s)

    def change_login(self, user: str, password: str, tls: ChannelTls | None, within_s: float = 5.0) -> None:
        """How it logs in at the source that it has. Raises StepFailed, also while it receives.

        Relay logs stay while the applier runs; else they are deleted, as by `configure`.
        """
        self._roles.run(dialect.change_login(tls), (user, password, *_files(tls)), within_s=within_s)

    def received(self) -> str:
        """The set that this channel received, read now."""
        rows = self._roles.ask(dialect.RECEIVED)
        return "".join(rows[0]["RECEIVED_TRANSACTION_SET"].split()) if rows else ""

    def _await_threads(self, deadline: Deadline, *, receiver: str = "", applier: str = "") -> None:
        """Wait until both threads are in one of the states named (empty: any)."""
        while True:
            rows = self._roles.ask(dialect.THREADS, within_s=deadline.at_most_s(1.0))
            states = (rows[0]["receiver"], rows[0]["applier"]) if rows else ("OFF", "OFF")
            if all(not want or is_ in want.split() for is_, want in zip(states, (receiver, applier), strict=True)):
                return
            if deadline.over():
                raise StepFailed(f"replica threads are receiver {states[0]}, applier {states[1]}; see the server's log")
            time.sleep(POLL_S)


def _files(tls: ChannelTls | None) -> tuple[str, ...]:
    return () if tls is None else (tls.ca, tls.cert, tls.key)
