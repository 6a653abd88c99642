"""Writes this node's report: each period, and at once when something that matters has changed. One in flight."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from operator import attrgetter

from orchestrator.core.errors import CoordinatorUnavailable, KembarError
from orchestrator.core.model import Instant, NodeName, Report
from orchestrator.core.ports import Clock, Coordinator, Pending, SetData
from orchestrator.core.wire import encode

log = logging.getLogger("kembar.agent")

# What changes all the time, and waits for the period.
_PASSING = {"executed", "received", "received_age_s", "stalled_s", "unheard_s", "backlog_transactions",
            "oldest_transaction_s", "margins", "host"}  # fmt: skip
_lasting = attrgetter(*(field.name for field in fields(Report) if field.name not in _PASSING))


def _matter(report: Report) -> tuple[object, ...]:
    """What is worth a report of its own: of a repair not each transaction, but what is reached."""
    returning, merging = replace(report.returning, doing="", percent=0.0), replace(report.merging, verdicts={})
    found: tuple[object, ...] = _lasting(replace(report, returning=returning, merging=merging))
    return found


class Reporter:
    """The report node of this agent. Used by the tick thread; a write that is lost is made good by the next."""

    def __init__(self, node: NodeName, path: str, coordinator: Coordinator, clock: Clock) -> None:
        self._node, self._path, self._coordinator, self._clock = node, path, coordinator, clock
        self._version = -1
        self._told: Report | None = None
        self._told_at: Instant = float("-inf")
        self._pending: Pending | None = None

    @property
    def told_executed(self) -> str:
        """The executed set of the last report that was sent."""
        return self._told.executed if self._told else ""

    def told(self) -> tuple[Report | None, Instant]:
        """The last report that was sent, and when, by the holder's clock; for any thread."""
        told_at = self._told_at  # first: a report that is newer than its time only looks older than it is
        return self._told, told_at

    def tell(self, report: Report, *, every_s: float, at_once: bool) -> None:
        """Send it if its period has come, if it says something new, or `at_once`. Raises CoordinatorUnavailable."""
        now = self._clock.holder_now()
        news = self._told is None or _matter(report) != _matter(self._told)
        if not (at_once or news or now - self._told_at >= every_s):
            return
        self._land()
        if self._version < 0:
            stored = self._coordinator.read(self._path)
            self._version = stored.version if stored else 0
        told = encode(replace(report, wall_s=self._clock.wall_s()))
        self._pending = self._coordinator.submit((SetData(self._path, told, self._version),))
        self._version += 1
        self._told, self._told_at = report, now

    def complain(self, trouble: str, remembered: tuple[int, int], opened_epoch: int, every_s: float) -> None:
        """Send the last report again with this trouble alone and what is remembered: the rest can no longer be judged.

        Each period, so that a person who settles it finds this node heard.
        """
        told = replace(
            self._told or Report(self._node),
            troubles=(trouble,),
            remembered_epoch=remembered[0],
            remembered_seq=remembered[1],
            opened_epoch=opened_epoch,
        )
        self.tell(told, every_s=every_s, at_once=False)

    def _land(self) -> None:
        """The answer to the report before: its failure only means that the version must be read again."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            pending.result(1.0)
        except CoordinatorUnavailable:
            self._version = -1
            raise
        except KembarError as error:
            log.warning("report: %s", error)
            self._version = -1
