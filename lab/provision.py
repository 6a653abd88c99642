"""`python -m lab.provision`, run in a namespace: makes the cluster's nodes in the lab's ZooKeeper, once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.connected import connected
from orchestrator.coordination.layout import provision
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import KembarError
from orchestrator.core.model import PROFILES, NodeName

CONNECT_S = 20.0
FAILOVERS_PER_HOUR = 1000  # a lab is there to be broken again and again; hosts keep the policy's own limit


def main(arguments: Sequence[str]) -> int:
    """CLUSTER PROFILE FIRST SECOND HOST:PORT...; 0 once everything is there."""
    cluster, profile, first, second, *hosts = arguments
    policy = replace(PROFILES[profile], failovers_per_hour_max=FAILOVERS_PER_HOUR)
    try:
        with connected(hosts, CONNECT_S) as zookeeper:
            provision(zookeeper, Paths(cluster), (NodeName(first), NodeName(second)), policy)
    except KembarError as error:
        sys.stderr.write(f"ZooKeeper: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
