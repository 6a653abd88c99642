"""What the charts are drawn from: a quarter of an hour of lag and writes, once a second, in the memory of this process.

A restart leaves a gap. Incidents keep two minutes before and after them for as long as the process lives.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from monitoring.chart import Line, Series
from monitoring.node_view import fresh_report
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import Instant, NodeName, Report, Role
from orchestrator.core.snapshot import Snapshot

KEPT_S = 900
BUCKET_S = 5  # one point of a sparkline
AROUND_S = 120  # kept of an incident, before its beginning and after its end
INCIDENTS_KEPT = 30
SAME_S = 0.01  # reports that are seen so near to each other are the same one
LAG, WRITES = "lag", "writes"
TITLES = {LAG: ("Lag", "s"), WRITES: ("Writes", "/s")}


@dataclass(slots=True)
class _Counted:
    """The newest report of a node that was looked at: how many transactions it had, and when it was first seen."""

    incarnation: str
    transactions: int
    at: Instant
    rate: float | None = None


@dataclass(slots=True)
class Samples:
    """One pair. `second` is a whole second of any clock that does not jump."""

    _values: dict[tuple[NodeName, str], deque[tuple[int, float]]] = field(default_factory=dict)
    _counted: dict[NodeName, _Counted] = field(default_factory=dict)
    _kept: dict[int, tuple[Series, ...]] = field(default_factory=dict)

    def take(self, s: Snapshot, elapsed_s: float, second: int) -> None:
        """One sample of each node; nothing of one that is not heard. `elapsed_s`: since the snapshot was taken."""
        for node in s.pair:
            report = fresh_report(s, node, elapsed_s)
            if report is None:
                self._counted.pop(node, None)
                continue
            self._note(node, WRITES, second, self._rate(s, node, report))
            if report.role is Role.STANDBY and report.receiver_connected:
                self._note(node, LAG, second, report.received_age_s)

    def line(self, node: NodeName, measure: str, until: int, span_s: int, every_s: int, name: str = "") -> Line:
        """The largest of each `every_s` in the `span_s` before `until`; None where nothing was sampled."""
        found: list[float | None] = [None] * (span_s // every_s)
        for second, value in self._values.get((node, measure), ()):
            place = len(found) - 1 - (until - 1 - second) // every_s
            if second < until and place >= 0:
                found[place] = max(value, found[place] if found[place] is not None else value)  # type: ignore[type-var]
        return Line(name, tuple(found))

    def sparkline(self, node: NodeName, measure: str, second: int, until: str) -> Series:
        """A quarter of an hour of one node, up to the last whole bucket, so that it changes with each bucket only."""
        title, unit = TITLES[measure]
        line = self.line(node, measure, second - second % BUCKET_S, KEPT_S, BUCKET_S)
        return Series(f"{measure}-{node}", title, unit, BUCKET_S, until, (line,))

    def keep(self, s: Snapshot, incident: int, ended: int, took_s: int, until: str) -> None:
        """The time around an incident that ended at the second `ended`, once."""
        if incident in self._kept:
            return
        self._kept[incident] = self.around(s, ended, took_s, until)
        while len(self._kept) > INCIDENTS_KEPT:
            del self._kept[next(iter(self._kept))]

    def around(self, s: Snapshot, ended: int, took_s: int, until: str) -> tuple[Series, ...]:
        """Both nodes together; what is still to come is not measured yet."""
        span_s = min(took_s + 2 * AROUND_S, KEPT_S)
        return tuple(
            Series(
                f"incident-{measure}",
                *TITLES[measure],
                1,
                until,
                tuple(self.line(node, measure, ended + AROUND_S, span_s, 1, node) for node in s.pair),
            )
            for measure in (LAG, WRITES)
        )

    def kept(self, incident: int) -> tuple[Series, ...]:
        """What was kept of it; empty if this process did not see it, or it is not over for long enough."""
        return self._kept.get(incident, ())

    def _rate(self, s: Snapshot, node: NodeName, report: Report) -> float | None:
        """Transactions a second that came to its executed set, from report to report."""
        try:
            transactions = len(GtidSet.parse(report.executed))
        except ValueError:
            return None
        at, before = s.taken - s.reports[node].age_s, self._counted.get(node)
        same = before is not None and before.incarnation == report.incarnation
        if before is not None and same and at - before.at < SAME_S:
            return before.rate  # no other report has come
        grown = transactions - before.transactions if before is not None and same else -1
        rate = grown / (at - before.at) if before is not None and grown >= 0 else None
        self._counted[node] = _Counted(report.incarnation, transactions, at, rate)
        return rate

    def _note(self, node: NodeName, measure: str, second: int, value: float | None) -> None:
        if value is not None:
            self._values.setdefault((node, measure), deque(maxlen=KEPT_S)).append((second, value))
