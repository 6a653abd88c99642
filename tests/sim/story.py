"""What a story is: one trouble in a calm world, and what must follow from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.model import FAST
from tests.sim.node import Node
from tests.sim.swarm import Swarm
from tests.sim.world import Result, World

AT = 8.0  # by then the pair is certified


@dataclass(frozen=True)
class Story:
    """What happens, and what must follow: rules that fire, rules that must not, transitions that are passed.

    `differs` from CALM.
    """

    happens: Callable[[World], None]
    fires: str = ""
    never: str = ""
    passes: tuple[str, ...] = ()
    differs: Mapping[str, Any] = field(default_factory=dict)

    def unlike(self, result: Result) -> str:
        """How it ended otherwise than it must; empty if it did not."""
        missing, wrong = set(self.fires.split()) - set(result.rules), set(self.never.split()) & set(result.rules)
        if missing:
            return f"these rules never fired: {sorted(missing)}"
        if never := set(self.passes) - set(result.transitions):
            return f"never passed: {sorted(never)}"
        return f"these rules fired: {sorted(wrong)}" if wrong else ""


CALM = Swarm(
    seed=0, policy=FAST, orchestrators=2, kinds={}, fault_every_s=1.0, write_every_s=0.02, clients=2, latency_s=0.0005,
    mirror_late_s=0.002, watch_lost=0.0, announce_lost=0.0, follower_lag_s=0.005, pause_every=0, pause_kinds=(),
    crash_there=0.0, slow_statement=0.0, adversary=0.0,
    adversary_at=("renew",), spikes=0.0, start_s=0.5, apply_s=0.001, batch=1000, long_faults=False, storm_s=30.0,
)  # fmt: skip


def primary(world: World) -> Node:
    assert world.checker.desired is not None
    return world.nodes[world.checker.desired.primary]


def cut(world: World, seconds: float, *pairs: tuple[str, str]) -> None:
    """Both directions of each link."""
    links = [link for one, other in pairs for link in ((one, other), (other, one))]
    world.note(f"cut {pairs}")
    for link in links:
        world.network.cut(*link)
    world.time.after(seconds, lambda: [world.network.heal(*link) for link in links])
