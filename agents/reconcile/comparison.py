"""One comparison of the standby with its primary, table by table: asks both, tells how far it is, keeps its place.

It yields to the work of the pair: it waits while the standby lags, and while many threads run on the primary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from typing import Protocol

from agents.binlog.rewind import Lasting
from agents.reconcile.judging import SKIPPED
from agents.reconcile.sweeping import Answered, Incomparable, Moved, Position, Question, Sweep, Tally
from agents.reconcile.swept import Progress
from orchestrator.core.errors import KembarError, StepFailed
from orchestrator.core.verifying import TOLD_MAX, Outcome, Verifying

AGAIN_S = 1.0  # while the primary is busy, or a table is being altered
KEEP_S = 1.0  # between two writes of how far it is: what a kill costs
REACH_S = 5
STATEMENT_S = 12.0
THREADS_MAX = 25  # that run on the primary
PASSES_MAX = 5  # over the list of tables: some may be made meanwhile
MOVES_MAX = 5  # of one table
HIDDEN, HIDDEN_NAMED = "the account may not read", 10  # schemas
KINDS = ("objects", "accounts")

Ask = Callable[[Question], Answered]


class Interrupted(KembarError):  # noqa: N818 - no error: something else comes first
    """The comparison is not wanted now: another comes first, or this node is no standby any more."""


class Watch(Protocol):
    """Who ordered it."""

    def wanted(self) -> bool: ...

    def wait(self, seconds: float) -> None:
        """Shorter if it is not wanted any more."""

    def tell(self, progress: Progress, *, keep: bool) -> None:
        """How far it is; `keep` also on disk. Raises StepFailed."""

    def now(self) -> str: ...


class Comparison:
    """Used by one thread, once."""

    def __init__(
        self, progress: Progress, theirs: Ask, ours: Ask, sessions: Callable[[], Lasting], watch: Watch
    ) -> None:  # fmt: skip
        self._progress, self._theirs, self._ours = progress, theirs, ours
        self._sessions, self._watch = sessions, watch
        told = progress.told
        tally = Tally(told.equal, told.hot, told.diverged, told.rows, told.differing, list(progress.found))
        self._tally, self._sweep = tally, Sweep(self, tally)
        self._sizes: dict[str, int] = {}
        self._began = time.monotonic() - progress.elapsed_s
        self._kept = 0.0

    def run(self) -> Progress:
        """To its end. Raises Interrupted, KembarError: called again with what was kept it goes on."""
        try:
            return self._run()
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise StepFailed(f"an answer that cannot be read: {type(error).__name__} {error}") from error

    def _run(self) -> Progress:
        for _ in range(PASSES_MAX):
            names, strangers = self._names()
            if strangers:
                return self._end(Outcome.FAILED, f"{strangers[0]}: neither server has such a table")
            left = [name for name in names if ".".join(name) not in self._progress.done]
            if not left:
                break
            for name in left:
                self._table(name)
        if not self._progress.told.asked:
            for what in KINDS:
                self._beside(what)
            self._sweep.transactions()
        return self._end(Outcome.DIFFERS if self._tally.differing else Outcome.EQUAL)

    # Sides: each waits as long as it takes, or raises Interrupted

    def theirs(self, question: Question) -> Answered:
        while True:
            self._check()
            answered = self._theirs({**question, "threads_max": THREADS_MAX})
            if not (busy := answered.get("busy")):
                return answered
            self._waits(f"{busy} threads run on the primary")
            self.pause(AGAIN_S)

    def ours(self, question: Question) -> Answered:
        self._check()
        return self._ours(question)

    def reach(self, executed: str) -> None:
        with closing(self._sessions()) as session:
            while True:
                self._check()
                (row,) = session.ask(
                    "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s) AS late", (executed, REACH_S), within_s=STATEMENT_S
                )
                if row["late"] == "0":
                    return
                self._waits("the standby lags")

    def pause(self, seconds: float) -> None:
        self._check()
        self._watch.wait(seconds)
        self._check()

    def _check(self) -> None:
        if not self._watch.wanted():
            raise Interrupted("another comparison comes first, or none is wanted")

    # tables

    def _names(self) -> tuple[list[tuple[str, str]], list[str]]:
        """The tables to compare, on either side, and the asked ones that are on none."""
        theirs = _listed(self.theirs({"what": "tables"}), "primary")
        ours = _listed(self.ours({"what": "tables"}), "standby")
        sizes = {(schema, name): size for schema, name, size in [*ours["tables"], *theirs["tables"]]}
        asked = self._progress.told.asked
        called = {".".join(name): name for name in sizes if ".".join(name) not in SKIPPED}
        wanted = {full: name for full, name in called.items() if not asked or full in asked}
        self._sizes = {full: max(sizes[name], 1) for full, name in wanted.items()}
        unseen = () if asked else tuple(dict.fromkeys((*theirs["hidden"], *ours["hidden"])))
        self._skip(f"schema {schema}: {HIDDEN} it" for schema in unseen[:HIDDEN_NAMED])
        if more := unseen[HIDDEN_NAMED:]:
            self._skip([f"{len(more)} more schemas: {HIDDEN} them"])
        self._told(tables=len(wanted))
        return sorted(wanted.values()), [name for name in asked if name not in called]

    def _table(self, name: tuple[str, str]) -> None:
        full, moves = ".".join(name), 0
        while True:
            begin = self._progress.place if self._progress.table == full else Position()
            self._told(doing=full)
            try:
                for place in self._sweep.table(name, begin):
                    self._note(full, place)
                break
            except Moved as moved:
                moves += 1
                self._note(full, Position())
                if moves == MOVES_MAX:
                    self._skip([f"{full}: {moved}, again and again"])
                    break
                self.pause(AGAIN_S)
            except Incomparable as why:
                self._skip([f"{full}: {why}"])
                break
        self._progress = replace(self._progress, done=(*self._progress.done, full), table="", place=Position())
        self._told(tables_done=len(self._progress.done))
        self._keep()

    def _beside(self, what: str) -> None:
        self._told(doing=what)
        try:
            self._sweep.objects(what)
        except Incomparable as why:
            self._skip([f"{what}: {why}"])

    # telling

    def _note(self, full: str, place: Position) -> None:
        self._progress = replace(self._progress, table=full, place=place)
        known = sum(size for one, size in self._sizes.items() if one in self._progress.done)
        share = min(place.done / self._sizes.get(full, 1), 1.0) * self._sizes.get(full, 1)
        percent = 100 * (known + share) / max(sum(self._sizes.values()), 1)
        elapsed_s = time.monotonic() - self._began
        per_s = self._tally.rows / elapsed_s if elapsed_s else 0.0
        self._told(
            doing=full,
            percent=round(min(percent, 99.9), 1),
            rows_per_s=round(per_s, 1),
            eta_s=round(elapsed_s * (100 / percent - 1), 1) if percent else 0.0,
        )
        if len(self._tally.differences) != len(self._progress.found) or elapsed_s - self._kept >= KEEP_S:
            self._keep()

    def _keep(self) -> None:
        self._kept = time.monotonic() - self._began
        self._progress = replace(self._progress, elapsed_s=self._kept, found=tuple(self._tally.differences))
        self._watch.tell(self._progress, keep=True)

    def _skip(self, why: Iterable[str]) -> None:
        self._told(skipped=tuple(dict.fromkeys((*self._progress.told.skipped, *why))))

    def _waits(self, why: str) -> None:
        self._told(doing=f"waiting: {why}")

    def _told(self, **changes: object) -> None:
        tally = self._tally
        told: Verifying = replace(
            self._progress.told,
            equal=tally.equal,
            hot=tally.hot,
            diverged=tally.diverged,
            rows=tally.rows,
            differing=tally.differing,
            differences=tuple(tally.differences[:TOLD_MAX]),
            **changes,  # type: ignore[arg-type]
        )
        self._progress = replace(self._progress, told=told)
        self._watch.tell(self._progress, keep=False)

    def _end(self, outcome: Outcome, why: str = "") -> Progress:
        percent = 0.0 if outcome is Outcome.FAILED else 100.0
        self._told(outcome=outcome, why=why, doing="", percent=percent, eta_s=0.0, ended=self._watch.now())
        return replace(self._progress, found=tuple(self._tally.differences))


def _listed(answered: Answered, whose: str) -> Answered:
    if "tables" in answered:
        return answered
    why = answered.get("refused") or "it takes longer than a statement may"
    raise StepFailed(f"the tables of the {whose} cannot be listed: {why}")
