"""Whether a statement that changes a role ends within 1 s of its KILL, and what became of its effect.

Each statement is struck after a delay drawn from its own duration, so that it is cut off at many points.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from agents import dialect
from agents.session import Session
from lab.experiments.servers import Call, Pair, Say, Server, eventually, replicating
from lab.history import quantiles
from orchestrator.core.errors import KembarError, StepFailed

POINTS = 20
LATE_S = 30.0


@dataclass(frozen=True)
class Case:
    """One statement on one server of the pair, what holds it up, and how its effect is read."""

    sql: str
    server: Callable[[Pair], Server]
    held_up: Callable[[Pair], Any]  # a context
    longest_s: float  # delays before the KILL are spread over this
    effect: str
    client_dies: bool = False  # its socket is closed instead of waiting for the answer


@contextmanager
def _stalled(pair: Pair) -> Iterator[None]:
    """A commit of the primary waits for a frozen standby."""
    pair.armed()
    client = pair.primary.session("app")
    client.login(5)
    try:
        with pair.standby.frozen():
            Call(lambda: client.ask("INSERT INTO shop.t (v) VALUES (1)", within_s=60))
            waits = "Rpl_semi_sync_source_wait_sessions"
            eventually(lambda: pair.primary.status(waits) == "1", 10, "a stalled commit")
            yield
            with suppress(KembarError):  # that of the case may hold it already
                pair.primary.sql("SET GLOBAL rpl_semi_sync_source_enabled = OFF")
    finally:
        client.close()


@contextmanager
def _connected(pair: Pair) -> Iterator[None]:
    """Nothing waits, and the standby is connected: `enabled=OFF` takes up to 1 s all the same."""
    pair.armed()
    yield


@contextmanager
def _stopped(pair: Pair) -> Iterator[None]:
    """The standby's channel is stopped, its source is frozen: a receiver that starts now does not get far."""
    pair.relaxed()
    pair.standby.database.channel.stop()
    with pair.primary.frozen():
        yield


def _primary(pair: Pair) -> Server:
    return pair.primary


def _standby(pair: Pair) -> Server:
    return pair.standby


OFF = "SET GLOBAL rpl_semi_sync_source_enabled = OFF"
READ_ONLY = "SET GLOBAL super_read_only = ON"
CASES: Mapping[str, Case] = {
    "enabled=OFF": Case(OFF, _primary, _connected, 1.0, "SELECT @@GLOBAL.rpl_semi_sync_source_enabled AS v"),
    "enabled=OFF, its client dead": Case(
        OFF, _primary, _connected, 1.0, "SELECT @@GLOBAL.rpl_semi_sync_source_enabled AS v", client_dies=True
    ),
    "super_read_only=ON behind a stalled commit": Case(
        READ_ONLY, _primary, _stalled, 1.0, "SELECT @@GLOBAL.super_read_only AS v"
    ),
    "super_read_only=ON, its client dead": Case(
        READ_ONLY, _primary, _stalled, 1.0, "SELECT @@GLOBAL.super_read_only AS v", client_dies=True
    ),
    "START REPLICA": Case(
        "START REPLICA",
        _standby,
        _stopped,
        0.1,
        "SELECT SERVICE_STATE <> 'OFF' AS v FROM performance_schema.replication_connection_status",
    ),
    "STOP REPLICA": Case(
        "STOP REPLICA",
        _standby,
        _connected,
        0.1,
        "SELECT SERVICE_STATE = 'OFF' AS v FROM performance_schema.replication_connection_status",
    ),
}


def run(runs: int, say: Say) -> dict[str, Any]:
    """`runs` KILLs of each statement, spread over twenty delays."""
    found: dict[str, Any] = {}
    with replicating() as pair:
        for name, case in CASES.items():
            seen = [_strike(pair, case, case.longest_s * (number % POINTS) / POINTS) for number in range(runs)]
            found[name] = summary(seen)
            say(f"{name}: {found[name]}")
    return {"statements": found}


def _strike(pair: Pair, case: Case, delay_s: float) -> dict[str, Any]:
    server = case.server(pair)
    with case.held_up(pair):
        victim, killer = server.session("kembar_agent"), server.session("kembar_agent")
        try:
            victim.login(5)
            killer.login(5)
            number = victim.connection_id or 0
            call = Call(lambda: victim.ask(case.sql, within_s=LATE_S))
            time.sleep(delay_s)
            if case.client_dies:
                victim.cut()
            ended_before = call.outcome == "ok"
            began = time.monotonic()
            _kill(killer, number)
            gone_s = _gone(killer, number, began)
            # Read while whatever held it up is still there: later the effect could be somebody else's.
            effect = _effect(server, case) if gone_s is not None else "not read"
        finally:
            victim.close()
            killer.close()
    return {"gone_s": gone_s, "effect": effect, "before": ended_before, "answer": call.outcome}


def _kill(killer: Session, number: int) -> None:
    with suppress(StepFailed):  # 1094: it has ended by itself
        killer.ask("KILL %s", (number,), within_s=5)


def _gone(killer: Session, number: int, began: float) -> float | None:
    """Seconds until its thread was gone, as the product asks for it; None if it was not in time."""
    while killer.ask(dialect.LIVING_SESSIONS, ((number,),), within_s=5):
        if time.monotonic() - began > LATE_S:
            return None
        time.sleep(0.001)
    return time.monotonic() - began


def _effect(server: Server, case: Case) -> str:
    return server.sql(case.effect, within_s=20)


def summary(seen: list[dict[str, Any]]) -> dict[str, Any]:
    """How long a killed session lived in milliseconds, those that outlived 1 s, and the effect by what came before."""
    times = [1000 * one["gone_s"] for one in seen if one["gone_s"] is not None]
    struck = [one for one in seen if not one["before"]]
    return {
        "runs": len(seen),
        "struck_while_it_ran": len(struck),
        "gone_ms": quantiles(times) if times else None,
        "longer_than_1_s": sum(time_ > 1000 for time_ in times) + len(seen) - len(times),
        "answer": dict(Counter(one["answer"] for one in struck)),
        "effect_of_the_struck": dict(Counter(one["effect"] for one in struck)),
    }
