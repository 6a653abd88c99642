"""How soon a write is acknowledged again after the socket to ZooKeeper was shut, without TLS."""

from __future__ import annotations

import time
from typing import Any

from lab.experiments.ensemble import ensemble
from lab.experiments.relay import Relay
from lab.experiments.servers import Say, eventually
from lab.experiments.zookeeper_stall import PATH, Writes
from lab.history import quantiles
from lab.zookeeper import CLIENT_PORT
from orchestrator.connected import connected
from orchestrator.core.ports import Create

BETWEEN_S = 0.5


def run(runs: int, say: Say) -> dict[str, Any]:
    """`runs` shut sockets under conditional writes: milliseconds to the next acknowledged write."""
    took = []
    with ensemble() as voters:
        with connected(voters.hosts) as client:
            client.submit((Create(PATH, b""),)).result(2.0)
        relays = [Relay(address, CLIENT_PORT) for address in voters.addresses]
        try:
            with connected([f"127.0.0.1:{relay.port}" for relay in relays]) as client:
                writes = Writes(client)
                for _ in range(runs):
                    time.sleep(BETWEEN_S)
                    took.append(_strike(relays, writes))
                writes.end()
        finally:
            for relay in relays:
                relay.close()
    return {"to_next_write_ms": quantiles(took)}


def _strike(relays: list[Relay], writes: Writes) -> float:
    eventually(lambda: bool(writes.acknowledged), 10, "a first write")
    struck = max(relay.drop() for relay in relays)
    eventually(lambda: writes.acknowledged[-1] > struck, 20, "a write after the socket was shut")
    return 1000 * (next(at for at in writes.acknowledged if at > struck) - struck)
