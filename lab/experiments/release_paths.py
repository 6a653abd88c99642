"""What ends a stalled commit, what its client hears, and whether the row is there after a restart (L3, L4, L8, L10)."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from agents.session import Session
from lab.experiments.servers import Call, Pair, Say, Server, eventually, replicating
from lab.history import quantiles
from lab.mysqld import find_mysqld
from orchestrator.core.errors import KembarError

OBSERVE_S = 1.5  # `enabled=OFF` answers after 1.0 s
GONE_S = 15.0
Act = Callable[[Pair, Session, int], None]


def _set(name: str, value: object) -> Act:
    def act(pair: Pair, root: Session, waiter: int) -> None:
        Call(lambda: pair.primary.sql(f"SET GLOBAL {name} = {value}"))

    return act


def _say(sql: str) -> Act:
    def act(pair: Pair, root: Session, waiter: int) -> None:
        root.ask(sql.format(waiter=waiter), within_s=5)

    return act


def _signal(number: signal.Signals) -> Act:
    def act(pair: Pair, root: Session, waiter: int) -> None:
        os.kill(pair.primary.pid, number)

    return act


# The ways that the product takes or could take, and those that a person might.
WAYS: Mapping[str, Act] = {
    "KILL": _say("KILL {waiter}"),
    "KILL QUERY": _say("KILL QUERY {waiter}"),
    "offline_mode=ON": _set("offline_mode", "ON"),
    "timeout=0": _set("rpl_semi_sync_source_timeout", 0),
    "wait_no_replica=OFF": _set("rpl_semi_sync_source_wait_no_replica", "OFF"),
    "enabled=OFF": _set("rpl_semi_sync_source_enabled", "OFF"),
    "SHUTDOWN": _say("SHUTDOWN"),
    "SIGTERM": _signal(signal.SIGTERM),
    "SIGKILL": _signal(signal.SIGKILL),
}
ENDING = ("SHUTDOWN", "SIGTERM", "SIGKILL")


@contextmanager
def frozen(pair: Pair) -> Iterator[None]:
    """The replica does not answer and still counts as connected."""
    with pair.standby.frozen():
        yield


@contextmanager
def gone(pair: Pair) -> Iterator[None]:
    """The replica has left in good order: no semi-sync client."""
    pair.standby.database.channel.stop_receiver()
    eventually(lambda: pair.primary.status("Rpl_semi_sync_source_clients") == "0", 15, "no semi-sync client")
    yield


REPLICAS = {"frozen": frozen, "gone": gone}


def run(runs: int, say: Say) -> dict[str, Any]:
    """`runs` stalled commits for each way and each replica; P is killed and started again after each."""
    found: dict[str, Any] = {}
    with replicating() as pair:
        for replica in REPLICAS:
            for way in WAYS:
                seen = [_strike(pair, replica, way, number) for number in range(runs)]
                found[f"{way}, replica {replica}"] = _summary(seen)
                say(f"{way}, replica {replica}: {found[f'{way}, replica {replica}']}")
    return {"mysql_version": find_mysqld().version, "ways": found}


def _strike(pair: Pair, replica: str, way: str, number: int) -> dict[str, Any]:
    primary = pair.primary
    pair.armed()
    row = time.time_ns() // 1000
    client, root = primary.session("app"), primary.session("root")
    try:
        client.login(5)
        root.login(5)
        waiter = client.connection_id or 0
        with REPLICAS[replica](pair):
            commit = Call(lambda: client.ask("INSERT INTO shop.t (v) VALUES (%s)", (row,), within_s=60))
            eventually(lambda: primary.status("Rpl_semi_sync_source_wait_sessions") == "1", 10, "a stalled commit")
            began = time.monotonic()
            WAYS[way](pair, root, waiter)
            seen = _observe(pair, way, commit, row, began)
            seen["client"] = commit.outcome
            primary.kill()
    finally:
        client.close()
        root.close()
    primary.start()
    seen["row after restart"] = _stored(primary, row)
    return seen


def _observe(pair: Pair, way: str, commit: Call, row: int, began: float) -> dict[str, Any]:
    """Until the client heard something and the server is gone, or for so long that nothing will come."""
    seen: dict[str, Any] = {}
    commit.ended(GONE_S if way in ENDING else OBSERVE_S)
    seen["ms"] = 1000 * (commit.ended_s - began)
    if way in ENDING:
        with suppress(KembarError):
            eventually(lambda: not pair.primary.running, GONE_S, "its end")
        seen["server"] = "runs on" if pair.primary.running else "ended"
    else:
        seen["row visible"] = _stored(pair.primary, row)
        seen["still waits"] = pair.primary.status("Rpl_semi_sync_source_wait_sessions")
    return seen


def _stored(server: Server, row: int) -> str:
    session = server.session("root")
    try:
        return session.ask("SELECT COUNT(*) AS n FROM shop.t WHERE v = %s", (row,), within_s=5)[0]["n"]
    finally:
        session.close()


def _summary(seen: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of what was seen, and the client's time in milliseconds where it heard something."""
    keys = [key for key in seen[0] if key != "ms"]
    counts: dict[str, Any] = {key: dict(Counter(str(one[key]) for one in seen)) for key in keys}
    times = [one["ms"] for one in seen if one["ms"] != float("inf")]
    return {**counts, "client_ms": quantiles(times) if times else None, "runs": len(seen)}
