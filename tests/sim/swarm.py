"""What one seed draws: its sizes, speeds and troubles. Some seeds are all of one trouble, some have nearly none."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.core.model import DEFAULT, FAST, Policy
from tests.sim.chance import seeded

KINDS = (
    "agent-kill", "agent-stop", "mysqld-kill", "mysqld-stop", "host-loss", "orchestrator-kill", "orchestrator-stop",
    "link-two-way", "link-one-way", "zookeeper-cut", "zookeeper-stall", "zookeeper-stale", "client-lock",
    "rules-flushed", "both-mysqld", "both-agents", "switchover", "pause", "pair-cut", "standby-then-primary",
    "forced-failover", "policy", "errant-write", "relay-reset", "disk-full", "state-disk-full", "settings",
    "refused-login", "semisync-gives-up", "third-replica", "wall-clock", "zookeeper-restored",
)  # fmt: skip


@dataclass(frozen=True)
class Swarm:
    seed: int
    policy: Policy
    orchestrators: int
    kinds: dict[str, float]  # relative rates of those that this seed has
    fault_every_s: float
    write_every_s: float
    clients: int
    latency_s: float
    mirror_late_s: float
    watch_lost: float
    announce_lost: float
    follower_lag_s: float
    pause_every: int  # boundaries between two pauses of a thread, on average; 0: none
    pause_kinds: tuple[str, ...]
    crash_there: float  # how often such a pause is a crash instead, of the process or of its mysqld
    slow_statement: float
    adversary: float  # how often a keeper loses the processor where that is worst
    adversary_at: tuple[str, ...]
    spikes: float  # how often a packet takes some tenths of a second
    start_s: float
    apply_s: float
    batch: int
    long_faults: bool
    storm_s: float
    dropped: frozenset[int] = field(default_factory=frozenset)  # faults left out, by number: for shrinking

    @classmethod
    def draw(cls, seed: int, storm_s: float = 60.0, dropped: frozenset[int] = frozenset()) -> Swarm:
        rng = seeded(f"swarm-{seed}")
        count = rng.choice((1, 1, 2, 3, 5, 8, len(KINDS)))
        kinds = {kind: rng.choice((0.2, 1.0, 3.0)) for kind in rng.sample(KINDS, count)}
        return cls(
            seed=seed,
            policy=rng.choice((FAST, FAST, DEFAULT)),
            orchestrators=rng.choice((1, 2, 2, 3)),
            kinds=kinds,
            fault_every_s=rng.choice((2.0, 4.0, 6.0, 6.0, 10.0)),
            write_every_s=rng.choice((0.05, 0.2, 0.5)),
            clients=rng.choice((1, 2)),
            latency_s=rng.choice((0.0005, 0.002, 0.01)),
            mirror_late_s=rng.choice((0.002, 0.002, 0.005, 0.02, 0.1)),
            watch_lost=rng.choice((0.0, 0.0, 0.0, 0.05, 0.3)),
            announce_lost=rng.choice((0.0, 0.0, 0.5)),
            follower_lag_s=rng.choice((0.0, 0.005, 0.05)),
            pause_every=rng.choice((0, 0, 3000, 600, 100)),
            pause_kinds=tuple(rng.sample(("keeper", "tick", "orchestrator", "election"), rng.choice((1, 2, 4)))),
            crash_there=rng.choice((0.0, 0.3, 0.9)),
            slow_statement=rng.choice((0.0, 0.0, 0.0, 0.02, 0.1)),
            adversary=rng.choice((0.0, 0.0, 0.1, 0.6)),
            adversary_at=rng.choice(
                (("renew",), ("open",), ("renew", "open"), ("renew late",), ("open again",), ("arm",))
            ),
            spikes=rng.choice((0.0, 0.0, 0.001, 0.01)),
            start_s=rng.choice((0.3, 0.3, 1.0, 3.0)),
            apply_s=rng.choice((0.001, 0.001, 0.01, 0.3)),
            batch=rng.choice((5, 1000, 1000)),
            long_faults=rng.random() < 0.5,
            storm_s=storm_s,
            dropped=dropped,
        )
