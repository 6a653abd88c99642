"""From a tick's look to the snapshot that page, API and CLI show: the same values that were decided on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from orchestrator.coordination.paths import Paths
from orchestrator.core.analysis import Finding, sentence
from orchestrator.core.model import Instant, NodeName
from orchestrator.core.ports import Clock
from orchestrator.core.readiness import readiness
from orchestrator.core.rules import decide, waiting
from orchestrator.core.situation import Sighting, Situation
from orchestrator.core.snapshot import Aged, Snapshot
from orchestrator.loop import Look
from orchestrator.watching import Watching

Kept = TypeVar("Kept")


class Snapshots(Mapping[str, Snapshot]):
    """Of many pairs, each made when it is asked for: most answers are about one, and their thread shares a core with
    the ticks of all.
    """

    def __init__(self, names: Sequence[str], make: Callable[[str], Snapshot]) -> None:
        self._names, self._make = names, make

    def __getitem__(self, name: str) -> Snapshot:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def snapshot_of(look: Look, watching: Watching, paths: Paths, clock: Clock, instance: str, vip: str) -> Snapshot:
    """The snapshot of one look. Ages count back from the look, which a stopped tick lets grow old."""
    shown = Snapshot(
        name=paths.cluster,
        pair=watching.pair,
        vip=vip,
        taken=look.now,
        instance=instance,
        connected=bool(look.seen),
        leader=_leader(look, watching, paths),
        unreadable=look.unreadable,
        finding=Finding.RECORD_UNREADABLE if look.unreadable else "",
        finding_text="; ".join(f"{one.path} cannot be read: {one.why}" for one in look.unreadable),
    )
    if look.situation is None:
        return shown
    s, recent, totals = look.situation, watching.recent(look.seen), watching.totals(look.seen)
    incidents = tuple(reversed(recent.value.incidents)) if isinstance(recent, Sighting) else ()
    decided = look.decided or decide(s)
    pause, left_s = watching.pause(look.seen)
    return replace(
        shown,
        cluster=s.cluster,
        policy=s.policy,
        leases=_aged(s.leases, s.now),
        syncs=_aged(s.syncs, s.now),
        reports=_aged(s.reports, s.now),
        requests={name: request.value for name, request in s.requests.items()},
        returning=s.reconcile.value if s.reconcile else None,
        kept=s.kept,
        pause=pause,
        pause_left_s=left_s,
        paused=s.paused,
        hold_down=s.hold_down,
        finding=decided.finding.value,
        finding_text=sentence(decided.finding, s),
        waiting=waiting(s) if decided.rule is None else "",
        clock_offsets_s=_clock_offsets(look, paths, s),
        incidents=incidents,
        events={event.place: event for event in recent.value.events} if isinstance(recent, Sighting) else {},
        readiness=readiness(s, incidents),
        totals=totals.value if isinstance(totals, Sighting) else None,
    )


def _aged(records: Mapping[NodeName, Sighting[Kept]], now: Instant) -> dict[NodeName, Aged[Kept]]:
    return {node: Aged(one.value, max(0.0, now - one.first_seen)) for node, one in records.items()}


def _clock_offsets(look: Look, paths: Paths, s: Situation) -> dict[NodeName, float]:
    """By the times of the last reports, so the report's own way of some ms is in them."""
    stored = {node: look.seen.get(paths.report(node)) for node in s.reports}
    return {
        node: round(one.value.wall_s - found.stored.modified_ms / 1000, 3)
        for node, one in s.reports.items()
        if one.value.wall_s and (found := stored[node]) is not None
    }


def _leader(look: Look, watching: Watching, paths: Paths) -> str:
    """The owner of the present term, as long as it stands for election."""
    found = watching.leader(look.seen)
    owner = found.value.owner if isinstance(found, Sighting) else ""
    return owner if owner in paths.candidates(look.seen) else ""
