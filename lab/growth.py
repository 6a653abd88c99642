"""What a series of samples says of growth: first, last, and the straight line through all of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment."""

    at_s: float
    rss_mb: float
    fds: int
    threads: int


def growth(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """First and last value of each figure, and how much more the last is; of memory also in percent and per hour."""
    first, last = samples[0], samples[-1]
    rss = _between(first.rss_mb, last.rss_mb)
    rss["growth_percent"] = round(100 * (last.rss_mb - first.rss_mb) / first.rss_mb, 2)
    rss["per_hour"] = round(HOUR_S * slope([(one.at_s, one.rss_mb) for one in samples]), 3)
    return {"rss_mb": rss, "fds": _between(first.fds, last.fds), "threads": _between(first.threads, last.threads)}


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line with the least squares; 0 if all points are of one moment."""
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0


def _between(first: float, last: float) -> dict[str, float]:
    return {"first": first, "last": last, "growth": round(last - first, 2)}
