"""Carries out what persons chose for kept transactions, on the primary, and tells what is still open.

Each choice is one ordinary transaction: the rows are locked and compared with what the person saw, made as was chosen,
and the choice is noted in `kembar.quarantine` beside them. So it happens once, whoever is primary and whatever is
killed: the row tells by which request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from agents.binlog.contents import Transaction
from agents.binlog.fields import Unreadable
from agents.binlog.images import row_changes
from agents.binlog.logs import contents
from agents.binlog.parse import Buffer
from agents.binlog.rewind import Lasting, binlog_statement, description
from agents.reconcile import ledger
from agents.reconcile.judging import Footprint, Key, footprint
from agents.reconcile.kept import Present, changed_table, found_in, logs_of, read, seen, views
from agents.reconcile.restoring import edit, restore
from agents.reconcile.tables import Tables
from agents.session import StatementRefused
from orchestrator.core.errors import DatabaseUnavailable, KembarError, Refused, StepFailed, UnknownOutcome
from orchestrator.core.kept import Choice, Open, Settlement, Settlements
from orchestrator.core.returning import Ended, Outcome
from orchestrator.core.wire import encode

log = logging.getLogger("kembar.reconcile")

STATEMENT_S = 30.0
SETTINGS = (
    "SET SESSION innodb_lock_wait_timeout = 3, lock_wait_timeout = 3, time_zone = '+00:00',"
    " sql_mode = 'STRICT_ALL_TABLES', transaction_isolation = 'READ-COMMITTED'"
)
LOCKED = frozenset({1205, 1213})
TRIES = 3
ANSWER_MAX = 1000  # characters
TOLD_BYTES = 48 << 10  # of the outcomes in one report, beyond which the others wait: nobody could read a larger one
VALUES_SHOWN = 3  # rows in an answer


class Changed(Refused):
    """The primary's rows are no longer as the person saw them."""


class Quarantine:
    """Used by the repair thread of the primary alone, but for `settled`.

    `serves` says whether this node still has the power; `publish` takes what is open.
    """

    def __init__(
        self,
        evidence: Path,
        sessions: Callable[[], Lasting],
        serves: Callable[[], bool],
        publish: Callable[[Open], None],
    ) -> None:
        self._evidence, self._sessions, self._serves, self._publish = evidence, sessions, serves, publish
        self._stale: set[tuple[int, str]] = set()  # return and number, of which the rows are known to be others now
        self.settled: tuple[Outcome, ...] = ()

    def work(self, settlements: Settlements) -> None:
        """Carry out what is pending, then publish what is open, then answer: whoever hears of it finds it so.

        Raises KembarError: call again.
        """
        pending = {made.request for made in settlements.pending}
        told = [one for one in self.settled if one.request in pending]
        known = {one.request for one in told}
        try:
            for made in settlements.pending:
                if made.request in known:
                    continue
                if sum(len(encode(one)) for one in told) > TOLD_BYTES:
                    break
                told.append(self._outcome(made))
            self._tell()
        finally:
            self.settled = tuple(told)

    def _outcome(self, made: Settlement) -> Outcome:
        """Raises DatabaseUnavailable, UnknownOutcome where nobody knows whether it was made: the next try finds out."""
        try:
            return Outcome(made.request, Ended.DONE, self._carried_out(made)[:ANSWER_MAX])
        except (DatabaseUnavailable, UnknownOutcome):
            raise
        except Refused as error:
            return Outcome(made.request, Ended.REFUSED, f"nothing was changed: {error}"[:ANSWER_MAX])
        except (KembarError, Unreadable, OSError) as error:
            log.warning("%s of %s: %s", made.choice, made.gtid, error)
            return Outcome(made.request, Ended.FAILED, f"nothing was changed: {error}"[:ANSWER_MAX])

    def _carried_out(self, made: Settlement) -> str:
        if not self._serves():
            raise StepFailed("this node no longer serves: ask again, where the power is")
        with closing(self._session()) as session:
            kept = ledger.one(session, made.id, made.gtid)
            if kept is None:
                raise Refused(f"nothing was kept of {made.gtid} in return {made.id}")
            if kept.state != ledger.OPEN:
                return _earlier(kept, made)
            self._refuse(session, kept, made)
        if not made.seen:  # no row of it can be compared, and none is changed
            with closing(self._session()) as session:
                self._in_one(session, made, lambda: None)
        else:
            self._with_rows(kept, made)
        self._stale |= {(made.id, gtid) for gtid in self._followers(made)}
        return f"{made.gtid} is {ledger.STATES[made.choice]}"

    def _refuse(self, session: Lasting, kept: ledger.Kept, made: Settlement) -> None:
        """What the shown version says against it. Raises Refused."""
        if made.seen != kept.summary.get("seen", ""):
            raise Refused("its rows are shown with other values since you looked: look again, then decide again")
        known = ledger.states(session, made.id)
        first = [gtid for gtid in kept.summary.get("after", ()) if known.get(gtid) == ledger.OPEN]
        if first:
            raise Refused(f"it changed the same rows after {', '.join(first)}: decide that first")
        if made.choice is Choice.APPLY and (kept.bar or not made.seen):
            raise Refused(f"{kept.bar or 'its rows cannot be compared'}: do what is needed by hand, then discard it")

    def _with_rows(self, kept: ledger.Kept, made: Settlement) -> None:
        """Lock, compare, make, note; a row that is another one now is shown anew, and nothing is changed."""
        logs = logs_of(self._evidence, kept.evidence)
        with (
            found_in(logs, made.gtid) as (data, one),
            contents(data, one) as events,
            closing(self._session()) as session,
        ):
            if made.choice is Choice.APPLY:
                session.ask(binlog_statement(description(data)), within_s=STATEMENT_S)
                session.ask("SET SESSION gtid_next = 'AUTOMATIC'", within_s=STATEMENT_S)
            tables = Tables(session)
            try:
                if changed := changed_table(tables, one.tables.values()):
                    raise Changed(f"its table was changed since: {changed}")
                found = footprint(row_changes(events, one), tables.key_name)
                self._in_one(session, made, lambda: _make(session, tables, events, one, found, made))
            except Changed:
                self._stale.add((made.id, made.gtid))
                raise

    def _in_one(self, session: Lasting, made: Settlement, make: Callable[[], None]) -> None:
        """One transaction with what `make` does and the note of it; again if somebody holds its rows for long."""
        for _ in range(TRIES):
            try:
                session.ask("BEGIN", within_s=STATEMENT_S)
                kept = _locked(session, made)
                if kept.state != ledger.OPEN:
                    _earlier(kept, made)
                    session.ask("ROLLBACK", within_s=STATEMENT_S)
                    return
                make()
                ledger.settle(session, made)
                if not self._serves():
                    raise StepFailed("this node no longer serves: ask again, where the power is")
            except StatementRefused as error:
                session.ask("ROLLBACK", within_s=STATEMENT_S)
                if error.errno not in LOCKED:
                    raise Refused(f"the server does not take it: {error}") from error
                last = error
            except (Refused, StepFailed, Unreadable):
                session.ask("ROLLBACK", within_s=STATEMENT_S)
                raise
            else:
                _commit(session)
                return
        raise StepFailed(f"its rows stayed locked, ask again: {last}")

    def _followers(self, made: Settlement) -> list[str]:
        """Those that come next for the same rows, which were just changed: they are shown anew."""
        with closing(self._session()) as session:
            kept = ledger.first(session)
        return [one.gtid for one in kept if one.id == made.id and made.gtid in one.summary.get("after", ())]

    # what is open

    def _tell(self) -> None:
        if not self._serves():
            return
        with closing(self._session()) as session:
            kept = ledger.first(session)
            for id in sorted({one.id for one in kept}):
                kept = self._viewed(session, id, kept)
            self._publish(ledger.shown(session, kept))
        self._stale.clear()

    def _viewed(self, session: Lasting, id: int, kept: list[ledger.Kept]) -> list[ledger.Kept]:
        """With the primary's rows as they are now, where nobody has looked yet or they are known to be others."""
        new = [one for one in kept if one.id == id and (not one.viewed or (id, one.gtid) in self._stale)]
        if not new:
            return kept
        try:
            logs = logs_of(self._evidence, new[0].evidence)
            made = views(session, logs, ledger.states(session, id).keys(), {one.gtid for one in new})
            shown = {one.gtid: ledger.show(session, one, made[one.gtid]) for one in new if one.gtid in made}
        except StepFailed as error:
            # Not noted, as the other host may have what is missing here.
            shown = {one.gtid: one.barred(str(error)) for one in new}
        return [shown.get(one.gtid, one) if one.id == id else one for one in kept]

    def _session(self) -> Lasting:
        session = self._sessions()
        session.ask(SETTINGS, within_s=STATEMENT_S)
        return session


