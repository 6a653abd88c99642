"""Many seeds and stories in several processes, and what they add up to: one line, and whether it is good enough."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from orchestrator.core.rules import RULES
from tests.sim.coverage import all_pairs, reachable
from tests.sim.stories import tell
from tests.sim.swarm import KINDS
from tests.sim.world import Result, play

ENOUGH_SEEDS = 500  # from here on a rule or transition that was never met is a failure


@dataclass
class Total:
    """The sum of many results."""

    seeds: int = 0
    stories: int = 0
    simulated_s: float = 0.0
    cpu_s: float = 0.0
    writes: int = 0
    diverged: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    transitions: Counter[str] = field(default_factory=Counter)
    pairs: set[tuple[str, str]] = field(default_factory=set)
    violations: dict[int | str, str] = field(default_factory=dict)  # by seed or story

    def add(self, result: Result, cpu_s: float, story: str = "") -> None:
        self.seeds += not story
        self.stories += bool(story)
        self.simulated_s += result.simulated_s
        self.cpu_s += cpu_s
        self.writes += result.ok
        self.diverged += bool(result.diverged)
        self.faults.update(result.faults)
        self.rules.update(result.rules)
        self.transitions.update(result.transitions)
        self.pairs |= result.pairs
        if result.violation:
            self.violations[story or result.seed] = result.violation

    def missing(self) -> list[str]:
        """Rules and transitions that were never met."""
        rules = {rule.id for rule in RULES} - set(self.rules)
        return sorted(rules) + sorted(reachable() - set(self.transitions))

    def failed(self) -> bool:
        return bool(self.violations) or (self.seeds >= ENOUGH_SEEDS and bool(self.missing()))

    def line(self) -> str:
        ids, wanted, meeting = {rule.id for rule in RULES}, reachable(), all_pairs(KINDS)
        return (
            f"{self.seeds} seeds and {self.stories} stories, {self.simulated_s / 3600:.2f} simulated hours, "
            f"{self.faults.total()} faults of {len(self.faults)} kinds, "
            f"rules {len(ids & set(self.rules))} of {len(ids)}, "
            f"transitions {len(wanted & set(self.transitions))} of {len(wanted)}, "
            f"pairs of fault kinds {len(meeting & self.pairs)} of {len(meeting)}, "
            f"{self.writes} acknowledged writes, {self.diverged} diverged, {len(self.violations)} violations; "
            f"{self.simulated_s / max(self.cpu_s, 0.001):.0f} simulated s per CPU s"
        )


def total(
    seeds: Iterable[int],
    storm_s: float,
    processes: int,
    told: Callable[[int | str, Result], None] = lambda name, result: None,
    stories: Iterable[str] = (),
) -> Total:
    """Play them all, the stories first; `told` hears of each result as it comes, in any order."""
    found = Total()
    with get_context("fork").Pool(processes) as pool:
        for name, result, cpu_s in pool.imap_unordered(_told, stories):
            found.add(result, cpu_s, story=name)
            told(name, result)
        for result, cpu_s in pool.imap_unordered(partial(_played, storm_s=storm_s), seeds, chunksize=2):
            found.add(result, cpu_s)
            told(result.seed, result)
    return found


def _told(story: str) -> tuple[str, Result, float]:
    return story, *_timed(partial(tell, story))


def _played(seed: int, storm_s: float) -> tuple[Result, float]:
    return _timed(partial(play, seed, storm_s))


def _timed(run: Callable[[], Result]) -> tuple[Result, float]:
    began = time.process_time()
    result = run()
    result.trace = []  # whoever wants the timeline plays it again
    return result, time.process_time() - began
