"""How commits that wait are let go, with a server that counts them for a while after they were freed."""

from __future__ import annotations

from typing import Any, cast

import pytest

from agents.semisync import SemiSync
from orchestrator.core.errors import DatabaseUnavailable, StepFailed
from tests.fakes import FakeClock

SECONDS_A_QUESTION = 0.22


class Server:
    """The role sessions of a server, and how many commits it says are waiting, question by question."""

    def __init__(self, *waiting: int) -> None:
        self.clock, self.told = FakeClock(), list(waiting)
        self.statements: list[str] = []

    def run(self, sql: str, arguments: tuple[object, ...] = (), *, within_s: float = 1.0) -> None:
        self.statements.append(sql)

    run_beside = run

    def ask(self, sql: str, arguments: tuple[object, ...] = (), *, within_s: float = 1.0) -> tuple[dict[str, str], ...]:
        self.clock.now += min(SECONDS_A_QUESTION, within_s)
        if within_s < SECONDS_A_QUESTION:
            raise DatabaseUnavailable(f"no answer within {within_s} s")
        waiting = self.told.pop(0) if len(self.told) > 1 else self.told[0]
        return ({"Variable_name": "Rpl_semi_sync_source_wait_sessions", "Value": str(waiting)},)


def relax(server: Server) -> None:
    SemiSync(cast(Any, server)).relax(3.0)


def test_commits_that_were_freed_may_be_counted_for_a_while() -> None:
    """Their threads run when the scheduler lets them, on a busy machine after our next question."""
    server = Server(2, 2, 1, 0)
    relax(server)
    assert [one for one in server.statements if "source_enabled" in one] == [server.statements[-1]]


def test_commits_that_go_on_waiting_are_a_failed_step_within_the_budget() -> None:
    """Also if the server is so slow that the last question has its answer after the end of the budget."""
    server = Server(1)
    began = server.clock.now
    with pytest.raises(StepFailed, match="1 commits still wait"):
        relax(server)
    assert server.clock.now - began <= 3.0 + 2 * SECONDS_A_QUESTION


def test_nothing_is_switched_off_when_nothing_waits() -> None:
    server = Server(0)
    relax(server)
    assert len(server.statements) == 1 and "timeout" in server.statements[0]
