"""From what the mirror shows to a Situation. Keeps what only time teaches: first sightings of versions and phases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import Broken, Reader, desired_after, names_node, names_pair
from orchestrator.core.history import Recent
from orchestrator.core.kept import Open, Settlements
from orchestrator.core.model import Cluster, Instant, LeaderRecord, Lease, NodeName, Phase, Policy, Report, Sync
from orchestrator.core.ports import Seen
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import Pause, Request
from orchestrator.core.situation import Sighting, Situation
from orchestrator.core.totals import Totals
from orchestrator.core.unreadable import Record, Unreadable

Kept = TypeVar("Kept")
BY_A_PERSON = (Record.DESIRED, Record.POLICY)  # nothing else writes them anew as they were
HOUR_S = 3600.0
LEASE_VERSIONS_KEPT = 50
# Whoever wrote it may have asked for one; nothing begins until somebody says that it is over.
DOUBTFUL_PAUSE = Pause(active=True, for_s=0.0, reason="the record of the pause cannot be read", actor="nobody known")


@dataclass(frozen=True, slots=True)
class Watched:
    """What one snapshot says. Without a `situation` no desired record was ever read here.

    `version`: of the desired record that the situation rests on; of an older one, if the present one cannot be read.
    """

    situation: Situation | None = None
    version: int = -1
    unreadable: tuple[Unreadable, ...] = ()


class Watching:
    """One cluster's records over time, in one orchestrator. Everything here survives a lost connection."""

    def __init__(self, paths: Paths, pair: tuple[NodeName, NodeName]) -> None:
        self._paths, self.pair = paths, pair
        self._reader = Reader()
        self._lease_paths, self._sync_paths, self._report_paths = (
            {node: path(node) for node in pair} for path in (paths.lease, paths.sync, paths.report)
        )
        self._fits_pair = names_pair(pair)
        self._lease_seen: dict[NodeName, dict[int, Instant]] = {node: {} for node in pair}
        self._phase: tuple[int, Phase] | None = None
        self._phase_since: Instant = 0.0
        self._desired: Sighting[Cluster] | None = None  # the last that could be read
        self._policy = Policy()
        self._bytes: dict[Record, bytes] = {}  # of what was last readable, for whoever puts it back

    def recent(self, seen: Mapping[str, Seen]) -> Sighting[Recent] | Broken:
        return self._reader.read(Recent, seen, self._paths.recent)

    def totals(self, seen: Mapping[str, Seen]) -> Sighting[Totals] | Broken:
        return self._reader.read(Totals, seen, self._paths.totals)

    def leader(self, seen: Mapping[str, Seen]) -> Sighting[LeaderRecord] | Broken | None:
        """None: nobody has led yet."""
        found = seen.get(self._paths.leader)
        if found is not None and not found.stored.data:
            return None
        return self._reader.read(LeaderRecord, seen, self._paths.leader)

    def pause(self, seen: Mapping[str, Seen]) -> tuple[Pause, float | None]:
        """The pause, and the seconds left of it (None: without end), by ZooKeeper's own times."""
        sighting = self._reader.read(Pause, seen, self._paths.pause)
        if isinstance(sighting, Broken):
            return DOUBTFUL_PAUSE, None
        if not sighting.value.active:
            return Pause(), None
        pause = sighting.value
        if pause.for_s == 0:
            return pause, None
        passed_s = (zookeeper_ms(seen) - seen[self._paths.pause].stored.modified_ms) / 1000
        return (pause, pause.for_s - passed_s) if passed_s < pause.for_s else (Pause(), None)

    def situation(self, seen: Mapping[str, Seen], now: Instant, hearing_since: Instant, term: int) -> Watched:
        """What is to be decided on. A desired record or policy that cannot be read stays as it was last."""
        if not seen:
            return Watched()
        found = _Found(self._reader, seen, self._bytes)
        present = desired_after(self._desired, self._reader, seen, self._paths.desired, self._fits_pair)
        desired = found.noted(Record.DESIRED, self._paths.desired, present) or self._desired
        self._policy = found.value(Record.POLICY, Policy, self._paths.policy) or self._policy
        leases = self._per_node(found, Record.LEASE, Lease, self._lease_paths)
        syncs = self._per_node(found, Record.SYNC, Sync, self._sync_paths)
        reports = self._per_node(found, Record.REPORT, Report, self._report_paths)
        requests = self._requests(found, seen)
        recent = found.value(Record.HISTORY, Recent, self._paths.recent)
        found.value(Record.PAUSE, Pause, self._paths.pause)
        returning = self._returning(found, seen)
        kept = self._optional(found, seen, Record.OPEN, Open, self._paths.kept)
        settlements = self._optional(found, seen, Record.DECISIONS, Settlements, self._paths.decisions)
        found.note(Record.LEADER, self._paths.leader, self.leader(seen))
        unreadable = tuple(found.unreadable)
        if desired is None:
            return Watched(unreadable=unreadable)
        self._desired = desired
        self._stamp_phase(desired)
        self._remember_leases(leases)
        situation = Situation(
            cluster=desired.value,
            pair=self.pair,
            policy=self._policy,
            now=now,
            phase_since=self._phase_since,
            hearing_since=hearing_since,
            leases=leases,
            syncs=syncs,
            reports=reports,
            requests=requests,
            reconcile=returning,
            kept=kept.value if kept else Open(),
            settlements=settlements,
            fence_seen=self._fence_seen(desired.value, leases),
            paused=self.pause(seen)[0].active,
            hold_down=self._hold_down(recent, seen),
            term=term,
            unreadable=unreadable,
        )
        return Watched(situation, desired.version, unreadable)

    def _returning(self, found: _Found, seen: Mapping[str, Seen]) -> Sighting[Reconcile] | None:
        """None: nobody has returned yet, or it cannot be read."""
        stored = seen.get(self._paths.returning)
        if stored is not None and not stored.stored.data:
            return None
        return found.one(Record.RETURN, Reconcile, self._paths.returning)

    def _optional(
        self, found: _Found, seen: Mapping[str, Seen], record: Record, kind: type[Kept], path: str
    ) -> Sighting[Kept] | None:
        """None: there is nothing yet, or it cannot be read. Its only writer makes the node when it needs it."""
        stored = seen.get(path)
        return found.one(record, kind, path) if stored is not None and stored.stored.data else None

    def _hold_down(self, recent: Recent | None, seen: Mapping[str, Seen]) -> bool:
        """Also while nobody knows how many failovers there were."""
        if recent is None:
            return True
        return recent.automatic_failovers(zookeeper_ms(seen), HOUR_S) >= self._policy.failovers_per_hour_max

    def _per_node(
        self, found: _Found, record: Record, kind: type[Kept], paths: Mapping[NodeName, str]
    ) -> dict[NodeName, Sighting[Kept]]:
        read = {node: found.one(record, kind, path, names_node(node), node) for node, path in paths.items()}
        return {node: sighting for node, sighting in read.items() if sighting is not None}

    def _requests(self, found: _Found, seen: Mapping[str, Seen]) -> dict[str, Sighting[Request]]:
        prefix = f"{self._paths.requests}/"
        names = [path.removeprefix(prefix) for path in seen if path.startswith(prefix)]
        read = {name: found.one(Record.REQUEST, Request, f"{prefix}{name}", _is_called(name)) for name in names}
        return {name: sighting for name, sighting in read.items() if sighting is not None}

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


