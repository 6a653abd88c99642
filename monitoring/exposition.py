"""GET /metrics: the pairs that the caller may see, and what this orchestrator measures of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from monitoring.auth import BACKEND, caller
from monitoring.backend import Backend
from monitoring.counted import of_channels
from monitoring.metrics import families, samples
from monitoring.sample import Sample
from monitoring.stream import FEED
from orchestrator.core.access import AccessRole
from orchestrator.core.errors import CoordinatorUnavailable


def routes() -> list[web.RouteDef]:
    """The path of the metrics."""
    return [web.get("/metrics", metrics)]


async def metrics(request: web.Request) -> web.Response:
    """Prometheus text, or OpenMetrics if that is asked for."""
    backend = request.app[BACKEND]
    who = None if backend.anonymous_metrics else caller(request, AccessRole.VIEWER)
    shown = {name: one for name, one in backend.snapshots().items() if who is None or who.reaches(name)}
    told = [
        (name, sample)
        for name, snapshot in shown.items()
        for sample in samples(snapshot, backend.elapsed_s(snapshot), backend.wall_s())
    ]
    told += [(name, sample) for name in shown for sample in await _channels(backend, name)]
    told.append(("", Sample("sse_clients", request.app[FEED].listeners)))
    try:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    except (TypeError, ValueError):  # a version that is none
        encode, content_type = choose_encoder("")
    text = encode(_Told(told, backend.measured.registry, set(shown)))
    return web.Response(body=text, headers={"Content-Type": content_type})


async def _channels(backend: Backend, cluster: str) -> list[Sample]:
    """Nothing while ZooKeeper, which alone knows, does not answer; that it does not stands in a metric of its own."""
    desk = backend.desks.get(cluster)
    if desk is None:
        return []
    try:
        return list(of_channels(await asyncio.to_thread(desk.outgoing)))
    except CoordinatorUnavailable:
        return []


class _Told(Collector):
    """What the library renders: families of the pairs, then those of this process, of the same clusters only."""

    def __init__(self, told: Iterable[tuple[str, Sample]], local: Collector, clusters: set[str]) -> None:
        self._told, self._local, self._clusters = told, local, clusters

    def collect(self) -> Iterator[Family]:
        yield from families(self._told)
        for family in self._local.collect():
            family.samples = [one for one in family.samples if one.labels.get("cluster") in (None, *self._clusters)]
            yield family
