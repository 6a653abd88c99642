"""What the server says of the tables of an errant transaction, asked once each: definitions, children, equal keys."""

from __future__ import annotations

from agents.binlog.catalog import Child, children, collations, definition
from agents.binlog.charsets import charset
from agents.binlog.definition import Definition
from agents.binlog.images import Image
from agents.binlog.rewind import Lasting
from agents.binlog.table import BINARY, Column, Table, Type
from agents.binlog.values import condition, quoted
from agents.reconcile.chunks import Layout
from agents.reconcile.layouts import layout, shape_of
from agents.session import StatementRefused

STATEMENT_S = 30.0
_TEXTS = frozenset({Type.VARCHAR, Type.STRING, Type.BLOB})
_PADDING = "SELECT collation_name AS name, pad_attribute AS padding FROM information_schema.collations WHERE id = %s"
_TRIGGERS = (
    "SELECT COUNT(*) AS count FROM information_schema.triggers"
    " WHERE event_manipulation = 'UPDATE' AND event_object_schema = %s AND event_object_table = %s"
)
_MAY_SEE_TRIGGERS = (  # without the privilege there seem to be none
    "SELECT (SELECT COUNT(*) FROM information_schema.user_privileges WHERE privilege_type = 'TRIGGER')"
    " + (SELECT COUNT(*) FROM information_schema.schema_privileges"
    " WHERE privilege_type = 'TRIGGER' AND %s LIKE table_schema)"
    " + (SELECT COUNT(*) FROM information_schema.table_privileges"
    " WHERE privilege_type = 'TRIGGER' AND table_schema = %s AND table_name = %s) AS count"
)


class Tables:
    """Used with one session, and as long as no table is changed: `altered` tells, once its rows are locked."""

    def __init__(self, session: Lasting) -> None:
        self._session, self._collations = session, collations(session)
        self._layouts: dict[str, Layout | None] = {}
        self._definitions: dict[str, Definition | None] = {}
        self._shapes: dict[str, str | None] = {}
        self._children: dict[str, tuple[Child, ...]] = {}
        self._triggered: dict[str, str] = {}
        self._weighing: dict[int, str] = {}

    def definition(self, table: Table) -> Definition | None:
        """None if it is not there. Raises DatabaseUnavailable, StatementRefused, as all of these."""
        name = str(table)
        if name not in self._definitions:
            self._shapes[name] = self._shape(table)  # first: what is altered in between shows later
            self._definitions[name] = definition(self._session, table.schema, table.name, self._collations)
        return self._definitions[name]

    def altered(self, table: Table) -> bool:
        """Whether it is, or may be, another one than was read first. One whose rows are locked stays as it is."""
        shape = self._shape(table)
        return shape is None or shape != self._shapes.get(str(table))

    def _shape(self, table: Table) -> str | None:
        """None if nobody can tell."""
        try:
            return shape_of(self._session, table.schema, table.name)
        except StatementRefused:
            return None

    def layout(self, table: Table) -> Layout | None:
        """The table of that name as it is today, however the log describes it."""
        name = str(table)
        if name not in self._layouts:
            self._layouts[name] = layout(self._session, table.schema, table.name, self._collations)
        return self._layouts[name]

    def generated(self, table: Table) -> frozenset[str]:
        found = self.definition(table)
        return found.generated if found else frozenset()

    def children(self, table: Table) -> tuple[Child, ...]:
        """The foreign keys that refer to it."""
        name = str(table)
        if name not in self._children:
            self._children[name] = children(self._session, table.schema, table.name)
        return self._children[name]

    def may_fire(self, table: Table) -> str:
        """What an UPDATE would fire, or why that is not known; empty if it fires nothing."""
        name = str(table)
        if name not in self._triggered:
            place = (table.schema, table.name)
            (found,) = self._session.ask(_TRIGGERS, place, within_s=STATEMENT_S)
            if found["count"] != "0":
                self._triggered[name] = "it has triggers on UPDATE, which would fire"
            else:
                blind = f"whether it has triggers is not to be seen: GRANT TRIGGER ON {table.schema}.* to this account"
                self._triggered[name] = "" if self._sees_triggers(table) else blind
        return self._triggered[name]

    def _sees_triggers(self, table: Table) -> bool:
        places = (table.schema, table.schema, table.name)
        (found,) = self._session.ask(_MAY_SEE_TRIGGERS, places, within_s=STATEMENT_S)
        return found["count"] != "0"

    def key_name(self, image: Image) -> str | None:
        """The same for all spellings of a primary key that this server takes for equal; None as of its condition.

        Raises DatabaseUnavailable, StatementRefused.
        """
        whole = image.condition()
        columns = [(image.table.columns[n], image.raw[n]) for n in image.table.key]
        if whole is None or not any(_spelled(column) for column, _ in columns):
            return whole
        return " AND ".join(self._name(column, raw) for column, raw in columns if raw is not None)

    def _name(self, column: Column, raw: bytes) -> str:
        if not _spelled(column):
            return condition(column, raw) or ""
        weighing = self._weight(column.collation)
        (row,) = self._session.ask(weighing.format(raw.hex()), within_s=STATEMENT_S)
        return f"{quoted(column.name)} = {row['weight']}"

    def _weight(self, collation: int) -> str:
        """Two texts are equal where their weights are; many collations do not count the spaces at the end."""
        if collation not in self._weighing:
            (found,) = self._session.ask(_PADDING, (collation,), within_s=STATEMENT_S)
            text = f"_{charset(collation)} x'{{}}' COLLATE {found['name']}"
            if found["padding"] == "PAD SPACE":
                text = f"TRIM(TRAILING FROM {text})"
            self._weighing[collation] = f"SELECT HEX(WEIGHT_STRING({text})) AS weight"
        return self._weighing[collation]


def _spelled(column: Column) -> bool:
    return column.type in _TEXTS and column.collation != BINARY
