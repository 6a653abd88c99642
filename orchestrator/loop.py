"""Orchestrator.tick(): look, decide, write, publish. It moves values; nothing comes before the write of a decision."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import Writer
from orchestrator.core.errors import KembarError
from orchestrator.core.invariants import check_step
from orchestrator.core.model import Instant, NodeName, Phase, Policy
from orchestrator.core.ports import Clock, Coordinator, Mirror, Seen
from orchestrator.core.rules import Decision, decide
from orchestrator.core.situation import Situation
from orchestrator.core.unreadable import Unreadable
from orchestrator.watching import Watching

log = logging.getLogger("kembar.orchestrator")

TICK_MIN_S, TICK_MAX_S = 0.1, 0.5  # without news; changes wake the loop at once
WRITE_S = 1.0
RESIGN_AFTER_S = 10.0  # among equals up to twice as long, by lot
DRAWS = 2**16


class Leadership(Protocol):
    """What the loop needs of an election."""

    @property
    def tenure(self) -> tuple[int, int] | None:
        """Number and record version of our term, read as one; None while not leading or in any doubt."""

    def resign(self) -> None: ...

    def recheck(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Look:
    """One tick's view, for whoever shows or records it."""

    seen: Mapping[str, Seen]
    now: Instant
    leading: bool
    situation: Situation | None = None
    desired_version: int = -1
    decided: Decision | None = None  # the leader's; whoever shows another's look decides for himself
    written: bool = False  # whether ZooKeeper has acknowledged it
    unreadable: tuple[Unreadable, ...] = ()


def idle_tick_s(policy: Policy) -> float:
    """How often it looks at a pair of which nothing new comes."""
    return min(TICK_MAX_S, max(TICK_MIN_S, policy.timing.renew_every_s))


class Orchestrator:
    """The loop of one pair. `show` takes each tick's look; it must not block."""

    def __init__(
        self,
        name: str,
        paths: Paths,
        pair: tuple[NodeName, NodeName],
        clock: Clock,
        coordinator: Coordinator,
        mirror: Mirror,
        leadership: Leadership,
        watching: Watching,
        show: Callable[[Look], None],
    ) -> None:
        self._name, self._paths, self._pair = name, paths, pair
        self._clock, self._coordinator, self._mirror = clock, coordinator, mirror
        self._leadership, self._watching, self._show = leadership, watching, show
        self._writer = Writer(coordinator, paths)
        self._written_version = -1
        self._rival_since: Instant | None = None
        self._tick_s = TICK_MIN_S
        self._wake = threading.Event()
        self._stopping = False

    def wake(self) -> None:
        """Tick soon: something changed."""
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        while not self._stopping:
            self._wake.wait(self._tick_s)
            self._wake.clear()
            self.tick()

    def tick(self) -> None:
        """One pass. Trouble with ZooKeeper ends the pass; the next one reads and decides again."""
        seen, now = self._mirror.snapshot(), self._clock.waiter_now()
        tenure = self._leadership.tenure
        leading = tenure is not None
        found = self._watching.situation(seen, now, self._hearing_since(seen), tenure[0] if tenure else 0)
        situation, version = found.situation, found.version
        if situation is None:
            self._show(Look(seen, now, leading, unreadable=found.unreadable))
            return
        self._tick_s = idle_tick_s(situation.policy)
        if tenure is None:
            self._show(Look(seen, now, leading, situation, version, unreadable=found.unreadable))
            return
        if situation.cluster.term > tenure[0]:  # another has led, or the record says so: only a later term may write
            self._leadership.resign()
            self._show(Look(seen, now, leading, situation, version, unreadable=found.unreadable))
            return
        decision = decide(situation)
        written = False
        if decision.rule is not None and version >= self._written_version:
            written = self._write(situation, decision, version, tenure[1])
        self._show(Look(seen, now, leading, situation, version, decision, written, found.unreadable))
        if not written:
            self._make_way(situation, seen)

    def _hearing_since(self, seen: Mapping[str, Seen]) -> Instant:
        return self._coordinator.hearing_since() if seen else math.inf

    def _write(self, situation: Situation, decision: Decision, version: int, term_version: int) -> bool:
        check_step(situation.cluster, decision.cluster)
        try:
            self._written_version = self._writer.decide(decision, version, term_version, WRITE_S)
        except KembarError as error:
            log.warning("%s not written: %s", decision.rule.id if decision.rule else "", error)
            self._leadership.recheck()
            return False
        assert decision.rule is not None
        log.info(
            "%s: %s",
            decision.rule.id,
            decision.rule.why,
            extra={"epoch": decision.cluster.epoch, "seq": decision.cluster.seq, "rule": decision.rule.id},
        )
        return True

    def _make_way(self, situation: Situation, seen: Mapping[str, Seen]) -> None:
        """Resign once a better candidate has stood for a while.

        A leader on a host of the pair is lost with it. Of many pairs each orchestrator leads its share, so that one
        that is lost leaves only that share without a leader for a moment; they do not all change hands at once.
        """
        own = self._rank(self._name, situation)
        best = min((self._rank(name, situation) for name in self._paths.candidates(seen)), default=own)
        if best >= own:
            self._rival_since = None
            return
        after_s = RESIGN_AFTER_S if best[0] < own[0] else RESIGN_AFTER_S * (1 + own[1] / DRAWS)
        if self._rival_since is None:
            self._rival_since = situation.now
        elif situation.now - self._rival_since >= after_s:
            self._rival_since = None
            self._leadership.resign()

    def _rank(self, name: str, situation: Situation) -> tuple[int, int]:
        """Best is a host apart from the pair, worst the primary's own; among equals a lot, only while all is well."""
        place = 0 if name not in self._pair else 2 if name == situation.primary else 1
        lot = lot_of(self._paths.cluster, name) if situation.cluster.phase is Phase.STEADY else 0
        return place, lot


@lru_cache(4096)
def lot_of(cluster: str, name: str) -> int:
    """Of an orchestrator in the choice of a cluster's leader, below DRAWS; the lowest is best, and all know it."""
    return int.from_bytes(sha256(f"{cluster} {name}".encode()).digest()[:2])
