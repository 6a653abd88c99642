"""The primary's part of a return: the evidence is fetched, and each errant transaction is merged, kept or discarded.

While clients are served: one transaction at a time, each under its original GTID, so that MySQL itself refuses a second
one. What is not merged is recorded first; then its number is used up by an empty transaction.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from agents.binlog.archive import SUMS
from agents.binlog.contents import Transaction, transactions
from agents.binlog.fields import Unreadable
from agents.binlog.ids import holds
from agents.binlog.images import row_changes
from agents.binlog.logs import contents, mapped
from agents.binlog.parse import Buffer, head
from agents.binlog.rewind import Lasting, binlog_statement, description
from agents.binlog.table import Table
from agents.reconcile.comparing import texts, touched_keys
from agents.reconcile.evidence import Folder
from agents.reconcile.judging import SKIPPED, Kept, footprint
from agents.reconcile.planning import Stop
from agents.reconcile.quarantine import Entry, State, forget, keep, record, recorded
from agents.reconcile.replay import Replay
from agents.reconcile.tables import Tables
from agents.reconcile.together import LOCK_S
from agents.reconcile.tombstones import bury, executed
from orchestrator.core.conflicts import Conflict, How
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.mergepolicy import MergePolicy, Unacknowledged
from orchestrator.core.reconcile import Merge, Reconcile
from orchestrator.core.returning import Merging, Verdict
from orchestrator.core.wire import FORMAT, decode

log = logging.getLogger("kembar.reconcile")

CHOICE = "unacknowledged.json"
IDENTICAL = "identical.txt"  # what was found so: its empty transaction looks like that of any other
STATEMENT_S = 10.0
SETTINGS = (
    f"SET SESSION innodb_lock_wait_timeout = {LOCK_S:.0f}, lock_wait_timeout = {LOCK_S:.0f},"
    " time_zone = '+00:00', sql_mode = '',"
    " transaction_isolation = 'READ-COMMITTED'"  # no gap locks
)


class Merger:
    """Used by the repair thread alone, but for `facts`.

    `serves` says whether this node still has the power, `policy` what the newest policy is, None if it cannot be read;
    both are asked before each transaction.
    """

    def __init__(
        self,
        evidence: Path,
        fetch: Callable[[str, str, Path], None],
        sessions: Callable[[], Lasting],
        serves: Callable[[], bool],
        policy: Callable[[], MergePolicy | None] = MergePolicy,
    ) -> None:
        """`fetch` gets a file of the returning node: folder, name, where to."""
        self._evidence, self._fetch, self._sessions = evidence, fetch, sessions
        self._serves, self._policy = serves, policy
        self._last_keys: tuple[tuple[int, str, str], list[tuple[Table, str]]] | None = None
        self.facts = Merging()

    def work(self, record: Reconcile, primary_executed: GtidSet) -> None:
        """Do what the record asks of the primary, if it is not done. Raises KembarError, OSError: call again."""
        if self.facts.id != record.id:
            self.facts = Merging(id=record.id)
        if record.sums and self.facts.sums != record.sums:
            self.facts = replace(self.facts, sums=self._fetched(record))
        if record.merge is Merge.RUNNING and not self.facts.done:
            try:
                why = self._merge(record)
            except Unreadable as error:
                # Not one transaction, but what says where each begins: a person has to look for another copy.
                self.facts = replace(self.facts, refusal=f"evidence_unreadable: {error}")
                raise
            self.facts = replace(self.facts, done=not why, refusal=why)

    # evidence

    def _fetched(self, record: Reconcile) -> str:
        """The whole evidence of the other host, each file compared with its sum; the sum of the list."""
        theirs = Folder.of(Path("/"), record).path.name
        mine = self._folder(record)
        if mine.sums() != record.sums:
            mine.take(lambda name, target: self._fetch(theirs, name, target))
        if mine.sums() != record.sums:
            raise StepFailed(f"{SUMS} of {record.node} is not the one that it named")
        return record.sums

    def _folder(self, record: Reconcile) -> Folder:
        return Folder(self._evidence / f"{Folder.of(Path('/'), record).path.name}-of-{record.node}")

    def touched(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """For the peer's agent, in any thread: the touched rows of these numbers, as they are here. Raises KembarError.

        Asked: {record, which: numbers in the order of `touched_keys`}; answered: {executed, rows}.
        """
        record = decode(Reconcile, json.dumps({"format": FORMAT, **asked["record"]}).encode())
        keys = self._keys(record)
        with closing(self._sessions()) as session:
            found = texts(session, [keys[n] for n in asked["which"]])
        return {"executed": found.executed, "rows": list(found.rows)}

    def _keys(self, record: Reconcile) -> list[tuple[Table, str]]:
        """Read once for all questions about one evidence."""
        known = self._last_keys
        what = (record.id, record.sums, record.errant)
        if known is None or known[0] != what:
            known = self._last_keys = what, touched_keys(self._folder(record), GtidSet.parse(record.errant))
        return known[1]

    # one after the other

    def _merge(self, record: Reconcile) -> str:
        """Every errant transaction, in the order of the log; or why it stopped for a person.

        Raises KembarError; called again it goes on.
        """
        found: Counter[str] = Counter()
        kept, errant, wanted = Kept(), GtidSet.parse(record.errant), self._wanted(record)
        entered, folder = self._entered(record), self._folder(record).path / "quarantine"
        for path in self._folder(record).files():
            with mapped(path) as data, closing(self._prepared(data)) as session:
                place = _Place(session, Tables(session), record, data, kept, wanted, folder, entered)
                for one in transactions(data, head(data).end):
                    if not one.complete or not holds(errant, one.gtid):
                        continue
                    if why := self._tripped(record, found):
                        return why
                    found[self._one(place, one)] += 1
                    self.facts = replace(self.facts, verdicts=dict(found))
        self._all_used(errant)
        return ""

    def _tripped(self, record: Reconcile, found: Mapping[str, int]) -> str:
        """What was never wanted, heartbeats above all, is no part of the share."""
        judged = sum(found.values()) - found.get(Verdict.DISCARDED, 0)
        return "" if record.approved else self._present().tripped(found.get(Verdict.QUARANTINED, 0), judged)

    def _present(self) -> MergePolicy:
        policy = self._policy()
        if policy is None:
            raise StepFailed("the record of the policy cannot be read: nothing is merged by one that may have changed")
        return policy

    def _entered(self, record: Reconcile) -> frozenset[str]:
        """Those that have an entry, of whichever record: somebody may know of it, so that it stays true."""
        sources = {source.partition(":")[0] for source in GtidSet.parse(record.errant).intervals}
        of_these = ", ".join(["%s"] * len(sources))
        sql = f"SELECT gtid FROM kembar.quarantine WHERE SUBSTRING_INDEX(gtid, ':', 1) IN ({of_these})"  # noqa: S608
        with closing(self._sessions()) as session:
            rows = session.ask(sql, tuple(sources), within_s=STATEMENT_S) if sources else ()
        return frozenset(row["gtid"] for row in rows)

    def _all_used(self, errant: GtidSet) -> None:
        """One whose number stays free would be given to another transaction. Raises StepFailed."""
        with closing(self._sessions()) as session:
            (state,) = session.ask(
                "SELECT GTID_SUBTRACT(%s, @@GLOBAL.gtid_executed) AS missing", (str(errant),), within_s=STATEMENT_S
            )
        if state["missing"]:
            why = f"evidence_incomplete: it does not hold {state['missing']}, and nobody knows what these changed"
            self.facts = replace(self.facts, refusal=why)
            raise StepFailed(why)

    def _prepared(self, data: Buffer) -> Lasting:
        """A session that takes events of this file; after the first BINLOG it would want an id for everything."""
        session = self._sessions()
        session.ask(SETTINGS, within_s=STATEMENT_S)
        session.ask(binlog_statement(description(data)), within_s=STATEMENT_S)
        session.ask("SET SESSION gtid_next = 'AUTOMATIC'", within_s=STATEMENT_S)
        return session

    def _one(self, at: _Place, one: Transaction) -> Verdict:
        if not self._serves():
            raise StepFailed("this node no longer serves: the merge goes on where the power is")
        gtid = str(one.gtid)
        if gtid in at.entered:
            bury(at.session, gtid)  # perhaps the only thing that was left to do
            _remember(at, one)
            return Verdict.QUARANTINED
        if executed(at.session, gtid):
            return self._earlier(at, one)
        if not at.wanted or _own(one):
            bury(at.session, gtid)  # its evidence is on both hosts
            return Verdict.DISCARDED
        if not one.tables and one.doubt is None:
            return self._identical(at, gtid)
        if one.doubt is not None:
            return self._keep(at, one, Entry(gtid, Conflict.NOT_BY_ROWS, one.doubt.why, (), ()))
        try:
            return self._judged(at, one)
        except Unreadable as error:
            return self._keep(at, one, Entry(gtid, Conflict.UNDECODABLE, str(error), (), ()))

    def _judged(self, at: _Place, one: Transaction) -> Verdict:
        policy = self._present()
        with contents(at.data, one) as events:
            found = footprint(row_changes(events, one), at.tables.key_name)
            against = _against(one, policy, at.kept.before(found, one.tables.values()))
            replay = Replay(
                at.session, at.tables, one, events, found, policy,
                record=partial(record, at.quarantine), forget=partial(forget, at.quarantine, str(one.gtid)),
            )  # fmt: skip
            outcome = replay.run(against)
        entry = outcome.entry
        if outcome.verdict is Verdict.IDENTICAL:
            return self._identical(at, str(one.gtid))
        if outcome.verdict is Verdict.QUARANTINED and entry is not None:
            return self._keep(at, one, entry)
        if outcome.verdict is Verdict.DISCARDED and entry is not None:
            record(at.quarantine, entry)
            bury(at.session, entry.gtid)
            _remember(at, one)
        return outcome.verdict

    def _identical(self, at: _Place, gtid: str) -> Verdict:
        self._folder(at.record).add(IDENTICAL, gtid)
        bury(at.session, gtid)
        return Verdict.IDENTICAL

    def _wanted(self, record: Reconcile) -> bool:
        """Whether any of it is to be merged. One return keeps to the answer that it began with."""
        if record.acknowledged:
            return True
        folder = self._folder(record)
        noted = folder.noted(CHOICE)
        if noted is None:
            noted = {"unacknowledged": str(self._present().unacknowledged)}
            folder.note(CHOICE, noted)
        return noted["unacknowledged"] == Unacknowledged.MERGE

    def _keep(self, at: _Place, one: Transaction, entry: Entry) -> Verdict:
        keep(at.session, at.quarantine, at.record.id, entry)
        bury(at.session, entry.gtid)
        _remember(at, one)
        return Verdict.QUARANTINED

    def _earlier(self, at: _Place, one: Transaction) -> Verdict:
        """Of an earlier run, and not kept for a person: settled by a policy, merged, or never wanted."""
        gtid, record = str(one.gtid), at.record
        match recorded(at.quarantine, gtid):
            case State.BY_POLICY:
                return Verdict.BY_POLICY
            case State.DISCARDED:
                _remember(at, one)
                return Verdict.DISCARDED
        if not at.wanted or _own(one):
            return Verdict.DISCARDED
        return Verdict.IDENTICAL if gtid in self._folder(record).lines(IDENTICAL) else Verdict.MERGED


@dataclass(frozen=True, slots=True)
class _Place:
    """One file of the evidence, a session that takes its events, and what was kept so far."""

    session: Lasting
    tables: Tables
    record: Reconcile
    data: Buffer
    kept: Kept
    wanted: bool  # else nothing is merged: no client was told of it
    quarantine: Path
    entered: frozenset[str]  # GTIDs that a person has been told of before


def _against(one: Transaction, policy: MergePolicy, earlier: str) -> Stop | None:
    """What speaks against the whole transaction, whatever its rows are."""
    if earlier:
        return Stop(How.QUARANTINE, Conflict.DEPENDS_ON_QUARANTINED, f"depends on {earlier}")
    kept = (policy.keeps(table.schema, table.name) for table in one.tables.values())
    why = next(filter(None, kept), "")
    return Stop(How.QUARANTINE, Conflict.ALWAYS_QUARANTINE, why) if why else None


def _own(one: Transaction) -> bool:
    """Heartbeats are in nearly every errant set."""
    return bool(one.tables) and all(str(table) in SKIPPED for table in one.tables.values())


def _remember(at: _Place, one: Transaction) -> None:
    """What a kept transaction touches: the rows, or as tables if these cannot be told."""
    gtid = str(one.gtid)
    if one.doubt is not None:
        at.kept.add_tables(gtid, one.tables.values())
        return
    try:
        with contents(at.data, one) as events:
            at.kept.add(gtid, footprint(row_changes(events, one), at.tables.key_name))
    except Unreadable:
        at.kept.add_tables(gtid, one.tables.values())
