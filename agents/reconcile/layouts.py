"""What a server says of its tables to whoever compares their rows: all of them, and each as a `Layout`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from agents.binlog.catalog import Asks
from agents.binlog.table import BINARY, Column, Type
from agents.binlog.values import quoted
from agents.reconcile.chunks import Layout, orderly
from agents.session import Row, StatementRefused

ASK_S = 30.0
SYSTEM = "('mysql', 'sys', 'information_schema', 'performance_schema', 'kembar_scratch')"
NO_SUCH_TABLE = 1146
_TYPES = {
    "tinyint": Type.TINY, "smallint": Type.SHORT, "mediumint": Type.INT24, "int": Type.LONG, "bigint": Type.LONGLONG,
    "decimal": Type.NEWDECIMAL, "float": Type.FLOAT, "double": Type.DOUBLE, "bit": Type.BIT, "date": Type.DATE,
    "time": Type.TIME2, "datetime": Type.DATETIME2, "timestamp": Type.TIMESTAMP2, "year": Type.YEAR,
    "char": Type.STRING, "binary": Type.STRING, "varchar": Type.VARCHAR, "varbinary": Type.VARCHAR,
    "enum": Type.ENUM, "set": Type.SET, "json": Type.JSON, "vector": Type.VECTOR,
    **{f"{size}{kind}": Type.BLOB for size in ("tiny", "", "medium", "long") for kind in ("blob", "text")},
    **dict.fromkeys(
        ("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
         "geomcollection", "geometrycollection"),
        Type.GEOMETRY,
    ),
}  # fmt: skip
_TABLES = (
    "SELECT table_schema AS `schema`, table_name AS name, COALESCE(table_rows, 0) AS n FROM information_schema.tables"
    " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN {} ORDER BY 1, 2"
)
_ROWS = (
    "SELECT COALESCE(table_rows, 0) AS n FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"
    " AND table_type = 'BASE TABLE'"
)
_COLUMNS = (
    "SELECT column_name AS name, data_type AS type, collation_name AS collation, is_nullable AS nullable,"
    " column_type LIKE '%% unsigned%%' AS without_sign"
    " FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    " AND generation_expression = '' ORDER BY ordinal_position"
)
_KEY = (
    "SELECT column_name AS name, sub_part AS part, collation AS direction FROM information_schema.statistics"
    " WHERE table_schema = %s AND table_name = %s AND index_name = 'PRIMARY' ORDER BY seq_in_index"
)
# Of every schema with tables, whoever may read it; a name of letters alone is spelled as it is.
_SCHEMAS = "SELECT DISTINCT SUBSTRING_INDEX(name, '/', 1) AS `schema` FROM information_schema.innodb_tables"
_VISIBLE = "SELECT schema_name AS `schema` FROM information_schema.schemata"
_PLAIN = re.compile(r"\w+", re.ASCII)
_COUNTER = re.compile(r" AUTO_INCREMENT=\d+(?= )")  # behind the definition: each server has its own


def tables(session: Asks) -> list[tuple[str, str, int]]:
    """Schema, name and about how many rows, of every table that is not the server's own."""
    return [(row["schema"], row["name"], int(row["n"])) for row in session.ask(_TABLES.format(SYSTEM), within_s=ASK_S)]


def hidden(session: Asks) -> list[str]:
    """Schemas whose tables the account does not see: what it does not see is missing nowhere."""
    there = {row["schema"] for row in session.ask(_SCHEMAS, within_s=ASK_S)}
    visible = {row["schema"] for row in session.ask(_VISIBLE, within_s=ASK_S)}
    return sorted(one for one in there - visible if _PLAIN.fullmatch(one) and f"'{one}'" not in SYSTEM)


def layout(session: Asks, schema: str, name: str, collations: dict[str, int]) -> Layout | None:
    """The table of that name; None if there is none, or none that the account may read."""
    found = session.ask(_ROWS, (schema, name), within_s=ASK_S)
    shape = shape_of(session, schema, name) if found else None
    if shape is None:
        return None
    read = session.ask(_COLUMNS, (schema, name), within_s=ASK_S)
    unknown = [row for row in read if row["type"] not in _TYPES]
    columns = {row["name"]: _column(row, collations) for row in read if row["type"] in _TYPES}
    key = session.ask(_KEY, (schema, name), within_s=ASK_S)
    unfit = "" if columns else "it has no column that is stored"
    for row in unknown:
        unfit = f"column {row['name']} is of the type {row['type']}, which is not known here"
    return Layout(
        schema,
        name,
        tuple(columns.values()),
        _key(key, columns),
        primary=bool(key),
        shape=shape,
        rows=int(found[0]["n"]),
        unfit=unfit,
    )


def shape_of(session: Asks, schema: str, name: str) -> str | None:
    """The digest of a table's definition; None if it is not there any more."""
    try:
        (row,) = session.ask(f"SHOW CREATE TABLE {quoted(schema)}.{quoted(name)}", within_s=ASK_S)
    except StatementRefused as error:
        if error.errno == NO_SUCH_TABLE:
            return None
        raise
    text = row.get("Create Table", "")
    body, mark, options = text.rpartition("\n) ")
    return hashlib.sha256((body + mark + _COUNTER.sub("", options)).encode()).hexdigest()


def _column(row: Row, collations: dict[str, int]) -> Column:
    """As far as comparisons ask for it."""
    collation = collations.get(row["collation"], 0) if row["collation"] else BINARY
    unsigned, nullable = row["without_sign"] == "1", row["nullable"] == "YES"
    return Column(row["name"], _TYPES[row["type"]], 0, 0, nullable, unsigned=unsigned, collation=collation)


def _key(key: Sequence[Row], columns: dict[str, Column]) -> tuple[Column, ...]:
    """Empty where the rows have no order that could be told: as then they are compared in one chunk."""
    parts = [columns[row["name"]] for row in key if row["name"] in columns]
    whole = len(parts) == len(key) and not any(row["part"] for row in key)
    one_way = len({row["direction"] for row in key}) <= 1
    return tuple(parts) if whole and one_way and all(map(orderly, parts)) else ()
