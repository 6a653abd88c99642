"""The source side of semi-sync: require the standby's acknowledgement, stop requiring it. Owns no decision to do so.

Facts (measured on 9.7.4): with `timeout=0` alone sessions that already wait stay stuck. `enabled=OFF`
frees them within 1-50 ms, though it returns only after 0.1-1.0 s; until then logins hang, and so does every
`SELECT @@GLOBAL...`, while SHOW GLOBAL STATUS and commits go on. Killing the dump thread instead spares the logins and
keeps the commits waiting just as long (docs/decisions/0010).
"""

from __future__ import annotations

import time

from agents import dialect
from agents.roles import Deadline, Roles
from orchestrator.core.errors import StepFailed

SOURCE_ON, TIMEOUT = "rpl_semi_sync_source_enabled", "rpl_semi_sync_source_timeout"
OFF_S = 3.0  # three times the longest that was measured
POLL_S = 0.02
# A statement that waits for a lock looks each second whether its client has gone, and then waits no more: whoever
# wants to see for what it waits must give up before.
ASKED_S = 0.7
STATUS = tuple(name for name in dialect.STATUS if name.startswith("Rpl_semi_sync_source"))


class AccountsLocked(StepFailed):
    """What would let commits go waits itself, for an account statement among them."""


class SemiSync:
    """The source side of one server."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles

    def require_ack(self, within_s: float = 5.0) -> None:
        """Make every later commit wait for the standby, without end. Raises StepFailed.

        Late: commits may be stalled already; the caller records ASYNC, then relaxes.
        """
        deadline = Deadline(self._roles.clock, within_s)
        self._roles.clear_others()
        self._roles.open()
        self._roles.run(dialect.set_global(TIMEOUT, dialect.TIMEOUT_MAX_MS))
        self._roles.run(dialect.set_global(SOURCE_ON, "ON"))
        status = self._status(deadline)
        while status["Rpl_semi_sync_source_status"] != "ON" or status["Rpl_semi_sync_source_clients"] != "1":
            if deadline.over():
                raise StepFailed(
                    f"semi-sync is not working after {within_s} s: {_spelled(status)}; need status ON, clients 1"
                )
            time.sleep(POLL_S)
            status = self._status(deadline)

    def relax(self, within_s: float = OFF_S) -> None:
        """Let commits go without an acknowledgement; only after the record says ASYNC. Raises StepFailed.

        Nothing waits: `timeout=0` alone, which stalls nobody. Something waits: `enabled=OFF` too, on a session of its
        own; the waiting commits are free at once, this call returns up to 1 s later. AccountsLocked: nothing helps
        but the end of mysqld.
        """
        deadline = Deadline(self._roles.clock, within_s)
        try:
            self._roles.run(dialect.set_global(TIMEOUT, 0), within_s=ASKED_S)
        except StepFailed as error:
            if self._roles.locked_out():
                raise AccountsLocked(f"SET GLOBAL waits behind an account statement: {error}") from error
            raise
        # Read after the timeout was set: who began to wait before is counted, who comes later does not wait.
        if self._waiting(deadline):
            self._roles.run_beside(dialect.set_global(SOURCE_ON, "OFF"), within_s=within_s)
            # Each that was freed counts as waiting until its own thread has run again.
            while waiting := self._waiting(deadline):
                if deadline.over():
                    raise StepFailed(f"{waiting} commits still wait for an acknowledgement after {SOURCE_ON}=OFF")
                time.sleep(POLL_S)

    def source_off(self, within_s: float = OFF_S) -> None:
        """Switch the source side off on a node that is not primary: else its applier may wait for ever (measured).

        Raises StepFailed while sessions wait: OFF would acknowledge their commits (I11).
        """
        if waiting := self._waiting(Deadline(self._roles.clock, within_s)):
            raise StepFailed(f"{waiting} commits wait for an acknowledgement: {SOURCE_ON}=OFF would release them")
        self._roles.run_beside(dialect.set_global(SOURCE_ON, "OFF"), within_s=within_s)

    def _waiting(self, deadline: Deadline) -> int:
        return int(self._status(deadline)["Rpl_semi_sync_source_wait_sessions"])

    def _status(self, deadline: Deadline) -> dict[str, str]:
        rows = self._roles.ask(dialect.STATUS_NAMED, (STATUS,), within_s=deadline.at_most_s(1.0))
        status = {row["Variable_name"]: row["Value"] for row in rows}
        if not status:
            raise StepFailed("plugin rpl_semi_sync_source is not active: see preflight")
        return status


def _spelled(status: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(status.items()))