def _locked(session: Lasting, made: Settlement) -> ledger.Kept:
    """The row of the kept transaction. Whoever holds it may be an earlier life of ours whose commit is still waiting:
    then nobody knows yet what will become of the choice."""
    try:
        kept = ledger.one(session, made.id, made.gtid, locked=True)
    except StatementRefused as error:
        if error.errno in LOCKED:
            raise UnknownOutcome(f"{made.gtid} is being settled by another session: {error}") from error
        raise
    if kept is None:
        raise Refused(f"nothing was kept of {made.gtid} in return {made.id}")
    return kept


def _commit(session: Lasting) -> None:
    """An error is no proof that nothing happened: a commit that waits for the standby goes on when it is killed."""
    try:
        session.ask("COMMIT", within_s=STATEMENT_S)
    except StatementRefused as error:
        raise UnknownOutcome(f"the commit was answered with an error: {error}") from error


def _make(
    session: Lasting, tables: Tables, events: Buffer, one: Transaction, found: Footprint, made: Settlement
) -> None:
    there: dict[Key, Present] = {
        touched.key: read(session, tables, touched, locked=True) for touched in found.ordered()
    }
    if seen(there) != made.seen:
        raise Changed(f"its rows have changed since you looked. Now: {_told(found, there)}. Look again, decide again")
    if made.choice is Choice.APPLY:
        restore(session, tables, events, one, found, there)
        edit(session, tables, found, made.edits)
        if altered := next(filter(tables.altered, one.tables.values()), None):  # by now it stays as it is
            raise Changed(f"{altered} was altered meanwhile. Look again, decide again")


def _told(found: Footprint, there: Mapping[Key, Present]) -> str:
    """The rows as they are, the first ones."""
    texts = []
    for touched in found.ordered()[:VALUES_SHOWN]:
        shown = there[touched.key].shown
        values = "is not there" if shown is None else ", ".join(f"{name}={value!r}" for name, value in shown.items())
        texts.append(f"{touched.table} {touched.condition}: {values}")
    more = len(found.touched) - len(texts)
    return "; ".join(texts) + (f"; and {more} more" if more > 0 else "")


def _earlier(kept: ledger.Kept, made: Settlement) -> str:
    """It was this very choice, of which nobody heard the answer; or Refused, as it was another's."""
    if kept.decision.get("request") != made.request:
        raise Refused(kept.ended)
    return f"{made.gtid} is {kept.state}"
