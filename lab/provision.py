"""`python -m lab.provision`, run in a namespace: makes the cluster's nodes in the lab's ZooKeeper, once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.layout import provision
from orchestrator.coordination.paths import Paths
from orchestrator.core.model import PROFILES, NodeName
from orchestrator.process import threads
from orchestrator.process.clock import HostClock

CONNECT_S = 20.0
FAILOVERS_PER_HOUR = 1000  # a lab is there to be broken again and again; hosts keep the policy's own limit


def main(arguments: Sequence[str]) -> int:
    """CLUSTER PROFILE FIRST SECOND HOST:PORT...; 0 once everything is there."""
    cluster, profile, first, second, *hosts = arguments
    client = ZooKeeper(hosts, HostClock(), threads.start)
    client.start()
    try:
        if not client.wait_connected(CONNECT_S):
            sys.stderr.write(f"no ZooKeeper server of {hosts} answered within {CONNECT_S:g} s\n")
            return 1
        policy = replace(PROFILES[profile], failovers_per_hour_max=FAILOVERS_PER_HOUR)
        provision(client, Paths(cluster), (NodeName(first), NodeName(second)), policy)
    finally:
        client.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
