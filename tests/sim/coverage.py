"""What could happen by the table of rules, and what of it has happened: transitions, and pairs of fault kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations, product
from typing import Any

from orchestrator.coordination.layout import first_record
from orchestrator.core.model import Certified, Cluster, Fence, LeaseState, Mysqld, SyncState
from orchestrator.core.ports import Stored
from orchestrator.core.requests import Kind, Request
from orchestrator.core.rules import decide
from orchestrator.core.situation import Situation
from tests.builders import DB_A, DB_B, EPOCH, LEASE_VERSION, NOW, TOKEN, seen, situation
from tests.sim.carried import decode
from tests.sim.faults import Fault

TOGETHER_S = 10.0  # faults that begin so near to each other are met together
LONG_AGO_S = 60.0


def transition(old: Cluster, new: Cluster) -> str:
    """`F1 STEADY>FENCING SYNC`; the mode stands once while it stays."""
    mode = old.mode.value if old.mode is new.mode else f"{old.mode}>{new.mode}"
    return f"{new.rule} {old.phase}>{new.phase} {mode}"


class Covered:
    """The transitions of one world's desired record. `written` is told of every write of the store."""

    def __init__(self, desired_path: str) -> None:
        self._path = desired_path
        self._last: Cluster | None = None
        self.transitions = Counter[str]()

    def written(self, path: str, stored: Stored | None) -> None:
        if path != self._path or stored is None:
            return
        new = decode(Cluster, stored.data)
        if self._last is not None and new.seq > self._last.seq:  # else ZooKeeper lost writes: no step
            self.transitions[transition(self._last, new)] += 1
        self._last = new


def pairs(faults: Sequence[Fault]) -> set[tuple[str, str]]:
    """Kinds of which one fault began within TOGETHER_S of another's begin; sorted names."""
    return {
        (min(one.kind, other.kind), max(one.kind, other.kind))
        for one, other in combinations(faults, 2)
        if one.kind != other.kind and abs(one.at - other.at) <= TOGETHER_S
    }


def all_pairs(kinds: Iterable[str]) -> set[tuple[str, str]]:
    return set(combinations(sorted(kinds), 2))


@cache
def reachable() -> frozenset[str]:
    """Every transition that decide() makes in some circumstance, from the first record on."""
    found: set[str] = set()
    begun = _normal(first_record(DB_A))
    known, waiting = {begun}, [begun]
    while waiting:
        old = waiting.pop()
        for s in _circumstances(old):
            decision = decide(s)
            if decision.rule is None:
                continue
            found.add(transition(old, decision.cluster))
            new = _normal(decision.cluster)
            if new not in known:
                known.add(new)
                waiting.append(new)
    return frozenset(found)


def _normal(cluster: Cluster) -> Cluster:
    """As if db-a were primary in the builders' epoch: only what makes another transition possible is told apart."""
    return Cluster(
        EPOCH,
        41,
        DB_A,
        cluster.mode,
        cluster.phase,
        promotable=Certified(DB_B, "db-b/1") if cluster.promotable else None,
        fence=Fence(DB_B, LEASE_VERSION, "waited") if cluster.fence else None,
        heir="db-a/1" if cluster.heir else None,
    )


def _circumstances(cluster: Cluster) -> Iterator[Situation]:
    """What both nodes may say and be, whatever an operator asks."""
    silent: dict[str, Any] = {"lease_age_s": LONG_AGO_S, "report_age_s": LONG_AGO_S}
    never_opened = {"state": LeaseState.IDLE, "epoch": EPOCH - 1, "gate_open": False}
    not_serving: dict[str, Any] = {"writable": False, "gate_open": False}
    primary: tuple[dict[str, Any], ...] = (
        {},
        silent,
        {"lease": {"state": LeaseState.RELEASED, "why": "exited"}, "mysqld": Mysqld.DEAD, **not_serving},
        {"lease": {"state": LeaseState.RELEASED, "why": "handover"}, **not_serving},
        {"stalled_s": LONG_AGO_S},
        {"lease": never_opened, **not_serving},
        {"lease": never_opened, "unable": "a reason", **not_serving},
        {"sync": {"state": SyncState.NONE}},
    )
    other: tuple[dict[str, Any], ...] = (
        {},
        {"receiver_connected": False},
        silent,
        {"incarnation": "db-b/2", "lease_age_s": LONG_AGO_S},
    )
    asked = (None, Kind.SWITCHOVER, Kind.FAILOVER)
    for of_primary, of_other, kind, late in product(primary, other, asked, (False, True)):
        if cluster.promotable is None and not of_other:
            of_other = {"token": TOKEN}
        requests = (Request("r1", kind, DB_B, "a test", "olga", EPOCH),) if kind else ()
        s = situation(seen(DB_A, **of_primary), seen(DB_B, **of_other), requests=requests, cluster=cluster)
        yield replace(s, phase_since=NOW - (LONG_AGO_S if late else 0.0), fence_seen=NOW - LONG_AGO_S if late else None)
