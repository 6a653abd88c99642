"""Looks up what a forced failover left behind: rows of the new primary, its quarantine, the evidence on both hosts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from pymysql.cursors import Cursor

from lab.checkers import kept
from lab.diverging import asking, roles
from lab.stand import Stand
from lab.topology import Node

COLUMN = "note"  # in which rows write values that are found nowhere else


def violations(stand: Stand, told: Collection[str], *, refused: bool) -> list[str]:
    """What is lost of `told`. Where a return was `refused` the old primary still has its own rows, shut away, and its
    record tells of the evidence."""
    primary, other = roles(stand)
    with asking(stand, primary) as cursor:
        stored = _stored(cursor)
        cursor.execute("SELECT summary FROM kembar.quarantine")
        entries = "\n".join(str(summary) for (summary,) in cursor.fetchall())
    entries += "\n".join(file.read_text() for file in _files(stand, primary, "*/quarantine/*.json"))
    if refused:
        entries += "the record of the return"
        with asking(stand, other) as cursor:
            stored |= _stored(cursor)
    left = set(told) - stored
    on_both = [_found(_files(stand, node, "*/binlog/*"), left) for node in (primary, other)]
    return list(kept.check(told, stored, entries, on_both[0] & on_both[1]))


def _stored(cursor: Cursor) -> set[str]:
    """The values of every table of the application that has such a column."""
    cursor.execute(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'shop' AND column_name = %s", (COLUMN,)
    )
    found: set[str] = set()
    for (table,) in cursor.fetchall():
        cursor.execute(f"SELECT `{COLUMN}` FROM shop.`{table}`")  # noqa: S608 - names of our own
        found |= {str(value) for (value,) in cursor.fetchall()}
    return found


def _files(stand: Stand, node: Node, pattern: str) -> Iterable[Path]:
    return (stand.files.node(node) / "state/reconcile").glob(pattern)


def _found(files: Iterable[Path], values: Collection[str]) -> set[str]:
    contents = [file.read_bytes() for file in files]
    return {value for value in values if any(value.encode() in content for content in contents)}
