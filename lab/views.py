"""The pair as an orchestrator shows it that reaches ZooKeeper: waited for, with a bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.stand import Stand, excerpt, wait_for

LOOK_S, SEEN_S = 0.05, 60.0


def view(stand: Stand) -> dict[str, Any]:
    """As it is now. Raises StepFailed if no orchestrator sees the pair."""
    return until(stand, lambda shown: True, "no orchestrator sees the pair", SEEN_S)


def until(stand: Stand, holds: Callable[[dict[str, Any]], object], what: str, within_s: float) -> dict[str, Any]:
    """The first view of which it is true. Raises StepFailed with `what`."""
    found: list[dict[str, Any]] = []

    def true() -> bool:
        shown = stand.snapshot()
        if shown is not None and not shown["data"]["stale"] and shown["primary"] and holds(shown):
            found.append(shown)
        return bool(found)

    wait_for(true, within_s, lambda: f"{what}: {excerpt(stand.snapshot())}", every_s=LOOK_S)
    return found[0]
