"""ZooKeeper for as long as one command. The daemons keep clients of their own, which connect in the background."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.tls import tls_of
from orchestrator.core.errors import CoordinatorUnavailable
from orchestrator.process import threads
from orchestrator.process.clock import HostClock


@contextmanager
def connected(hosts: Sequence[str], within_s: float = 10.0, files: Sequence[str] | None = None) -> Iterator[ZooKeeper]:
    """A client with a connection, closed with the block.

    `hosts` are `IP:port` literals, `files` authority, certificate and key in PEM; None: plain TCP. Raises ConfigWrong
    for a host that is none, CoordinatorUnavailable if no server answers within `within_s`.
    """
    client = ZooKeeper(hosts, HostClock(), threads.start, tls=tls_of(files))
    client.start()
    try:
        if not client.wait_connected(within_s):
            trouble = client.trouble
            why = f"no TLS with {trouble}" if trouble else ", ".join(hosts)
            raise CoordinatorUnavailable(f"no server answers within {within_s:g} s: {why}")
        yield client
    finally:
        client.close()
