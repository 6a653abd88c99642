"""The marked sessions, which alone may change what a server is. Owns the promise that no old statement is left.

A statement whose caller gave up may still take effect: a late `enabled=OFF` after *armed*, or a late START REPLICA
after the fence, would lose acknowledged writes. So before a step that matters all others are ended.
"""

from __future__ import annotations

import time

from agents import dialect
from agents.session import Access, Row, Session, StatementRefused
from orchestrator.core.errors import DatabaseUnavailable, StepFailed
from orchestrator.core.ports import Clock

CLEAR_S = 1.0
POLL_S = 0.005
STATEMENT_S = 1.0
# With less, a busy server costs its caller the session, and what the answers before it said is lost with it.
ANSWER_MIN_S = 0.25
KILL_DENIED = 1095


class Deadline:
    """Seconds that are left of a budget; the holder's clock, which ages fast."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._end = clock.holder_now() + seconds

    @property
    def left_s(self) -> float:
        return self._end - self._clock.holder_now()

    def over(self) -> bool:
        return self.left_s <= 0

    def at_most_s(self, seconds: float) -> float:
        """What a statement may take. One that begins at the end of the budget still has time for its answer."""
        return max(ANSWER_MIN_S, min(seconds, self.left_s))


class Roles:
    """One session for statements that change a role, one in reserve for the one that blocks new logins.

    Used by one thread at a time, so every open session of ours is idle between two calls.
    """

    def __init__(self, access: Access, clock: Clock) -> None:
        self.clock = clock
        self._session = Session(access, dialect.ROLE_MARK, database=dialect.SCHEMA)
        self._spare = Session(access, dialect.ROLE_MARK, database=dialect.SCHEMA)

    def run(self, sql: str, arguments: tuple[object, ...] = (), *, within_s: float = STATEMENT_S) -> None:
        """Run one statement. Raises DatabaseUnavailable (not sent), StatementRefused, StepFailed (it may still take
        effect)."""
        self._session.login(within_s)
        try:
            self._session.ask(sql, arguments, within_s=within_s)
        except DatabaseUnavailable as error:
            raise StepFailed(f"{error}; it may still take effect, read it back") from error

    def run_beside(self, sql: str, *, within_s: float) -> None:
        """As `run`, on the spare session: for a statement that others must not queue behind."""
        self._spare.login(within_s)
        try:
            self._spare.ask(sql, within_s=within_s)
        except DatabaseUnavailable as error:
            raise StepFailed(f"{error}; it may still take effect, read it back") from error

    def open(self, within_s: float = STATEMENT_S) -> None:
        """Log both sessions in while logins work: in a stall they may hang (docs/safety.md 7)."""
        self._session.login(within_s)
        self._spare.login(within_s)

    def locked_out(self, within_s: float = STATEMENT_S) -> bool:
        """Whether a statement of ours waits for the lock that an account statement holds; False if nobody says."""
        try:
            return self._spare.ask(dialect.ACCOUNT_LOCK, within_s=within_s)[0]["waiting"] != "0"
        except DatabaseUnavailable:
            return False

    def ask(self, sql: str, arguments: tuple[object, ...] = (), *, within_s: float = STATEMENT_S) -> tuple[Row, ...]:
        """Rows of a statement that changes nothing. Raises DatabaseUnavailable, StatementRefused."""
        return self._session.ask(sql, arguments, within_s=within_s)

    def clear_others(self, within_s: float = CLEAR_S) -> None:
        """Kill every other marked session of our account and see them gone. Raises StepFailed if one stays.

        A server that does not keep connection attributes would hide them: then our own mark is missing too.
        """
        deadline = Deadline(self.clock, within_s)
        others = self._marked(deadline)
        for session in others:
            self.kill(session, deadline.at_most_s(within_s))
        # An ended session loses its attributes before its thread is gone: it is followed by its number.
        while others:
            rows = self.ask(dialect.LIVING_SESSIONS, (sorted(others),), within_s=deadline.at_most_s(within_s))
            others = {int(row["PROCESSLIST_ID"]) for row in rows}
            if others and deadline.over():
                raise StepFailed(
                    f"sessions {sorted(others)} of {dialect.ROLE_MARK} did not end within {within_s} s after KILL"
                )
            if others:
                time.sleep(POLL_S)

    def kill(self, session: int, within_s: float = STATEMENT_S) -> bool:
        """End a session; False if we may not (it has SYSTEM_USER). One that is gone already counts as ended."""
        try:
            self._session.ask("KILL %s", (session,), within_s=within_s)
        except StatementRefused as error:
            if error.errno not in (dialect.NO_SUCH_THREAD, KILL_DENIED):
                raise
            return error.errno == dialect.NO_SUCH_THREAD
        return True

    def close(self) -> None:
        self._session.close()
        self._spare.close()

    def _marked(self, deadline: Deadline) -> set[int]:
        rows = self.ask(dialect.MARKED_SESSIONS, (dialect.ROLE_MARK,), within_s=deadline.at_most_s(CLEAR_S))
        marked = {int(row["PROCESSLIST_ID"]) for row in rows}
        if self._session.connection_id not in marked:
            raise StepFailed(
                "the server shows no connection attributes, so an old statement of ours would stay unseen: "
                "performance_schema must be ON, performance_schema_session_connect_attrs_size not 0"
            )
        return marked - {self._session.connection_id, self._spare.connection_id}
