"""Sessions that break off at one of their statements, as those of an agent that is killed there, or of its server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence

from agents.binlog.rewind import Lasting
from agents.session import Row
from orchestrator.core.errors import DatabaseUnavailable
from tests.contract.mysqlpair import eventually
from tests.contract.rewinding import Undoer


class Breaking:
    """All sessions of one life of an agent. At its statement number `at`, before or after it, that life ends.

    `lose` is done then. With `at` 0 nothing breaks, and `asked` tells how many there are.
    """

    def __init__(
        self, sessions: Callable[[], Lasting], at: int = 0, lose: Callable[[], None] = lambda: None, *,
        after: bool = False,
    ) -> None:  # fmt: skip
        self._sessions, self._at, self._lose, self._after = sessions, at, lose, after
        self.asked: list[str] = []
        self.ended = False

    def __call__(self) -> Lasting:
        self._alive()
        return _Counted(self, self._sessions())

    def ask(
        self, session: Lasting, sql: str, arguments: Sequence[object], within_s: float | None
    ) -> tuple[Row, ...]:  # fmt: skip
        self._alive()
        self.asked.append(" ".join(sql.split("'")[0].split("(")[0].split()[:4]))
        last = len(self.asked) == self._at
        if last and not self._after:
            self._end(session)
        rows = session.ask(sql, arguments, within_s=within_s)
        if last:
            self._end(session)
        return rows

    def _alive(self) -> None:
        if self.ended:
            raise DatabaseUnavailable("the agent was killed")

    def _end(self, session: Lasting) -> None:
        self.ended = True
        self._lose()
        session.close()
        self._alive()


class _Counted:
    def __init__(self, life: Breaking, session: Lasting) -> None:
        self._life, self._session = life, session

    def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
        return self._life.ask(self._session, sql, arguments, within_s)

    def close(self) -> None:
        self._session.close()


def until(life: Breaking, begins: str) -> Callable[[], Lasting]:
    """Its sessions; the life ends right after a statement that begins so."""

    class Session:
        def __init__(self) -> None:
            self._session = life()

        def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
            rows = self._session.ask(sql, arguments, within_s=within_s)
            life.ended |= sql.startswith(begins)
            return rows

        def close(self) -> None:
            self._session.close()

    return Session


def killed(one: Undoer) -> None:
    """SIGKILL for its mysqld, and the end of that process."""
    os.kill(one.server.pid, signal.SIGKILL)
    eventually(lambda: one.server.supervisor.incarnation() is None, 30)


def revived(one: Undoer, schema: str) -> None:
    """It runs again as it starts: read only, offline; its client is there again."""
    one.client.close()
    one.server.database.close()
    one.server.start()
    one.connect()
    one.do(f"USE {schema}")
