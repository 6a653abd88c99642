"""Whether two servers hold the same, asked of each by plain SQL: nothing of the product's own comparison is used.

Both must be at rest but for heartbeats, which are each node's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pymysql.cursors import Cursor

from lab.diverging import asking, roles
from lab.stand import Stand, wait_for
from lab.topology import Node
from orchestrator.core.gtid import GtidSet

SYSTEM = ("mysql", "sys", "performance_schema", "information_schema")
OWN = ("kembar.heartbeat", "kembar.reconcile_journal")
SETTLE_S = 10.0
SUM_S = 600.0  # reads the whole database
COUNTER = re.compile(r" AUTO_INCREMENT=\d+")  # of InnoDB, not of the data: a rolled back row leaves its number used


@dataclass(frozen=True, slots=True)
class Held:
    """What one server holds: by table its rows in one sum, by table or account how it is defined."""

    rows: Mapping[str, tuple[str, ...]]
    definitions: Mapping[str, str]


def differences(stand: Stand) -> list[str]:
    """Names of tables and accounts that differ between the two nodes; empty if they are equal. Raises StepFailed."""
    primary, standby = roles(stand)
    catch_up(stand, primary, standby)
    with ThreadPoolExecutor() as pool:
        one, other = pool.map(lambda node: held(stand, node), (primary, standby))
    found = []
    for what, left, right in (("rows", one.rows, other.rows), ("definition", one.definitions, other.definitions)):
        found += [f"{what} of {name}" for name in sorted({*left, *right}) if left.get(name) != right.get(name)]
    return found


def sets_equal(stand: Stand) -> bool:
    """Whether both have executed the same transactions, at one moment between two heartbeats."""
    primary, standby = roles(stand)
    with asking(stand, primary) as first, asking(stand, standby) as second:
        for _ in range(200):
            before, other, after = executed(first), executed(second), executed(first)
            if before == other == after:
                return True
    return False


def catch_up(stand: Stand, primary: Node, standby: Node) -> None:
    """The standby has executed all that the primary had when this was called. Raises StepFailed."""
    with asking(stand, primary) as first, asking(stand, standby) as second:
        wanted = executed(first)
        wait_for(lambda: wanted <= executed(second), SETTLE_S, f"{standby.name} does not catch up")


def executed(cursor: Cursor) -> GtidSet:
    """The set of the server that the cursor belongs to."""
    cursor.execute("SELECT @@GLOBAL.gtid_executed")
    (text,) = cursor.fetchone() or ("",)
    return GtidSet.parse(text.replace("\n", ""))


def held(stand: Stand, node: Node) -> Held:
    """All tables of users, and all accounts."""
    with asking(stand, node, SUM_S) as cursor:
        cursor.execute("SET SESSION time_zone = '+00:00', sql_mode = ''")
        names = _tables(cursor)
        rows = {f"{schema}.{table}": _rows(cursor, schema, table) for schema, table in names}
        definitions = {f"{schema}.{table}": _definition(cursor, schema, table) for schema, table in names}
        cursor.execute("SELECT CONCAT(user, '@', host), SHA2(authentication_string, 256) FROM mysql.user")
        definitions |= {str(name): str(secret) for name, secret in cursor.fetchall()}
    return Held(rows, definitions)


def _tables(cursor: Cursor) -> list[tuple[str, str]]:
    cursor.execute(
        "SELECT table_schema, table_name FROM information_schema.tables"
        " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN %s ORDER BY 1, 2",
        (SYSTEM,),
    )
    return [(schema, table) for schema, table in cursor.fetchall() if f"{schema}.{table}" not in OWN]


def _rows(cursor: Cursor, schema: str, table: str) -> tuple[str, ...]:
    """Number of rows, XOR and sum of their hashes. Values are spelled in hexadecimal, so that none looks like two."""
    cursor.execute(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        (schema, table),
    )
    parts = []
    for column, kind in cursor.fetchall():
        value = f"`{column}` + 0E0" if kind == "float" else f"`{column}`"
        parts.append(f"COALESCE(HEX(CONCAT({value})), 'N')")
    text = f"SHA2(CONCAT_WS(',', {', '.join(parts)}), 256)"
    cursor.execute(
        f"SELECT COUNT(*), BIT_XOR(CAST(CONV(LEFT({text}, 16), 16, 10) AS UNSIGNED)), SUM(CRC32({text}))"  # noqa: S608
        f" FROM `{schema}`.`{table}`"
    )
    return tuple(map(str, cursor.fetchone() or ()))


def _definition(cursor: Cursor, schema: str, table: str) -> str:
    cursor.execute(f"SHOW CREATE TABLE `{schema}`.`{table}`")
    return COUNTER.sub("", str((cursor.fetchone() or ("", ""))[1]))
