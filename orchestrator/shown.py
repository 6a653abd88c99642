"""From one tick's look to the Snapshot that page, API and CLI show. Adds nothing that the tick did not know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from orchestrator.coordination.paths import Paths
from orchestrator.core.analysis import analyze, sentence
from orchestrator.core.model import Instant, NodeName
from orchestrator.core.ports import Seen
from orchestrator.core.rules import waiting
from orchestrator.core.situation import Sighting, Situation
from orchestrator.core.snapshot import Aged, Snapshot
from orchestrator.watching import Watching

Record = TypeVar("Record")


@dataclass(slots=True)
class Showing:
    """One cluster in one orchestrator: turns looks into snapshots, and keeps the last one over a lost connection."""

    name: str
    pair: tuple[NodeName, NodeName]
    vip: str
    instance: str
    watching: Watching
    _last: Snapshot | None = None

    def snapshot(self, seen: Mapping[str, Seen], now: Instant, situation: Situation | None) -> Snapshot:
        """What is known at `now`. While there is no connection `seen` is empty, and the last snapshot grows old."""
        if not seen and self._last is not None:
            self._last = replace(self._last, connected=False)
        elif situation is None:
            self._last = Snapshot(self.name, self.pair, self.vip, now, self.instance, connected=bool(seen))
        else:
            self._last = self._shown(seen, now, situation)
        return self._last

    def _shown(self, seen: Mapping[str, Seen], now: Instant, situation: Situation) -> Snapshot:
        pause, left_s = self.watching.pause(seen)
        recent = self.watching.recent(seen)
        finding = analyze(situation)
        return Snapshot(
            name=self.name,
            pair=self.pair,
            vip=self.vip,
            taken=now,
            instance=self.instance,
            connected=True,
            cluster=situation.cluster,
            policy=situation.policy,
            leases=_aged(situation.leases, now),
            syncs=_aged(situation.syncs, now),
            reports=_aged(situation.reports, now),
            requests={key: one.value for key, one in situation.requests.items()},
            pause=pause,
            pause_left_s=left_s,
            paused=situation.paused,
            hold_down=situation.hold_down,
            finding=str(finding),
            finding_text=sentence(finding, situation),
            waiting=waiting(situation),
            incidents=tuple(reversed(recent.value.incidents)) if recent else (),
            events={event.seq: event for event in recent.value.events} if recent else {},
            leader=_leader(seen, Paths(self.name)),
        )


def _aged(sightings: Mapping[NodeName, Sighting[Record]], now: Instant) -> dict[NodeName, Aged[Record]]:
    return {node: Aged(one.value, max(now - one.first_seen, 0.0)) for node, one in sightings.items()}


def _leader(seen: Mapping[str, Seen], paths: Paths) -> str:
    """Who last took a term. It may be gone: its candidacy ends with its session."""
    found = seen.get(paths.leader)
    try:
        owner = str(json.loads(found.stored.data)["owner"]) if found else ""
        stands = owner and any(path.startswith(paths.candidate_prefix(owner)) for path in seen)
    except (ValueError, KeyError, TypeError):
        return ""
    return owner if stands else ""
