"""What the server says of the tables of an errant transaction, asked once each: definitions, children, equal keys."""

from __future__ import annotations

from agents.binlog.catalog import Child, children, collations, definition
from agents.binlog.charsets import charset
from agents.binlog.definition import Definition
from agents.binlog.images import Image
from agents.binlog.rewind import Lasting
from agents.binlog.table import BINARY, Column, Table, Type
from agents.binlog.values import condition, quoted

STATEMENT_S = 30.0
_TEXTS = frozenset({Type.VARCHAR, Type.STRING, Type.BLOB})
_PADDING = "SELECT collation_name AS name, pad_attribute AS padding FROM information_schema.collations WHERE id = %s"


class Tables:
    """Used with one session, and as long as no table is changed."""

    def __init__(self, session: Lasting) -> None:
        self._session, self._collations = session, collations(session)
        self._definitions: dict[str, Definition | None] = {}
        self._children: dict[str, tuple[Child, ...]] = {}
        self._weighing: dict[int, str] = {}

    def definition(self, table: Table) -> Definition | None:
        name = str(table)
        if name not in self._definitions:
            self._definitions[name] = definition(self._session, table.schema, table.name, self._collations)
        return self._definitions[name]

    def generated(self, table: Table) -> frozenset[str]:
        found = self.definition(table)
        return found.generated if found else frozenset()

    def children(self, table: Table) -> tuple[Child, ...]:
        name = str(table)
        if name not in self._children:
            self._children[name] = children(self._session, table.schema, table.name)
        return self._children[name]

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
