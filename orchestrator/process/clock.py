"""The Clock of this host. Owns the choice of kernel clocks; what a reading means is the business of core.lease."""

from __future__ import annotations

import time

from orchestrator.core.model import Instant


class HostClock:
    """Clock (see the port) on CLOCK_BOOTTIME, which counts suspension, and CLOCK_MONOTONIC_RAW, which nobody slews.

    Both count from the construction of this object, so that their readings can be compared. `time.monotonic()` is not
    used: NTP slews it.
    """

    def __init__(self) -> None:
        self._boot_start = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._raw_start = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)

    def holder_now(self) -> Instant:
        return max(self._readings())

    def waiter_now(self) -> Instant:
        return min(self._readings())

    def wall_s(self) -> float:
        return time.time()

    def _readings(self) -> tuple[float, float]:
        return (
            time.clock_gettime(time.CLOCK_BOOTTIME) - self._boot_start,
            time.clock_gettime(time.CLOCK_MONOTONIC_RAW) - self._raw_start,
        )
