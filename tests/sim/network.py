"""Links between places, one direction at a time, and what a network forgets: packets, announcements."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.sim.strands import Time

ZK = "zk"


class Network:
    """Places are the two nodes, hosts of orchestrators, clients, and the ensemble `zk` as a whole."""

    def __init__(self, time: Time, rng: Random, latency_s: float, spikes: float) -> None:
        self.time, self._rng, self._latency_s = time, rng, latency_s
        self._spikes = spikes
        self._cuts: dict[tuple[str, str], int] = {}
        self.changed: list[Callable[[str, str], None]] = []  # told of (source, target)

    def up(self, source: str, target: str) -> bool:
        return not self._cuts.get((source, target))

    def both(self, one: str, other: str) -> bool:
        return self.up(one, other) and self.up(other, one)

    def delay_s(self) -> float:
        """One way; sometimes a good deal longer."""
        rng = self._rng.random
        if self._spikes and rng() < self._spikes:
            return 0.05 + 0.4 * rng()
        return self._latency_s * (0.5 + rng()) * (8 if rng() < 0.01 else 1)

    def cut(self, source: str, target: str) -> None:
        self._cuts[source, target] = self._cuts.get((source, target), 0) + 1
        self._tell(source, target)

    def heal(self, source: str, target: str) -> None:
        self._cuts[source, target] = max(0, self._cuts.get((source, target), 0) - 1)
        self._tell(source, target)

    def heal_all(self) -> None:
        for source, target in [link for link, cuts in self._cuts.items() if cuts]:
            self._cuts[source, target] = 0
            self._tell(source, target)

    def _tell(self, source: str, target: str) -> None:
        for told in self.changed:
            told(source, target)
