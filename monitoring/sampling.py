"""Takes a sample of every pair once a second, while the server runs, and draws the charts of the page from them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from monitoring.auth import BACKEND
from monitoring.backend import Backend, utc
from monitoring.chart import chart
from monitoring.samples import AROUND_S, BUCKET_S, KEPT_S, LAG, WRITES, Samples
from orchestrator.core.history import Incident
from orchestrator.core.snapshot import Snapshot

EVERY_S = 1.0


@dataclass(slots=True)
class Sampler:
    """The samples of every pair, and the charts as they were drawn last."""

    samples: dict[str, Samples] = field(default_factory=dict)
    _drawn: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)

    def take(self, backend: Backend) -> None:
        """One sample of each pair."""
        second = int(backend.now())
        for name, snapshot in backend.snapshots().items():
            samples = self.samples.setdefault(name, Samples())
            samples.take(snapshot, backend.elapsed_s(snapshot), second)
            for incident in snapshot.incidents:
                self._keep(backend, snapshot, incident)

    def charts(self, backend: Backend, snapshot: Snapshot) -> dict[str, str]:
        """Lag and writes of each node as HTML; drawn anew with each bucket."""
        second = int(backend.now())
        bucket = second // BUCKET_S
        drawn = self._drawn.get(snapshot.name)
        if drawn is None or drawn[0] != bucket:
            samples = self.samples.setdefault(snapshot.name, Samples())
            until = utc(backend.wall_s())[11:19] + "Z"
            both = {
                str(node): "".join(chart(samples.sparkline(node, measure, second, until)) for measure in (LAG, WRITES))
                for node in snapshot.pair
            }
            drawn = self._drawn[snapshot.name] = (bucket, both)
        return drawn[1]

    def charts_of(self, backend: Backend, snapshot: Snapshot, incident: Incident) -> str:
        """Two minutes before and after an incident, as HTML; empty if this process has nothing of that time."""
        samples = self.samples.setdefault(snapshot.name, Samples())
        kept = samples.kept(incident.id)
        ended = _ended(backend, incident)
        if not kept and ended is not None and ended.since_s < KEPT_S - AROUND_S:
            kept = samples.around(snapshot, ended.second, ended.took_s, ended.until)
        return "".join(map(chart, kept))

    def _keep(self, backend: Backend, snapshot: Snapshot, incident: Incident) -> None:
        ended = _ended(backend, incident)
        if ended is not None and AROUND_S <= ended.since_s < KEPT_S - AROUND_S:
            self.samples[snapshot.name].keep(snapshot, incident.id, ended.second, ended.took_s, ended.until)


@dataclass(frozen=True, slots=True)
class _Ended:
    """When an incident ended: by the second of the samples, and how long ago. `until`: end of its charts, UTC."""

    second: int
    since_s: float
    took_s: int
    until: str


def _ended(backend: Backend, incident: Incident) -> _Ended | None:
    """None: it is not over, or its time cannot be read."""
    if incident.outcome == "running":
        return None
    try:
        began_s = datetime.fromisoformat(incident.began).timestamp()
    except ValueError:
        return None
    took_s = incident.total_ms / 1000
    since_s = backend.wall_s() - began_s - took_s
    until = utc(began_s + took_s + AROUND_S)[11:19] + "Z"
    return _Ended(round(backend.now() - since_s), since_s, round(took_s), until)


SAMPLER = web.AppKey("sampler", Sampler)


async def sampling(app: web.Application) -> AsyncIterator[None]:
    """For as long as the application runs."""
    task = asyncio.create_task(_sample(app[SAMPLER], app[BACKEND]))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _sample(sampler: Sampler, backend: Backend) -> None:
    while True:
        sampler.take(backend)
        await asyncio.sleep(EVERY_S)
