"""ZooKeeper for as long as one command. The daemons keep clients of their own, which connect in the background."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from orchestrator.coordination.client import ZooKeeper
from orchestrator.core.errors import CoordinatorUnavailable
from orchestrator.process import threads
from orchestrator.process.clock import HostClock


@contextmanager
def connected(hosts: Sequence[str], within_s: float = 10.0) -> Iterator[ZooKeeper]:
    """A client with a connection, closed with the block.

    `hosts` are `IP:port` literals. Raises ConfigWrong for a host that is none, CoordinatorUnavailable if no server
    answers within `within_s`.
    """
    client = ZooKeeper(hosts, HostClock(), threads.start)
    client.start()
    try:
        if not client.wait_connected(within_s):
            raise CoordinatorUnavailable(f"no server answers within {within_s:g} s: {', '.join(hosts)}")
        yield client
    finally:
        client.close()
