"""From what the mirror shows to a Situation. Keeps what only time teaches: first sightings of versions and phases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import Reader
from orchestrator.core.history import Recent
from orchestrator.core.model import Cluster, Instant, Lease, NodeName, Phase, Policy, Report, Sync
from orchestrator.core.ports import Seen
from orchestrator.core.requests import Pause, Request
from orchestrator.core.situation import Sighting, Situation

Record = TypeVar("Record")
HOUR_S = 3600.0
LEASE_VERSIONS_KEPT = 50


class Watching:
    """One cluster's records over time, in one orchestrator. Everything here survives a lost connection."""

    def __init__(self, paths: Paths, pair: tuple[NodeName, NodeName]) -> None:
        self._paths, self.pair = paths, pair
        self._reader = Reader()
        self._lease_paths, self._sync_paths, self._report_paths = (
            {node: path(node) for node in pair} for path in (paths.lease, paths.sync, paths.report)
        )
        self._lease_seen: dict[NodeName, dict[int, Instant]] = {node: {} for node in pair}
        self._phase: tuple[int, Phase] | None = None
        self._phase_since: Instant = 0.0

    def desired(self, seen: Mapping[str, Seen]) -> Sighting[Cluster] | None:
        return self._reader.sighting(Cluster, seen, self._paths.desired)

    def recent(self, seen: Mapping[str, Seen]) -> Sighting[Recent] | None:
        return self._reader.sighting(Recent, seen, self._paths.recent)

    def pause(self, seen: Mapping[str, Seen]) -> tuple[Pause, float | None]:
        """The pause, and the seconds left of it (None: without end), by ZooKeeper's own times."""
        sighting = self._reader.sighting(Pause, seen, self._paths.pause)
        if sighting is None or not sighting.value.active:
            return Pause(), None
        pause = sighting.value
        if pause.for_s == 0:
            return pause, None
        passed_s = (zookeeper_ms(seen) - seen[self._paths.pause].stored.modified_ms) / 1000
        return (pause, pause.for_s - passed_s) if passed_s < pause.for_s else (Pause(), None)

    def situation(
        self, seen: Mapping[str, Seen], now: Instant, hearing_since: Instant, term: int
    ) -> tuple[Situation, int] | None:
        """The situation and the version of the desired record it rests on; None while there is no such record."""
        desired = self.desired(seen)
        if desired is None:
            return None
        self._stamp_phase(desired)
        leases = self._per_node(Lease, seen, self._lease_paths)
        self._remember_leases(leases)
        policy = self._reader.sighting(Policy, seen, self._paths.policy)
        recent = self.recent(seen)
        pause, _ = self.pause(seen)
        chosen = policy.value if policy else Policy()
        failovers = recent.value.automatic_failovers(zookeeper_ms(seen), HOUR_S) if recent else 0
        situation = Situation(
            cluster=desired.value,
            pair=self.pair,
            policy=chosen,
            now=now,
            phase_since=self._phase_since,
            hearing_since=hearing_since,
            leases=leases,
            syncs=self._per_node(Sync, seen, self._sync_paths),
            reports=self._per_node(Report, seen, self._report_paths),
            requests=self._requests(seen),
            fence_seen=self._fence_seen(desired.value, leases),
            paused=pause.active,
            hold_down=failovers >= chosen.failovers_per_hour_max,
            term=term,
        )
        return situation, desired.version

    def _per_node(
        self, kind: type[Record], seen: Mapping[str, Seen], paths: Mapping[NodeName, str]
    ) -> dict[NodeName, Sighting[Record]]:
        found = {node: self._reader.sighting(kind, seen, path) for node, path in paths.items()}
        return {node: sighting for node, sighting in found.items() if sighting is not None}

    def _requests(self, seen: Mapping[str, Seen]) -> dict[str, Sighting[Request]]:
        prefix = f"{self._paths.requests}/"
        found = (self._reader.sighting(Request, seen, path) for path in seen if path.startswith(prefix))
        return {sighting.value.id: sighting for sighting in found if sighting is not None}

    def _stamp_phase(self, desired: Sighting[Cluster]) -> None:
        phase = (desired.value.epoch, desired.value.phase)
        if phase != self._phase:
            self._phase, self._phase_since = phase, desired.first_seen

    def _remember_leases(self, leases: Mapping[NodeName, Sighting[Lease]]) -> None:
        for node, sighting in leases.items():
            known = self._lease_seen[node]
            known.setdefault(sighting.version, sighting.first_seen)
            while len(known) > LEASE_VERSIONS_KEPT:
                del known[next(iter(known))]

    def _fence_seen(self, cluster: Cluster, leases: Mapping[NodeName, Sighting[Lease]]) -> Instant | None:
        """First sighting of exactly the fenced version; a leader that missed it counts from its first after it."""
        fence = cluster.fence
        if fence is None or fence.node not in leases:
            return None
        later = [at for version, at in self._lease_seen[fence.node].items() if version >= fence.lease_version]
        return min(later, default=None)


def zookeeper_ms(seen: Mapping[str, Seen]) -> int:
    """The newest time that ZooKeeper put on any record: its clock, as far as we heard it."""
    return max((one.stored.modified_ms for one in seen.values()), default=0)
