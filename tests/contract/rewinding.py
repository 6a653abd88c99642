"""A server on which anything is done and then undone: its tables must be as they were, in every byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from agents.binlog.contents import transactions
from agents.binlog.images import RowChange, row_changes
from agents.binlog.logs import contents, files_after, mapped
from agents.binlog.parse import head
from agents.binlog.rewind import check, rewind
from agents.binlog.undo import Refusal, Undo, plan_undo
from agents.session import Access, Session
from orchestrator.core.gtid import GtidSet
from tests.contract.mysqlpair import QUICK, Server, eventually, servers

SCHEMA = "ledger"
ACCOUNT, PASSWORD = "kembar_rejoin", "rewinds only"
# What the account that rewinds needs: REPLICATION_APPLIER for BINLOG, SESSION_VARIABLES_ADMIN for sql_log_bin,
# CONNECTION_ADMIN to log in to an offline server and to write to a read-only one.
GRANTS = (
    "REPLICATION_APPLIER, SESSION_VARIABLES_ADMIN, CONNECTION_ADMIN ON *.*",
    f"INSERT, UPDATE, DELETE ON {SCHEMA}.*",
    "SELECT, INSERT, UPDATE, DELETE ON kembar.*",
)
Rows = list[tuple[Any, ...]]


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@dataclass(repr=False)
class Undoer:
    """One server, and a client that may do anything."""

    server: Server
    client: pymysql.Connection = field(init=False)

    def __post_init__(self) -> None:
        self.connect()

    def connect(self) -> None:
        self.client = pymysql.connect(
            unix_socket=str(self.server.instance.socket),
            user="root",
            password=self.server.passwords.root,
            autocommit=True,
            charset="utf8mb4",
            conv={},
        )
        self.ask("SET sql_require_primary_key = OFF, time_zone = '+00:00', sql_mode = ''")

    def ask(self, sql: str, arguments: Sequence[object] = ()) -> Rows:
        with self.client.cursor() as cursor:
            cursor.execute(sql, tuple(arguments) or None)
            return list(cursor.fetchall())

    def do(self, *statements: str) -> None:
        for statement in statements:
            self.ask(statement)

    def executed(self) -> GtidSet:
        return GtidSet.parse(self.ask("SELECT @@GLOBAL.gtid_executed")[0][0])

    def made(self, *definitions: str) -> None:
        """A schema with these tables alone, and a new file of the binary log."""
        self.do(f"DROP DATABASE IF EXISTS {SCHEMA}", f"CREATE DATABASE {SCHEMA}", f"USE {SCHEMA}", *definitions)
        self.do("FLUSH BINARY LOGS")

    def tables(self) -> list[str]:
        return [row[0] for row in self.ask("SHOW TABLES")]

    def dump(self) -> dict[str, Rows]:
        """Every value of every table: all columns by name, a FLOAT as the DOUBLE that it is exactly."""
        return {name: self._rows(name) for name in self.tables()}

    def _rows(self, name: str) -> Rows:
        columns = self.ask(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
            (SCHEMA, name),
        )
        spelled = {"float": "{} + 0E0", "vector": "HEX({})"}
        read = (spelled.get(kind, "{}").format(quoted(column)) for column, kind in columns)
        return sorted(self.ask(f"SELECT {', '.join(read)} FROM {quoted(name)}"), key=repr)

    def checksums(self) -> Rows:
        return self.ask(f"CHECKSUM TABLE {', '.join(map(quoted, self.tables()))} EXTENDED")

    @property
    def datadir(self) -> Path:
        return self.server.instance.datadir

    def plan(self, before: GtidSet) -> Undo | Refusal:
        errant = self.executed() - before
        return plan_undo(files_after(self.datadir, self.datadir / "binlog.index", before), errant)

    def session(self) -> Session:
        return Session(Access(self.server.instance.socket, ACCOUNT, PASSWORD), "test_rewind", once=True)

    def refusal(self, before: GtidSet) -> Refusal | None:
        """Why what was done since cannot be undone."""
        planned = self.plan(before)
        if isinstance(planned, Refusal):
            return planned
        session = self.session()
        try:
            return check(session, planned)
        finally:
            session.close()

    def undo(self, before: GtidSet, number: int = 7) -> Undo:
        """Undo what was done since, as on a fenced server."""
        planned = self.plan(before)
        assert isinstance(planned, Undo), str(planned)
        with self.fenced():
            refused = self.refusal(before)
            assert refused is None, str(refused)
            *_, last = rewind(self.session, number, planned)
        assert last.done == last.total == len(planned.places)
        return planned

    def restarted(self) -> None:
        """As after kill -9: mysqld runs again, and takes writes as while a node is repaired."""
        self.client.close()
        self.server.database.close()
        self.server.start()
        self.server.database.set_writable()
        self.connect()
        self.do(f"USE {SCHEMA}")

    @contextmanager
    def fenced(self) -> Iterator[None]:
        self.do("SET GLOBAL read_only = ON, GLOBAL offline_mode = ON")
        try:
            yield
        finally:
            self.do("SET GLOBAL offline_mode = OFF, GLOBAL read_only = OFF")
            self.do("SET sql_log_bin = OFF", "DELETE FROM kembar.reconcile_journal", "SET sql_log_bin = ON")

    def restores(self, work: Callable[[], None] | Sequence[str], *, checksums: bool = True) -> Undo:
        """Do it, undo it, and see that nothing is left of it but its ids."""
        before, tables = self.executed(), self.dump()
        sums = self.checksums() if checksums else []
        if callable(work):
            work()
        else:
            self.do(*work)
        after = self.executed()
        assert self.dump() != tables, "nothing was changed: the case shows nothing"
        done = self.undo(before)
        assert self.dump() == tables
        assert not checksums or self.checksums() == sums
        assert self.executed() == after
        return done


@contextmanager
def undoer(**options: object) -> Iterator[Undoer]:
    """One running, writable server with the account that rewinds; `options` beside those of the lab."""
    with servers(1, {**QUICK, **options}) as (server,):
        server.supervisor.start()
        eventually(server.answers, 180)
        server.database.set_writable()
        one = Undoer(server)
        one.do("SET sql_log_bin = OFF", f"DROP USER '{ACCOUNT}'@'localhost'")
        one.do(f"CREATE USER '{ACCOUNT}'@'localhost' IDENTIFIED BY '{PASSWORD}'")
        one.do(*(f"GRANT {grant} TO '{ACCOUNT}'@'localhost'" for grant in GRANTS), "SET sql_log_bin = ON")
        try:
            yield one
        finally:
            one.client.close()


def changes_since(on: Undoer, before: GtidSet) -> list[RowChange]:
    """Every row that was changed, in the order of the log."""
    found = []
    for path in files_after(on.datadir, on.datadir / "binlog.index", before):
        with mapped(path) as data:
            for one in transactions(data, head(data).end):
                if not GtidSet.parse(str(one.gtid)) <= before:
                    with contents(data, one) as changes:
                        found += row_changes(changes, one)
    return found
