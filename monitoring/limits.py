"""How often something may be tried: a bucket of tries a key, which fills again with time. Owns no clock."""

from __future__ import annotations

from orchestrator.core.model import Instant

KEYS_MAX = 10_000


class Limit:
    """`burst` tries at once, then one each `every_s`. Used by one thread."""

    def __init__(self, burst: int, every_s: float) -> None:
        self._burst, self._every_s = burst, every_s
        self._free_at: dict[str, Instant] = {}  # when the bucket of that key will be full again

    def wait_s(self, key: str, now: Instant) -> float:
        """0.0 if one more is allowed now, which counts as made; else the seconds until then."""
        full_at = max(self._free_at.pop(key, now), now)
        left_s = full_at + self._every_s - now - self._burst * self._every_s
        if left_s <= 1e-9:
            full_at += self._every_s
        self._free_at[key] = full_at
        if len(self._free_at) > KEYS_MAX:
            del self._free_at[next(iter(self._free_at))]  # the one not heard of for longest
        return max(left_s, 0.0) if left_s > 1e-9 else 0.0
