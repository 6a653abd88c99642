"""What rows ask of mysqld itself, by SQL."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pymysql
from pymysql.cursors import Cursor

from lab.matrix.trial import MOVED_S, Trial
from lab.stand import wait_for
from lab.topology import Node
from orchestrator.core.errors import StepFailed

READ_ONLY = 1290
UNLOCKED_MAX = 20  # tries


def later(t: Trial, cursor: Cursor, statement: str) -> None:
    """Run it at the end of the row, whatever became of the row."""
    session = cursor.connection

    def run() -> None:
        with suppress(pymysql.err.Error), session.cursor() as last:  # a server that ended has forgotten it
            last.execute(statement)

    t.undo.callback(run)


def fill_connections(t: Trial) -> int:
    """Take every connection that a client can get; how many that were. Closed at the end of the row."""
    for number in itertools.count():
        try:
            t.application()
        except pymysql.err.OperationalError as error:
            if error.args[0] in (1040, 1203):
                return number
            raise
    raise AssertionError("count() does not end")


def end_sessions(t: Trial, cursor: Cursor, user: str) -> None:
    """KILL every session of an account."""
    cursor.execute("SELECT id FROM information_schema.processlist WHERE user = %s", (user,))
    for (number,) in cursor.fetchall():
        with suppress(pymysql.err.Error):  # it may have ended by itself
            cursor.execute("KILL %s", (number,))


def until_variable(t: Trial, node: Node, name: str, value: str) -> None:
    """Wait until a global variable has that value, perhaps in another mysqld by then. Raises StepFailed."""
    query = "SELECT VARIABLE_VALUE FROM performance_schema.global_variables WHERE VARIABLE_NAME = %s"

    def has() -> bool:
        try:
            session = t.administrator(node)
            with session.cursor() as cursor:
                cursor.execute(query, (name,))
                found = cursor.fetchone()
            session.close()
        except (pymysql.err.MySQLError, OSError):
            return False
        return found == (value,)

    wait_for(has, MOVED_S, f"{name} is not {value}", every_s=0.05)


def await_applied(t: Trial) -> None:
    """The standby has executed everything that the primary had until now. Raises StepFailed."""
    with t.administrator(t.primary).cursor() as cursor:
        cursor.execute("SELECT @@global.gtid_executed")
        (executed,) = cursor.fetchone() or ("",)
    with t.administrator(t.standby).cursor() as cursor:
        cursor.execute("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, 8)", (executed,))
        if cursor.fetchone() != (0,):
            raise StepFailed(f"{t.standby.name} has not executed what {t.primary.name} had within 8 s")


def past_read_only(cursor: Cursor, statement: str) -> None:
    """Run it on a standby, whose agent may lock it again between the two statements. Raises pymysql.err.Error."""
    for left in reversed(range(UNLOCKED_MAX)):
        cursor.execute("SET GLOBAL super_read_only = OFF")
        try:
            cursor.execute(statement)
        except pymysql.err.OperationalError as error:
            if error.args[0] != READ_ONLY or not left:
                raise
        else:
            return


def until_none(t: Trial, cursor: Cursor, statement: str) -> None:
    """Wait until a query finds nothing. Raises StepFailed."""
    wait_for(lambda: not cursor.execute(statement), MOVED_S, f"still found: {statement}", every_s=0.05)
