"""`python -m lab.provision`, run in a namespace: makes the cluster's nodes in the lab's ZooKeeper, once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.connected import connected
from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.layout import provision
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import CoordinatorUnavailable, KembarError, UnknownOutcome
from orchestrator.core.model import PROFILES, NodeName, Policy

CONNECT_S = 20.0
TRIES = 20  # on a busy machine the ensemble elects anew while it is asked
FAILOVERS_PER_HOUR = 1000  # a lab is there to be broken again and again; hosts keep the policy's own limit


def main(arguments: Sequence[str]) -> int:
    """CLUSTER PROFILE FIRST SECOND HOST:PORT...; 0 once everything is there."""
    cluster, profile, first, second, *hosts = arguments
    policy = replace(PROFILES[profile], failovers_per_hour_max=FAILOVERS_PER_HOUR)
    pair = NodeName(first), NodeName(second)
    try:
        with connected(hosts, CONNECT_S) as zookeeper:
            provisioned(zookeeper, Paths(cluster), pair, policy)
    except KembarError as error:
        sys.stderr.write(f"ZooKeeper: {error}\n")
        return 1
    return 0


def provisioned(zookeeper: ZooKeeper, paths: Paths, pair: tuple[NodeName, NodeName], policy: Policy) -> None:
    """Again when a write may not have happened: what is there by then is left as it is. Raises KembarError."""
    for left in reversed(range(TRIES)):
        try:
            provision(zookeeper, paths, pair, policy)
        except (CoordinatorUnavailable, UnknownOutcome):
            if not left:
                raise
            zookeeper.wait_connected(CONNECT_S)
        else:
            return


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
