"""The view of a pair read straight from ZooKeeper, for when no orchestrator answers. Reads only, decides nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from monitoring.backend import utc
from monitoring.view import view
from orchestrator.cli.exits import Exit, Failed, which_cluster
from orchestrator.connected import connected
from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.paths import ROOT, Paths
from orchestrator.core.errors import ConfigWrong, CoordinatorUnavailable, KembarError
from orchestrator.core.model import NodeName
from orchestrator.core.ports import Clock, Seen
from orchestrator.core.rules import decide
from orchestrator.loop import Look
from orchestrator.process.clock import HostClock
from orchestrator.showing import snapshot_of
from orchestrator.watching import Watching, zookeeper_ms

CONNECT_S = 5.0


def read_view_directly(
    hosts: tuple[str, ...], cluster: str, vip: str, files: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """One reading. Raises Failed: 8 if ZooKeeper does not answer either, 2 if the cluster is not clear."""
    clock = HostClock()
    try:
        with connected(hosts, CONNECT_S, files) as zookeeper:
            paths = Paths(cluster or _only_cluster(zookeeper))
            pair = _pair(zookeeper, paths)
            seen = _read(zookeeper, paths, pair, int(clock.wall_s() * 1000))
    except ConfigWrong as error:
        raise Failed(Exit.USAGE, f"client.yaml: zookeeper: {error}") from None
    except CoordinatorUnavailable as error:
        raise Failed(Exit.UNREACHABLE, f"ZooKeeper does not answer either: {error}") from None
    except KembarError as error:
        raise Failed(Exit.UNREACHABLE, f"ZooKeeper: {error}") from None
    return _view_of(seen, paths, pair, vip or "(address not in client.yaml)", clock)


def _only_cluster(zookeeper: ZooKeeper) -> str:
    known = zookeeper.children(ROOT)
    if len(known) != 1:
        raise which_cluster(known)
    return known[0]


def _pair(zookeeper: ZooKeeper, paths: Paths) -> tuple[NodeName, NodeName]:
    names = [NodeName(name) for name in zookeeper.children(paths.leases)]
    if len(names) != 2:
        raise Failed(Exit.USAGE, f"ZooKeeper knows no cluster {paths.cluster!r} with two nodes")
    return names[0], names[1]


def _read(zookeeper: ZooKeeper, paths: Paths, pair: tuple[NodeName, NodeName], wall_ms: int) -> Mapping[str, Seen]:
    """Every record as if it had first been seen when ZooKeeper stored it, on a clock that reads 0 now.

    Now is the later of this host's wall time and the newest time on any record: a host whose clock is ahead shows ages
    that are too large, and one whose clock is behind none that are negative.
    """
    wanted = [paths.desired, paths.leader, paths.pause, paths.policy, paths.recent, paths.totals]
    wanted += [paths.returning, paths.kept, paths.decisions]
    wanted += [path(node) for path in (paths.lease, paths.sync, paths.report) for node in pair]
    wanted += [f"{folder}/{name}" for folder in (paths.requests, paths.election) for name in zookeeper.children(folder)]
    found = {path: stored for path in wanted if (stored := zookeeper.read(path)) is not None}
    seen = {path: Seen(stored, 0.0) for path, stored in found.items()}
    now_ms = max(zookeeper_ms(seen), wall_ms)
    return {path: Seen(stored, (stored.modified_ms - now_ms) / 1000) for path, stored in found.items()}


def _view_of(
    seen: Mapping[str, Seen], paths: Paths, pair: tuple[NodeName, NodeName], vip: str, clock: Clock
) -> dict[str, Any]:
    watching = Watching(paths, pair)
    # We did not listen before, yet ZooKeeper's own times say how long nothing has come.
    found = watching.situation(seen, 0.0, hearing_since=-math.inf, term=0)
    decided = decide(found.situation) if found.situation else None
    look = Look(seen, 0.0, False, found.situation, found.version, decided, unreadable=found.unreadable)
    return view(snapshot_of(look, watching, paths, clock, "kembar status", vip), 0.0, utc(clock.wall_s()))