class _Found:
    """Reads the records of one snapshot, and keeps a list of those that cannot be read."""

    def __init__(self, reader: Reader, seen: Mapping[str, Seen], last: dict[Record, bytes]) -> None:
        self._reader, self._seen, self._last = reader, seen, last
        self.unreadable: list[Unreadable] = []

    def one(
        self,
        record: Record,
        kind: type[Kept],
        path: str,
        fits: Callable[[Kept], str] = lambda _: "",
        node: NodeName | None = None,
    ) -> Sighting[Kept] | None:
        """The record, None if it cannot be read."""
        return self.noted(record, path, self._reader.read(kind, self._seen, path, fits), node)

    def noted(
        self, record: Record, path: str, read: Sighting[Kept] | Broken, node: NodeName | None = None
    ) -> Sighting[Kept] | None:
        self.note(record, path, read, node)
        if isinstance(read, Broken):
            return None
        if record in BY_A_PERSON:
            self._last[record] = self._seen[path].stored.data
        return read

    def value(self, record: Record, kind: type[Kept], path: str) -> Kept | None:
        read = self.one(record, kind, path)
        return read.value if read else None

    def note(self, record: Record, path: str, read: object, node: NodeName | None = None) -> None:
        if isinstance(read, Broken):
            missing, last = read.version < 0, bytes(self._last.get(record, b"")).decode()
            self.unreadable.append(Unreadable(record, path, read.why, node, missing, last))


def _is_called(name: str) -> Callable[[Request], str]:
    return lambda request: "" if request.id == name else f"Request.id: expected {name!r}, got {request.id!r:.60}"


def zookeeper_ms(seen: Mapping[str, Seen]) -> int:
    """The newest time that ZooKeeper put on any record: its clock, as far as we heard it."""
    return max((one.stored.modified_ms for one in seen.values()), default=0)
