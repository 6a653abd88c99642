"""`kembar lab bench page`: how soon an event in ZooKeeper is at everybody who looks, and how heavy the page is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin

from lab.bench import switchover, zookeeper_write_ms
from lab.history import quantiles
from lab.stand import Say, Stand
from lab.views import until
from lab.zookeeper import CLIENT_PORT
from orchestrator.core.errors import StepFailed

VIEWERS = 100
PAINTS = 5
END_S = 30.0
PARTS = re.compile(r'(?:href|src)="(/static/[^"]+)"')


def run(stand: Stand, runs: int, profile: str, say: Say) -> dict[str, Any]:
    """Bring the lab up, write `runs` events, take it down: one JSON object. Raises KembarError.

    The page is weighed and painted in the end, when it has a switchover and many events to show.
    """
    with stand.lent(profile, say) as facts:
        zookeeper_ms = zookeeper_write_ms(stand)
        switchover(stand)
        until(stand, lambda shown: shown["epoch"] > 1 and shown["state"] == "healthy", "not moved", 60.0)
        update_ms, page_update_ms = _updates(stand, runs, facts.url)
        say(f"{runs} events to {VIEWERS} viewers: {len(update_ms)} updates")
        return {
            "bench": "page",
            "profile": profile,
            "runs": runs,
            "viewers": VIEWERS,
            "update_ms": quantiles(update_ms, 1),
            "page_update_ms": quantiles(page_update_ms, 0),
            "page_kb": _weight_kb(facts.url),
            "first_paint_ms": quantiles(_paints(facts.url), 1),
            "zookeeper_write_ms": zookeeper_ms,
            "mysql_version": facts.mysql_version,
        }


def _updates(stand: Stand, runs: int, url: str) -> tuple[list[float], list[float]]:
    """Milliseconds from before the write of each event to its arrival at each viewer, and to its being on the page of
    one more, in a browser. Raises StepFailed.
    """
    cluster = stand.topology.cluster
    with (
        _looking("viewers", url, cluster, str(VIEWERS), str(runs)) as viewers,
        _looking("pagewatch", f"{url}/c/{cluster}", str(runs)) as page,
    ):
        written = _written(stand, runs)
        return _took_ms(written, viewers, VIEWERS), _took_ms(written, page, 1)


@contextmanager
def _looking(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One of the programs that tell when an event reached them. Raises StepFailed if it does not become ready."""
    argv = [sys.executable, "-m", f"lab.{module}", *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise StepFailed(f"lab.{module} sees nothing at {arguments[0]}")
            yield process
        finally:
            process.kill()


def _took_ms(written: Mapping[int, float], looking: subprocess.Popen[str], count: int) -> list[float]:
    """Of each event, as often as it was to be seen. Raises StepFailed if it was not."""
    arrived: defaultdict[int, list[float]] = defaultdict(list)
    try:
        said, _ = looking.communicate(timeout=END_S)
    except subprocess.TimeoutExpired:
        raise StepFailed(f"not everybody has been sent every event within {END_S:g} s") from None
    for line in said.splitlines():
        number, at = line.split()
        arrived[int(number)].append(float(at))
    missing = [number for number in written if len(arrived[number]) != count]
    if missing:
        raise StepFailed(f"not everybody has been sent the events {missing}")
    return [1000 * (at - began) for number, began in written.items() for at in arrived[number]]


def _written(stand: Stand, count: int) -> dict[int, float]:
    """Number of each event that was put into ZooKeeper, and CLOCK_MONOTONIC before. Raises StepFailed."""
    hosts = [f"{node.address}:{CLIENT_PORT}" for node in stand.topology.members("zookeeper")]
    argv = [sys.executable, "-m", "lab.eventwriter", stand.topology.cluster, str(count), *hosts]
    written = [json.loads(line) for line in _said(stand.exec_argv("witness", argv))]
    return {int(one["number"]): float(one["began"]) for one in written}


def _weight_kb(url: str) -> float:
    """KiB of the page and of all that it names, as they are sent."""
    page = _fetched(url)
    parts = [_fetched(urljoin(url, path)) for path in sorted(set(PARTS.findall(page.decode())))]
    return round(sum(map(len, [page, *parts])) / 1024, 1)


def _fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own loopback
        return bytes(answer.read())


def _paints(url: str) -> list[float]:
    return [float(line) for line in _said([sys.executable, "-m", "lab.firstpaint", url, str(PAINTS)])]


def _said(argv: list[str]) -> list[str]:
    """The lines of a program's result. Raises StepFailed with its last words."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepFailed(f"{' '.join(argv[-4:])}: {done.stderr.strip()[-300:]}")
    return done.stdout.splitlines()
