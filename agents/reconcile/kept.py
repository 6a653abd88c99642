"""Kept transactions as the evidence on this host has them, beside the primary's rows of now. Changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agents.binlog.contents import Transaction, transactions
from agents.binlog.definition import difference
from agents.binlog.fields import Unreadable
from agents.binlog.images import row_changes, row_comparison
from agents.binlog.logs import contents, mapped
from agents.binlog.parse import Buffer, Kind, head
from agents.binlog.rewind import Lasting
from agents.binlog.table import Table
from agents.binlog.values import qualified, reading, told
from agents.reconcile.evidence import Folder
from agents.reconcile.judging import Footprint, Key, Touched, footprint
from agents.reconcile.tables import Tables
from orchestrator.core.errors import StepFailed
from orchestrator.core.mergepolicy import FOR_A_PERSON

STATEMENT_S = 30.0
SEEN_DIGITS = 32
OF_ANOTHER = "-of-"  # in the name of a copy of the other host's evidence
Shown = dict[str, str | None] | None


@dataclass(frozen=True, slots=True)
class Present:
    """One row as the primary has it: its text in comparisons, and its values for people; None if it is not there."""

    text: str | None
    shown: Shown


@dataclass(frozen=True, slots=True)
class View:
    """What a person has to know of one kept transaction: the primary's rows, what comes first, what cannot be done."""

    after: tuple[str, ...] = ()
    bar: str = ""
    seen: str = ""
    present: tuple[Shown, ...] = ()


def logs_of(home: Path, name: str) -> tuple[Path, ...]:
    """The binary logs of a return, from this host's own evidence or its copy of the other's. Raises StepFailed."""
    for folder in (Folder(home / name), Folder(home / name.partition(OF_ANOTHER)[0])):
        if name and folder.sums():
            return folder.files()
    raise StepFailed(f"the evidence {name!r} is not on this host ({home}): bring it back from the other one")


@contextmanager
def found_in(logs: Iterable[Path], gtid: str) -> Iterator[tuple[Buffer, Transaction]]:
    """The file that holds a transaction, and it. Raises StepFailed."""
    for data, one in _all(logs):
        if str(one.gtid) == gtid:
            yield data, one
            return
    raise StepFailed(f"the evidence does not hold {gtid}")


def views(session: Lasting, logs: Iterable[Path], kept: Collection[str], wanted: Collection[str]) -> dict[str, View]:
    """By number, of those that are `wanted`; `kept` are all of the return that were not merged.

    Raises StepFailed, DatabaseUnavailable, StatementRefused.
    """
    tables, earlier, made = Tables(session), Earlier(), {}
    for data, one in _all(logs):
        gtid = str(one.gtid)
        if gtid not in kept:
            continue
        found, bar = _footprint(data, one, tables)
        after = earlier.than(gtid, found, one.tables.values())
        if gtid in wanted:
            made[gtid] = _view(session, tables, found, after, bar)
    return made


@dataclass(slots=True)
class Earlier:
    """The last kept transaction that touched each key, or a table where no key tells.

    The last is enough: it could not be settled before those that it follows itself.
    """

    keys: dict[Key, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)

    def than(self, gtid: str, found: Footprint | None, tables: Collection[Table]) -> tuple[str, ...]:
        """Which ones it follows; remembers it too. `found` None: all rows of its tables may be its."""
        names = {str(table) for table in tables}
        unnamed = names if found is None else found.unnamed
        touched = found.touched if found is not None else {}
        before = dict.fromkeys(self.keys[key] for key in touched if key in self.keys)
        before |= dict.fromkeys(self.tables[name] for name in sorted(names) if name in self.tables)
        before |= dict.fromkeys(other for key, other in self.keys.items() if key[0] in unnamed)
        self.keys |= dict.fromkeys(touched, gtid)
        self.tables |= dict.fromkeys(unnamed, gtid)
        return tuple(before)


def read(session: Lasting, tables: Tables, touched: Touched, *, locked: bool = False) -> Present:
    """The row of a key; with `locked` nobody changes it until the transaction ends."""
    table = touched.table
    columns = ", ".join(f"{reading(column)} AS c{n}" for n, column in enumerate(table.columns))
    text = row_comparison(table, tables.generated(table))
    sql = (
        f"SELECT HEX({text}) AS row_text, {columns} FROM {qualified(table)} WHERE {touched.condition}"  # noqa: S608 - names quoted
        f"{' FOR UPDATE' if locked else ''}"
    )
    rows = session.ask(sql, within_s=STATEMENT_S)
    if not rows:
        return Present(None, None)
    shown = {column.name: told(rows[0][f"c{n}"]) for n, column in enumerate(table.columns)}
    return Present(rows[0]["row_text"], shown)


def seen(rows: Mapping[Key, Present]) -> str:
    """What these rows amount to: another digest if any of them is another. Empty without rows."""
    told = [[*key, row.text] for key, row in sorted(rows.items())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:SEEN_DIGITS] if told else ""


def changed_table(tables: Tables, one: Iterable[Table]) -> str:
    """The first of these tables that is another one now, in words; empty if none is."""
    for table in one:
        now = tables.definition(table)
        if now is None:
            return f"{table} is not there"
        if changed := difference(table, now):
            return f"{table}: {changed}"
    return ""


def _all(logs: Iterable[Path]) -> Iterator[tuple[Buffer, Transaction]]:
    for path in logs:
        try:
            with mapped(path) as data:
                for one in transactions(data, head(data).end):
                    if one.complete:
                        yield data, one
        except (Unreadable, OSError) as error:
            raise StepFailed(f"{path.name} of the evidence cannot be read: {error}") from error


def _footprint(data: Buffer, one: Transaction, tables: Tables) -> tuple[Footprint | None, str]:
    """What it touches, None if that cannot be told; and why it cannot be applied."""
    if one.doubt is not None:
        return None, f"it {one.doubt.why}"
    try:
        with contents(data, one) as events:
            found = footprint(row_changes(events, one), tables.key_name)
    except Unreadable as error:
        return None, f"its rows cannot be read: {error}"
    if found.unnamed:
        return found, f"it changes rows of {', '.join(sorted(found.unnamed))} that no key tells from others"
    partial = any(change.kind == Kind.PARTIAL_UPDATE_ROWS for change in one.changes)
    return found, "of JSON values it holds only what changed in them" if partial else ""


def _view(session: Lasting, tables: Tables, found: Footprint | None, after: tuple[str, ...], bar: str) -> View:
    if found is None:
        return View(after, bar)
    touched = found.ordered()
    if servers := next((one.table for one in touched if one.table.schema in FOR_A_PERSON), None):
        return View(after, f"nothing of the schema {servers.schema} is changed here", "", (None,) * len(touched))
    if changed := changed_table(tables, [one.table for one in touched]):
        return View(after, f"its table was changed since: {changed}", "", (None,) * len(touched))
    rows = {one.key: read(session, tables, one) for one in touched}
    return View(after, bar, seen(rows), tuple(rows[one.key].shown for one in touched))
