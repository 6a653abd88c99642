"""The last rung: the node becomes a copy of the primary, made beside its data directory. Any step may be repeated.

It may be done because the evidence of what only this node has is on both hosts. The old directory stays until the copy
is verified.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from agents.binlog.rewind import Lasting
from agents.reconcile.copyable import Side, needed_bytes, refusal
from agents.reconcile.copying import Copy, Donor, end_earlier, heard, side
from agents.reconcile.evidence import Folder
from agents.reconcile.swap import Swap
from agents.session import StatementRefused
from orchestrator.core.errors import KembarError, StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.reconcile import Merge, Reconcile

STATEMENT_S = 30.0
PAUSE_MAX_S = 60.0
# Donor's version, operating system, platform, character set, configuration, plugins: as they are they will not do.
NEVER = frozenset({3864, 3865, 3866, 3867, 3868, 3870})
Tell = Callable[[str, float], None]
Ask = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
_CHANNELS = "SELECT COUNT(*) AS n FROM performance_schema.replication_connection_configuration WHERE HOST <> ''"
_STATE = (
    "SELECT @@GLOBAL.server_uuid AS server, REPLACE(@@GLOBAL.gtid_executed, '\\n', '') AS executed,"
    " REPLACE(@@GLOBAL.gtid_purged, '\\n', '') AS purged"
)


class Unclonable(StepFailed):
    """This node cannot be made a copy of the primary before a person has changed something."""


class Cloner:
    """Used by the repair thread alone."""

    def __init__(
        self,
        swap: Swap,
        evidence: Path,
        donor: Donor | None,
        sessions: Callable[[], Lasting],
        ask: Ask,
        wanted: Callable[[Reconcile], bool],
    ) -> None:
        """`ask` asks the primary's agent; `wanted` says whether a record is still the one to be worked for."""
        self._swap, self._evidence, self._donor = swap, evidence, donor
        self._sessions, self._ask, self._wanted = sessions, ask, wanted
        self._not_before, self._pause_s, self._failure = float("-inf"), 0.0, ""

    def work(self, record: Reconcile, tell: Tell) -> bool:
        """Whether mysqld runs on the copy, and follows nobody yet. False: call again, somebody else is to move.

        Raises Unclonable; other KembarErrors may pass by themselves, or once somebody has made room.
        """
        if self._swap.done(record.id):
            return self._clean(record)
        if self._swap.planned(record.id):
            tell("waiting for mysqld to be started on the copy", 100.0)
            return False
        if record.merge not in (Merge.DONE, Merge.WAITING):
            tell("waiting for the merge", 0.0)  # what it brings to the primary is then in the copy
            return False
        self._check(record)
        if time.monotonic() < self._not_before:
            raise StepFailed(self._failure)
        self._copy(record, tell)
        return False

    def end(self, record: Reconcile) -> None:
        """The node is verified: what it was before is no longer needed. Raises StepFailed."""
        self._swap.end(record.id)

    def _check(self, record: Reconcile) -> None:
        if self._donor is None:
            raise Unclonable("agent.yaml has no mysql.clone: the account that may copy the primary")
        if bar := self._swap.bar:
            raise Unclonable(f"data_not_movable: {bar}")
        folder = Folder.of(self._evidence, record)
        if folder.sums() != record.sums or not folder.whole():
            raise Unclonable(f"evidence_incomplete: {folder.logs} is not as both hosts kept it: nothing is replaced")
        donor = self._donor_side()
        with closing(self._sessions()) as session:
            own = side(session)
        if why := refusal(own, donor):
            raise Unclonable(why)
        if unkept := GtidSet.parse(own.executed) - GtidSet.parse(donor.executed) - GtidSet.parse(record.errant):
            raise Unclonable(f"evidence_incomplete: {unkept} came since it was kept, and would be lost")
        needed, free = needed_bytes(donor), shutil.disk_usage(self._swap.parent).free
        if free < needed:
            raise StepFailed(
                f"no_space_side_by_side: a copy of the primary needs {needed >> 20} MiB in {self._swap.parent}, "
                f"{free >> 20} MiB are free: make room there"
            )

    def _donor_side(self) -> Side:
        return heard(self._ask("donor", {}))

    def _still(self, record: Reconcile) -> None:
        if not self._wanted(record):
            raise StepFailed("the copy was ended: it is no longer asked for")

    def _copy(self, record: Reconcile, tell: Tell) -> None:
        """From nothing to a complete copy, for whose sake the tick ends mysqld."""
        assert self._donor is not None
        with closing(self._sessions()) as beside:
            end_earlier(beside)
            self._swap.clear(record.id)
            copy = Copy(self._sessions(), self._donor, self._swap.copy(record.id))
            try:
                copy.watch(
                    beside,
                    lambda: self._still(record),
                    lambda percent: tell("copying the primary", percent),
                    self._donor_side,
                )
                (state,) = beside.ask(_STATE, within_s=STATEMENT_S)
                self._swap.plan(record.id, state["server"])
            except KembarError as error:
                self._failed(record, error)
        self._not_before, self._pause_s = float("-inf"), 0.0
        tell("waiting for mysqld to be started on the copy", 100.0)

    def _failed(self, record: Reconcile, error: KembarError) -> None:
        """Its space is given back at once; it is begun again less and less often, as each time costs the donor."""
        self._pause_s = min(PAUSE_MAX_S, 2 * self._pause_s or 1.0)
        self._not_before = time.monotonic() + self._pause_s
        self._swap.clear(record.id)
        if isinstance(error, StatementRefused) and error.errno in NEVER:
            raise Unclonable(f"clone_failed: {error}") from error
        self._failure = f"clone_failed: {error}; begun again in {self._pause_s:g} s"
        raise StepFailed(self._failure) from error

    def _clean(self, record: Reconcile) -> bool:
        """The copy brings the donor's channels, of which one leads to this very node."""
        with closing(self._sessions()) as session:
            (state,) = session.ask(_STATE, within_s=STATEMENT_S)
            if not self._swap.replaced(state["server"]):
                self._swap.clear(record.id)  # somebody took the copy away before it was used
                return False
            _forget_channels(session)
        stray = GtidSet.parse(state["executed"]) - GtidSet.parse(state["purged"])
        if stray:
            raise StepFailed(f"stray_gtid: the copy has executed {stray} by itself")
        return True


def _forget_channels(session: Lasting) -> None:
    (channels,) = session.ask(_CHANNELS, within_s=STATEMENT_S)
    if channels["n"] != "0":
        session.ask("STOP REPLICA", within_s=STATEMENT_S)
        session.ask("RESET REPLICA ALL", within_s=STATEMENT_S)
