"""How long STOP REPLICA IO_THREAD takes where it could hang, and whether dropped packets fence instead.

The fence is tested by what it is for: no commit of the old primary may return after it.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from lab.experiments.disks import Disk, disk
from lab.experiments.network import Alone, alone
from lab.experiments.servers import Call, Pair, Say, Setup, eventually, replicating
from lab.history import quantiles
from lab.programs import program

LIMIT_S = 3.0  # the product's is 1 s
STUCK_S = 0.3  # at most, between the commit and the STOP
AFTER_S = 1.0
RETRY_S = 90.0  # a receiver that found its disk full looks again after 60 s
DISK_MB = 192

# More than the last block of a file has room for.
ROWS = (
    "INSERT INTO shop.t (v) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
    " SELECT i FROM n"
)
DROP = """table inet fence {{
  chain out {{ type filter hook output priority -300; policy accept;
    tcp dport {port} drop
    tcp sport {port} drop
  }}
}}
"""


@dataclass(frozen=True)
class Place:
    """Where an experiment happens: the pair, its standby's disk of relay logs, the namespace of both."""

    pair: Pair
    disk: Disk
    net: Alone


@contextmanager
def _table_locked(place: Place) -> Iterator[None]:
    """A client of the standby holds the table that the applier needs."""
    client = place.pair.standby.session("root")
    client.ask("LOCK TABLES shop.t READ", within_s=5)
    try:
        yield
    finally:
        client.close()


TROUBLES: Mapping[str, Callable[[Place], AbstractContextManager[None]]] = {
    "none": lambda place: nullcontext(),
    "applier waits for a table lock": _table_locked,
    "disk of the relay logs full": lambda place: place.disk.full(),
    "disk of the relay logs hangs": lambda place: place.disk.frozen(),
    "disk of the relay logs hangs, packets dropped": lambda place: place.disk.frozen(),
}


# Each of these takes a minute: the receiver looks again that seldom.
FEW = {"disk of the relay logs full": 5}


def run(runs: int, say: Say) -> dict[str, Any]:
    """`runs` STOPs under each trouble, each while a commit of the primary waits for this standby."""
    found: dict[str, Any] = {}
    with disk(DISK_MB) as relay, alone("stop") as net:
        standby = Setup({"relay_log": relay.root / "relay", "max_relay_log_size": "4M"}, net.before)
        with replicating(Setup(before=net.before), standby) as pair:
            place = Place(pair, relay, net)
            for trouble in TROUBLES:
                seen = [_strike(place, trouble) for _ in range(min(runs, FEW.get(trouble, runs)))]
                found[trouble] = _summary(seen)
                say(f"{trouble}: {found[trouble]}")
    return {"limit_s": LIMIT_S, "troubles": found}


def _strike(place: Place, trouble: str) -> dict[str, Any]:
    pair = place.pair
    pair.armed()
    client = pair.primary.session("app")
    client.login(5)
    fenced = False
    try:
        with TROUBLES[trouble](place):
            commit = Call(lambda: client.ask(ROWS, within_s=60))
            time.sleep(random.uniform(0, STUCK_S))  # noqa: S311 - where the stop falls
            began = time.monotonic()
            stop = Call(lambda: pair.standby.sql("STOP REPLICA IO_THREAD", within_s=RETRY_S))
            in_time = stop.ended(LIMIT_S)
            if trouble.endswith("dropped"):
                place.net.run(str(program("nft")), "-f", "-", text=DROP.format(port=pair.primary.instance.port))
                fenced = True
            at_fence = commit.outcome
        over = time.monotonic()
        # The trouble is over: what it held back may now reach the old primary.
        commit.ended(AFTER_S)
        after = commit.outcome
        eventually(lambda: stop.ended(0.01), RETRY_S, "the end of STOP REPLICA IO_THREAD")
        return {
            "stop_ms": 1000 * (stop.ended_s - began) if in_time else None,
            "ended_ms": 1000 * (stop.ended_s - over),
            "answer": stop.outcome,
            "commit at the fence": at_fence,
            "commit after the trouble": after,
        }
    finally:
        if fenced:
            place.net.run(str(program("nft")), "delete", "table", "inet", "fence")
        pair.primary.sql("SET GLOBAL rpl_semi_sync_source_enabled = OFF", within_s=20)
        client.close()


def _summary(seen: list[dict[str, Any]]) -> dict[str, Any]:
    """STOPs that ended within the limit, in milliseconds; of the waiting commit how it stood at the fence and after."""
    times = [one["stop_ms"] for one in seen if one["stop_ms"] is not None]
    hung = [one["ended_ms"] for one in seen if one["stop_ms"] is None]
    pairs = Counter(f"{one['commit at the fence']} -> {one['commit after the trouble']}" for one in seen)
    return {
        "runs": len(seen),
        "stop_hung": len(hung),
        "hung_until_after_the_trouble_ms": quantiles(hung) if hung else None,
        "stop_ms": quantiles(times) if times else None,
        "stop_answer": dict(Counter(one["answer"] for one in seen)),
        "commit": dict(pairs),
    }
