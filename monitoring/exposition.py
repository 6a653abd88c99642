"""GET /metrics: the pairs that the caller may see, and what this orchestrator measures of itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from monitoring.auth import BACKEND, caller
from monitoring.metrics import families, samples
from monitoring.sample import Sample
from orchestrator.core.access import AccessRole


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
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    text = encode(_Told(told, backend.measured.registry, set(shown)))
    return web.Response(body=text, headers={"Content-Type": content_type})


class _Told(Collector):
    """What the library renders: families of the pairs, then those of this process, of the same clusters only."""

    def __init__(self, told: Iterable[tuple[str, Sample]], local: Collector, clusters: set[str]) -> None:
        self._told, self._local, self._clusters = told, local, clusters

    def collect(self) -> Iterator[Family]:
        yield from families(self._told)
        for family in self._local.collect():
            family.samples = [one for one in family.samples if one.labels.get("cluster") in (None, *self._clusters)]
            yield family
