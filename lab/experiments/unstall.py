"""How soon a stalled commit is let go by `enabled=OFF` or a killed dump thread, and for how long logins hang.

The standby is dead (its process), frozen (SIGSTOP, still connected) or slow (its answers take 5 s), for half a second
before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from agents.session import Session
from lab.experiments.relay import Relay
from lab.experiments.servers import Call, Pair, Say, Server, eventually, replicating
from lab.history import quantiles
from orchestrator.core.errors import DatabaseUnavailable, StepFailed

SLOW_S = 5.0
STALL_S = 0.5  # the product acts no earlier (profile fast)
LATE_S = 4.0

DUMP_THREADS = (
    "SELECT PROCESSLIST_ID AS id FROM performance_schema.threads WHERE PROCESSLIST_COMMAND LIKE 'Binlog Dump%'"
)
WAIT_NO_REPLICA = "SET GLOBAL rpl_semi_sync_source_wait_no_replica = {}"


def source_off(session: Session) -> None:
    session.ask("SET GLOBAL rpl_semi_sync_source_timeout = 0", within_s=LATE_S)
    session.ask("SET GLOBAL rpl_semi_sync_source_enabled = OFF", within_s=LATE_S)


def dump_killed(session: Session) -> None:
    session.ask("SET GLOBAL rpl_semi_sync_source_timeout = 0", within_s=LATE_S)
    session.ask(WAIT_NO_REPLICA.format("OFF"), within_s=LATE_S)
    for row in session.ask(DUMP_THREADS, within_s=LATE_S):
        session.ask("KILL %s", (int(row["id"]),), within_s=LATE_S)


WAYS = {"enabled=OFF": source_off, "dump thread killed": dump_killed}


class Logins:
    """One login after another; the longest that one took, in seconds."""

    def __init__(self, server: Server) -> None:
        self.longest_s = 0.0
        self._server = server
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> float:
        self._ending.set()
        self._thread.join()
        return self.longest_s

    def _run(self) -> None:
        while not self._ending.is_set():
            session = self._server.session("kembar_agent")
            began = time.monotonic()
            with suppress(DatabaseUnavailable):
                session.login(LATE_S)
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            session.close()


def run(runs: int, say: Say) -> dict[str, Any]:
    """`runs` stalls for each way and each kind of standby, the ways in turn."""
    found: dict[str, Any] = {}
    for standby in LOST:
        seen: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        with replicating() as pair:
            relay = Relay("127.0.0.1", pair.primary.instance.port)
            try:
                if standby == "slow":
                    _through(pair, relay.port)
                for _ in range(runs):
                    for way in WAYS:
                        seen[way].append(_strike(pair, standby, way, relay))
            finally:
                relay.close()
        for way, times in seen.items():
            found[f"{way}, standby {standby}"] = summary(times)
            say(f"{way}, standby {standby}: {found[f'{way}, standby {standby}']}")
    return {"ways": found}


def _strike(pair: Pair, standby: str, way: str, relay: Relay) -> dict[str, float]:
    primary = pair.primary
    primary.sql(WAIT_NO_REPLICA.format("ON"))
    pair.armed()
    client, root = primary.session("app"), primary.session("root")
    client.login(5)
    root.login(5)
    try:
        with LOST[standby](pair, relay):
            return _released(primary, client, root, way)
    finally:
        client.close()
        root.close()


@contextmanager
def _dead(pair: Pair, relay: Relay) -> Iterator[None]:
    pair.standby.kill()
    try:
        yield
    finally:
        pair.standby.start()


@contextmanager
def _frozen(pair: Pair, relay: Relay) -> Iterator[None]:
    with pair.standby.frozen():
        yield


@contextmanager
def _slow(pair: Pair, relay: Relay) -> Iterator[None]:
    relay.delay_s = SLOW_S
    try:
        yield
    finally:
        relay.delay_s = 0.0


LOST = {"frozen": _frozen, "slow": _slow, "dead": _dead}


def _through(pair: Pair, port: int) -> None:
    """The standby reaches its source by another port."""
    change = f"CHANGE REPLICATION SOURCE TO SOURCE_PORT = {port}"
    pair.standby.sql("STOP REPLICA", change, "START REPLICA", within_s=20)
    pair.relaxed()


def _released(primary: Server, client: Session, root: Session, way: str) -> dict[str, float]:
    commit = Call(lambda: client.ask("INSERT INTO shop.t (v) VALUES (1)", within_s=60))
    eventually(lambda: primary.status("Rpl_semi_sync_source_wait_sessions") == "1", 10, "a stalled commit")
    time.sleep(STALL_S)
    logins = Logins(primary)
    began = time.monotonic()
    try:
        WAYS[way](root)
        answered = time.monotonic()
        if not commit.ended(LATE_S):
            root.ask("SET GLOBAL rpl_semi_sync_source_enabled = OFF", within_s=LATE_S)
            if not commit.ended(LATE_S):
                raise StepFailed(f"{way}: the commit waits on, even after enabled=OFF")
            return {"late": 1.0, "login": 1000 * logins.end()}
    finally:
        logins.end()
    return {
        "release": 1000 * (commit.ended_s - began),
        "answer": 1000 * (answered - began),
        "login": 1000 * logins.longest_s,
    }


def summary(times: list[dict[str, float]]) -> dict[str, Any]:
    """Quantiles in milliseconds; `late`: not released within 4 s."""
    named = {f"{name}_ms": [one[name] for one in times if name in one] for name in ("release", "answer", "login")}
    late = sum("late" in one for one in times)
    return {"runs": len(times), "late": late, **{name: quantiles(all_) for name, all_ in named.items() if all_}}
