"""Planted protocol errors, each in the product's own functions, and the seeds within which each must be found.

A mutant exchanges the code of a function while it plays, so that tables and bound methods that hold the function see it
too. `python -m tests.sim.mutants` prints found k of n.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import CodeType
from typing import Any

from agents import converge
from agents.guard import Guard
from agents.lease import LeaseKeeper
from agents.steps import Steps
from lab.provenance import provenance
from orchestrator.core import conditions, transitions
from orchestrator.core.lease import Timing
from orchestrator.core.situation import Situation
from orchestrator.watching import Watching
from tests.sim.kernel import SimGate
from tests.sim.stories import STORIES, tell
from tests.sim.world import play


@contextmanager
def edited(function: Callable[..., Any], *changes: tuple[str, str]) -> Iterator[None]:
    """`function` with each first text replaced by the second; a text that is not there is an error of the mutant."""
    before: CodeType = function.__code__
    source = textwrap.dedent(inspect.getsource(function))
    source = source[source.index("def ") :]
    for old, new in changes:
        assert old in source, f"{function.__qualname__} no longer contains {old!r}"
        source = source.replace(old, new)
    names = dict(function.__globals__)
    exec("from __future__ import annotations\n" + source, names)
    function.__code__ = names[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = before


Edit = tuple[Callable[..., Any], tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Mutant:
    name: str
    seeds: int  # found within so many, from the first on
    edits: tuple[Edit, ...]


def _one(name: str, seeds: int, function: Callable[..., Any], *changes: tuple[str, str]) -> Mutant:
    return Mutant(name, seeds, ((function, changes),))


MUTANTS: tuple[Mutant, ...] = (
    _one("SHUT does not reach the kernel", 30, Guard.shut, ("self._gate.shut()", "pass")),
    Mutant(
        "the receiver is not stopped before the drain",
        60,
        (
            (
                converge._take_what_was_received,
                (("(Action.STOP_RECEIVER, Action.DRAIN,", "(Action.DRAIN,"),),
            ),
            (Steps._write_promotion, (("if facts.backlog:", "if False:"),)),
        ),
    ),
    Mutant(
        "no drain",
        60,
        (
            (Steps._drain, (("facts = self._database.facts()", "return"),)),
            (Steps._write_promotion, (("if facts.backlog:", "if False:"),)),
        ),
    ),
    _one("half W", 30, Timing.fence_wait_s.fget, ("ceil(exact * 100 - 1e-9) / 100", "exact / 2")),
    _one(
        "t_s taken after the answer",
        60,
        LeaseKeeper._accept,
        ("self._sent = flight.sent or self._sent", "self._sent = self._clock.holder_now()"),
    ),
    Mutant(
        "incarnations compared nowhere",  # each of these alone is made good by the others
        100,
        (
            (Situation.standby_certified, (("== Certified(self.standby, report.incarnation)", "is not None"),)),
            (converge.unable, (("if local.incarnation and local.incarnation != goal.heir:", "if False:"),)),
            (conditions.heir_cannot, (("report.incarnation != s.cluster.heir", "False"),)),
        ),
    ),
    _one(
        "a revoke counts as a release",
        100,
        conditions.fence_proven,
        ("sighting.version > fence.lease_version + 1", "True"),
        ("sighting.value.state is LeaseState.RELEASED", "sighting.value.state is not LeaseState.HELD"),
    ),
    _one("t_obs of another version", 60, Watching._fence_seen, ("if version >= fence.lease_version", "if version")),
    _one("OPEN as plain add", 200, SimGate.open, ("if self._time.now >= kernel.permit_until:", "if False:")),
    _one("RENEW as plain add", 100, SimGate.renew, ("if self._time.now >= kernel.lease_until:", "if False:")),
    _one(
        "the gate renewed past the horizon",
        30,
        LeaseKeeper._renew_gate,
        ("elif not self._authorised():", "elif False:"),
    ),
    _one(
        "a write of unknown outcome counts as done",
        100,
        LeaseKeeper._settle,
        ("except (UnknownOutcome, StaleWrite):", "except (UnknownOutcome, StaleWrite):\n        version = self._version + 1\n        self._accept(flight, version)\n        return"),  # noqa: E501
    ),
    _one(
        "the lease taken without a check of the record",
        100,
        Steps._take_lease,
        ("(check,)", "()"),
        ("(check, self._sync_write(relaxed))", "(self._sync_write(relaxed),)"),
    ),
    _one("relaxed without a record", 30, Steps._record_relaxed, ("not self.relaxed(order.goal.epoch)", "False")),
    _one(
        "G read before semi-sync is ON",
        200,
        Steps._certify,
        ("self._database.semisync.require_ack()\n", "executed = self._database.executed()\n"),
        ("executed = self._database.executed()\n    self.heartbeat()", "self._database.semisync.require_ack()"),
    ),
    _one(
        "any token certifies",
        100,
        conditions.certificate_complete,
        ("and standby.token == sync.token", ""),
    ),
    _one("source side left ON on the standby", 60, converge._follow, ("if local.source_on:", "if False:")),
    _one(
        "stalled commits acknowledged at demotion",
        60,
        converge._demote,
        ("return (*_close(local), Action.KILL_MYSQLD, *_release(local))", "return (*_close(local), Action.RELAX)"),
    ),
    _one(
        "F4 after the heir held the lease",
        200,
        conditions.heir_cannot,
        ("or s.lease(s.primary).epoch == s.cluster.epoch", ""),
    ),
    _one("U1 keeps the standby promotable", 30, transitions.relax, (", promotable=None", "")),
    _one(
        "errant transactions do not keep a node from replicating",
        100,
        converge._follow,
        ("if local.errant is not False:", "if False:"),
    ),
)  # fmt: skip


def hunt(mutant: Mutant, *, first: int = 1, seeds: int | None = None) -> str | None:
    """By what it was found; None if it survived the stories and its seeds."""
    with ExitStack() as stack:
        for function, changes in mutant.edits:
            stack.enter_context(edited(function, *changes))
        for name, again in product(STORIES, range(2)):
            result = tell(name, again)
            if result.violation:
                return f"story {name!r}: {result.violation}"
        for count in range(1, (seeds or mutant.seeds) + 1):
            result = play(first + count - 1)
            if result.violation:
                return f"seed {first + count - 1}: {result.violation}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the totals there too")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    found = 0
    for mutant in chosen:
        caught = hunt(mutant, first=options.first, seeds=options.seeds)
        found += caught is not None
        said = (
            f"found by {caught[:160]}" if caught else f"SURVIVES the stories and {options.seeds or mutant.seeds} seeds"
        )
        print(f"{mutant.name}: {said}", flush=True)
    print(f"mutants: found {found} of {len(chosen)}")
    if options.json is not None:
        options.json.write_text(json.dumps(provenance() | {"found": found, "planted": len(chosen)}))
    return found < len(chosen)


if __name__ == "__main__":
    sys.exit(main())
