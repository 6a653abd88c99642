"""An errant transaction on the primary, under its own GTID: every row locked and compared, then all or nothing."""

from __future__ import annotations

from agents.binlog.catalog import Child
from agents.binlog.contents import Transaction
from agents.binlog.definition import difference
from agents.binlog.images import Image, RowChange, row_comparison
from agents.binlog.parse import Buffer
from agents.binlog.rewind import Lasting, binlog_statement
from agents.binlog.table import Table
from agents.binlog.values import quoted, reading, told
from agents.reconcile.cutting import events_of
from agents.reconcile.judging import Footprint, Key, Ruling, Touched, ends, rule, settled, verdict_of
from agents.reconcile.quarantine import Entry
from agents.reconcile.tables import Tables
from agents.reconcile.tombstones import executed
from agents.session import Row, StatementRefused
from orchestrator.core.conflicts import Conflict
from orchestrator.core.errors import KembarError, StepFailed

STATEMENT_S = 30.0
DUPLICATE, CHILDREN, PARENT_MISSING, LOCK_WAIT, DEADLOCK = 1062, 1451, 1452, 1205, 1213
TRIES = 5
SPEAKS = {
    DUPLICATE: Conflict.UNIQUE_EXISTS,
    CHILDREN: Conflict.FK_CHILDREN_EXIST,
    PARENT_MISSING: Conflict.FK_PARENT_MISSING,
}
Reason = tuple[Conflict, str]  # and more of it in words


class Replay:
    """Used once. The session has been told of the file's events, and takes no other statements meanwhile."""

    def __init__(self, session: Lasting, tables: Tables, one: Transaction, events: Buffer, found: Footprint) -> None:
        self._session, self._tables, self._one, self._events, self._found = session, tables, one, events, found
        self._gtid = str(one.gtid)

    def run(self, against: Conflict | None, earlier: str) -> Entry | None:
        """None: its rows are changed and committed. Else why not, with both versions; nothing is changed then.

        `against` speaks against the whole of it, `earlier` names the transaction that it depends on. Raises StepFailed
        (rows stayed locked, or it was executed meanwhile), DatabaseUnavailable, StatementRefused, Unreadable.
        """
        if changed := self._changed_tables():
            return Entry.unseen(self._gtid, Conflict.SCHEMA_DIFFERS, changed, self._found)
        why = (against, f"depends on {earlier}" if earlier else "") if against else None
        for _ in range(TRIES):
            try:
                return self._try(why)
            except StatementRefused as error:
                if error.errno not in (LOCK_WAIT, DEADLOCK):
                    raise
                last = error
        raise StepFailed(f"{self._gtid}: rows stayed locked: {last}")

    def _try(self, against: Reason | None) -> Entry | None:
        self._ask("SET SESSION gtid_next = %s", self._gtid)
        try:
            self._ask("BEGIN")
            if executed(self._session, self._gtid):  # asked once more: from here on the number is this session's
                raise StepFailed(f"{self._gtid} was executed meanwhile")
            rulings = [self._ruling(touched) for touched in self._found.ordered()]
            verdict = verdict_of(rulings, self._found.moves)
            why = against or ((verdict, "") if verdict else None)
            if why is not None:
                entry = self._entry(why, rulings)
                self._ask("ROLLBACK")  # which gives the number free again
                return entry
            stopped = self._change(settled(rulings))
            self._ask("ROLLBACK" if stopped else "COMMIT")
        except KembarError:
            self._ask("ROLLBACK")
            raise
        finally:
            self._ask("SET SESSION gtid_next = 'AUTOMATIC'")
        # Rows as they are now: within the transaction those that it had changed already would be shown.
        return self._entry(stopped, rulings) if stopped else None

    def _change(self, left: frozenset[Key]) -> Reason | None:
        """Make the changes, in their order, but of the keys that are left as they are; or why they cannot be made."""

        def wanted(row: RowChange) -> bool:
            return not any(key in left for _, _, key in ends(row, self._tables.key_name))

        for change in self._one.changes:
            events, changed = events_of(self._events, change, wanted)
            if parent := next((row for row in changed if self._has_children(row)), None):
                return Conflict.FK_CHILDREN_EXIST, f"of {parent.table}"
            try:
                if events:
                    self._ask(binlog_statement(events))
            except StatementRefused as error:
                if error.errno not in SPEAKS:
                    raise
                return SPEAKS[error.errno], str(error)
        return None

    def _ruling(self, touched: Touched) -> Ruling:
        generated = self._tables.generated(touched.table)
        rows = self._ask(
            f"SELECT HEX({row_comparison(touched.table, generated)}) AS row_text FROM {_name(touched.table)}"  # noqa: S608
            f" WHERE {touched.condition} FOR UPDATE",
        )
        present = bytes.fromhex(rows[0]["row_text"]) if rows else None
        return rule(touched, present, generated)

    def _has_children(self, row: RowChange) -> bool:
        """A parent that goes would take its newer children with it, silently (measured); its own went before it."""
        before = row.before
        if before is None or not (children := self._tables.children(row.table)):
            return False
        condition = before.condition()
        return condition is not None and any(
            self._left_behind(row.table, condition, child)
            for child in children
            if row.after is None or _values(before, child) != _values(row.after, child)
        )

    def _left_behind(self, table: Table, condition: str, child: Child) -> bool:
        own = ", ".join(quoted(column) for column, _ in child.columns)
        parent = ", ".join(quoted(column) for _, column in child.columns)
        parents = f"SELECT {parent} FROM {_name(table)} WHERE {condition}"  # noqa: S608 - names quoted
        there = f"{quoted(child.schema)}.{quoted(child.name)}"
        return bool(self._ask(f"SELECT 1 AS child FROM {there} WHERE ({own}) IN ({parents}) LIMIT 1 FOR SHARE"))  # noqa: S608

    def _changed_tables(self) -> str:
        for table in self._one.tables.values():
            now = self._tables.definition(table)
            if now is None:
                return f"{table} is not there"
            if changed := difference(table, now):
                return f"{table}: {changed}"
        return ""

    def _entry(self, why: Reason, rulings: list[Ruling]) -> Entry:
        return Entry(self._gtid, *why, rulings, [self._present(ruling.touched) for ruling in rulings])

    def _present(self, touched: Touched) -> dict[str, str | None] | None:
        """The row as `Image.shown` shows one."""
        columns = touched.table.columns
        read = ", ".join(f"{reading(column)} AS c{n}" for n, column in enumerate(columns))
        rows = self._ask(f"SELECT {read} FROM {_name(touched.table)} WHERE {touched.condition}")  # noqa: S608
        return {column.name: told(rows[0][f"c{n}"]) for n, column in enumerate(columns)} if rows else None

    def _ask(self, sql: str, *arguments: str) -> tuple[Row, ...]:
        return self._session.ask(sql, arguments, within_s=STATEMENT_S)


def _values(image: Image, child: Child) -> list[bytes | None]:
    """What the child refers to in its parent."""
    referred = {column for _, column in child.columns}
    return [raw for column, raw in zip(image.table.columns, image.raw, strict=True) if column.name in referred]


def _name(table: Table) -> str:
    return f"{quoted(table.schema)}.{quoted(table.name)}"
