"""One measured value with its labels, before it becomes text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Bars:
    """A histogram: counts by bucket, one more than bounds. `sum_value` None: the sum was not kept."""

    bounds: Sequence[float]
    counts: Sequence[int]
    sum_value: float | None

    def cumulated(self) -> list[tuple[str, float]]:
        """As Prometheus wants it: each bucket holds those below it too."""
        below, found = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            below += count
            found.append((bound, float(below)))
        return found


@dataclass(frozen=True, slots=True)
class Sample:
    """`metric` without its prefix; the label `cluster` comes later."""

    metric: str
    value: float | Bars
    labels: Mapping[str, str] = field(default_factory=dict)


def one_of(
    metric: str, label: str, names: Sequence[str], present: str, labels: Mapping[str, str] | None = None
) -> Iterator[Sample]:
    """One series a name, 1 for the present one: what a rule can ask for without knowing the others."""
    for name in names:
        yield Sample(metric, name == present, {**(labels or {}), label: str(name)})
