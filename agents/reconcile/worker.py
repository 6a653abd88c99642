"""The repair thread: does what the record of a return asks of this node, so that no tick waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from agents.reconcile.swap import Swap, SwapState
from orchestrator.core.errors import KembarError
from orchestrator.core.gtid import GtidSet
from orchestrator.core.kept import Settlements
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.returning import Merging, Outcome, Returning, Stage

log = logging.getLogger("kembar.reconcile")

AGAIN_S = 1.0  # after a failure
LOOK_S = 5.0  # without one


@dataclass(frozen=True, slots=True)
class Task:
    """The record, and what this node needs to know for its part of it."""

    record: Reconcile
    returning: bool  # this node is the one that returns; else it is the primary
    primary_executed: GtidSet


def _step(record: Reconcile) -> tuple[int, int, Stage]:
    return record.id, record.attempt, record.stage


Facts = TypeVar("Facts", Returning, Merging, covariant=True)


class Part(Protocol[Facts]):
    """One node's part. May take long; asked again until nothing is left to do."""

    @property
    def facts(self) -> Facts:
        """How far it is; a value, for any thread."""

    def work(self, record: Reconcile, primary_executed: GtidSet) -> None:
        """Raises KembarError."""


class Decider(Protocol):
    """What persons chose about kept transactions, carried out here while this node is primary."""

    @property
    def settled(self) -> tuple[Outcome, ...]:
        """What became of the pending choices; a value, for any thread."""

    def work(self, settlements: Settlements) -> None:
        """Carry out what is pending, and publish what is open. Raises KembarError: call again."""


class RepairWorker:
    """`give`, `decide` and the facts are for the tick thread; `run` is the thread's own."""

    def __init__(
        self,
        returner: Part[Returning],
        merger: Part[Merging],
        swap: Swap,
        changed: Callable[[], None],
        decider: Decider | None = None,
    ) -> None:
        """`changed` is called when facts or trouble have changed: the report need not wait for its period."""
        self._returner, self._merger, self._swap, self._changed = returner, merger, swap, changed
        self._decider = decider
        self._task: Task | None = None
        self._settlements: Settlements | None = None
        self._wake = threading.Event()
        self._stopping = False
        self.trouble = ""

    def give(self, task: Task | None) -> None:
        """The task of now; None if there is none for this node."""
        before, self._task = self._task, task
        if task is not None and (before is None or before.record != task.record):
            self._wake.set()

    def wants(self, record: Reconcile) -> bool:
        """Whether a long step of this record is still to be gone on with. Its server may be silent for a while."""
        task = self._task
        same = task is None or _step(task.record) == _step(record)
        return same and not self._stopping

    @property
    def swap(self) -> SwapState:
        return self._swap.state

    def decide(self, settlements: Settlements | None) -> None:
        """What is pending now; None if this node has not the power to carry it out."""
        before, self._settlements = self._settlements, settlements
        if settlements is not None and settlements != before:
            self._wake.set()

    @property
    def settled(self) -> tuple[Outcome, ...]:
        return self._decider.settled if self._decider is not None else ()

    @property
    def returning(self) -> Returning:
        return self._returner.facts

    @property
    def merging(self) -> Merging:
        return self._merger.facts

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        """Until stopped. A kill at any place leaves the rest to the next process."""
        wait_s = LOOK_S
        while not self._stopping:
            self._wake.wait(wait_s)
            self._wake.clear()
            before = self._told()
            wait_s = min(self._repair(), self._settle())
            if self._told() != before:
                self._changed()

    def _told(self) -> tuple[Returning, Merging, tuple[Outcome, ...], str]:
        return self.returning, self.merging, self.settled, self.trouble

    def _settle(self) -> float:
        settlements = self._settlements
        if settlements is None or self._decider is None:
            return LOOK_S
        try:
            self._decider.work(settlements)
        except (KembarError, OSError) as error:
            log.warning("decisions: %s", error)
            return AGAIN_S
        return LOOK_S

    def _repair(self) -> float:
        task = self._task
        if task is None or not task.record.open:
            self.trouble = ""
            return LOOK_S
        work = self._returner.work if task.returning else self._merger.work
        try:
            work(task.record, task.primary_executed)
        except (KembarError, OSError) as error:
            if str(error) != self.trouble:
                log.warning("return %d, %s: %s", task.record.id, task.record.stage, error)
            self.trouble = str(error)
            return AGAIN_S
        self.trouble = ""
        return LOOK_S
