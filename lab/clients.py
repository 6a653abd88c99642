"""The clients of a mixed load: what each does on its connection through the VIP, and how sure it is of the outcome.

Reads and changes are single statements, or take their locks by FOR UPDATE: MySQL promises no more to others.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO

import pymysql

from lab.checkers.calls import Call, Kind, Outcome

Cursor = pymysql.cursors.Cursor
CONNECT_S = 0.2  # as lab.meter
ANSWER_S = 2.0
ACCOUNTS, BALANCE = 6, 100
CALLS_PER_REGISTER, CALLS_PER_LIST = 40, 60  # short-lived: an order is searched for per key
PER_RUN = 10_000_000  # keys and values of different runs stay apart
# Answers after which nothing was done and nothing will be: lock wait, deadlock, read-only (also at COMMIT).
SURELY_NOT = frozenset({1205, 1213, 1290, 1792, 1836})
TABLES = (
    # Not unique by v: a value that was written twice must be able to show.
    "CREATE TABLE IF NOT EXISTS load_value (id BIGINT AUTO_INCREMENT PRIMARY KEY, v BIGINT NOT NULL, KEY (v))",
    "CREATE TABLE IF NOT EXISTS load_register (k BIGINT PRIMARY KEY, v BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS load_account (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS load_list (k BIGINT PRIMARY KEY, v TEXT NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class Way:
    """How to get to the server."""

    vip: str
    port: int
    password: str
    database: str


class CallWriter:
    """Two lines a call, each as it happens, from any thread: see lab.checkers.calls."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._lock, self._numbers = file, threading.Lock(), itertools.count()

    def sent(self, client: int, kind: Kind, given: Any, server: str, connection: int) -> int:
        number = next(self._numbers)
        self._write(
            n=number, client=client, kind=kind, given=given, server=server, connection=connection, at=time.monotonic()
        )
        return number

    def returned(self, number: int, outcome: Outcome, result: Any = None) -> None:
        self._write(n=number, outcome=outcome, at=time.monotonic(), result=result)

    def _write(self, **line: Any) -> None:
        text = json.dumps(line, separators=(",", ":"))
        with self._lock:
            self._file.write(text + "\n")
            self._file.flush()


class Session:
    """One client's connection, made anew after each doubt; `call` writes everything down."""

    _connections = itertools.count(1)

    def __init__(self, client: int, way: Way, writer: CallWriter) -> None:
        self._client, self._way, self._writer = client, way, writer
        self._connection: pymysql.Connection[Cursor] | None = None
        self._number = 0
        self._committing = False
        self.server = ""

    def call(self, kind: Kind, given: Any, do: Callable[[Cursor], Any], *, at_once: bool = True) -> Outcome | None:
        """One call; None if there was no connection to send it on.

        `at_once`: each statement commits by itself. Otherwise `do` ends with `commit`, before which nothing lasts.
        """
        try:
            connection = self.connected()
        except (pymysql.err.MySQLError, OSError):
            self.drop()
            return None
        self._committing = at_once
        number = self._writer.sent(self._client, kind, given, self.server, self._number)
        try:
            with connection.cursor() as cursor:
                result = do(cursor)
        except (pymysql.err.MySQLError, OSError) as error:
            outcome = Outcome.FAIL if not self._committing or _surely_not(error) else Outcome.UNKNOWN
            self._writer.returned(number, outcome)
            self.drop()
            return outcome
        self._writer.returned(number, Outcome.OK, result)
        return Outcome.OK

    def commit(self, cursor: Cursor) -> None:
        """From here on a lost connection leaves a doubt."""
        self._committing = True
        cursor.execute("COMMIT")

    def connected(self) -> pymysql.Connection[Cursor]:
        """Raises MySQLError, OSError."""
        if self._connection is None:
            self._connection = pymysql.connect(
                host=self._way.vip,
                port=self._way.port,
                user="app",
                password=self._way.password,
                database=self._way.database,
                autocommit=True,
                ssl_disabled=True,  # as lab.meter
                connect_timeout=CONNECT_S,
                read_timeout=ANSWER_S,
                write_timeout=ANSWER_S,
            )
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT @@server_uuid")
                (self.server,) = cursor.fetchone() or ("",)
            self._number = next(Session._connections)
        return self._connection

    def drop(self) -> None:
        """Forget the connection; the server rolls back what was not committed on it."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.open:
            connection._force_close()  # type: ignore[attr-defined] # close() would wait for a server that is gone


class Keys:
    """One key at a time for all clients of a kind, and another one after so many calls."""

    def __init__(self, first: int, calls: int) -> None:
        self._first, self._calls, self._count = first, calls, itertools.count()

    def now(self) -> int:
        return self._first + next(self._count) // self._calls


class Load:
    """The work of one run: each method makes one call on a session. Numbers are shared by all clients."""

    def __init__(self, run: int) -> None:
        self.first = run * PER_RUN
        self._values = itertools.count(self.first + 1)
        self._registers, self._lists = Keys(self.first, CALLS_PER_REGISTER), Keys(self.first, CALLS_PER_LIST)
        self._random = random.Random()  # noqa: S311 - it only mixes calls
        self._known: dict[int, int | None] = {}

    def prepare(self, session: Session) -> None:
        """Tables, and the accounts of this run. Raises MySQLError, OSError."""
        with session.connected().cursor() as cursor:
            for table in TABLES:
                cursor.execute(table)
            rows = [(self.first + number, BALANCE) for number in range(ACCOUNTS)]
            cursor.executemany("INSERT IGNORE INTO load_account (id, balance) VALUES (%s, %s)", rows)

    def insert(self, session: Session) -> Outcome | None:
        """A new value; every tenth is looked for afterwards."""
        value = next(self._values)
        done = session.call(
            Kind.INSERT, value, lambda cursor: _done(cursor, "INSERT INTO load_value (v) VALUES (%s)", value)
        )
        if done is Outcome.OK and value % 10 == 0:
            query = "SELECT 1 FROM load_value WHERE v = %s"
            return session.call(Kind.LOOK, value, lambda cursor: bool(cursor.execute(query, (value,))))
        return done

    def register(self, session: Session) -> Outcome | None:
        """A read, a write or an exchange of the key of now."""
        key, what = self._registers.now(), self._random.random()
        if what < 0.4:
            return session.call(Kind.READ, key, lambda cursor: self._read(cursor, key))
        value = next(self._values)
        if what < 0.7:
            query = "INSERT INTO load_register (k, v) VALUES (%s, %s) AS new ON DUPLICATE KEY UPDATE v = new.v"
            return session.call(Kind.WRITE, [key, value], lambda cursor: _done(cursor, query, key, value))
        expected = self._known.get(key) or 0
        exchange = "UPDATE load_register SET v = %s WHERE k = %s AND v = %s"
        return session.call(
            Kind.CAS, [key, expected, value], lambda cursor: cursor.execute(exchange, (value, key, expected)) == 1
        )

    def _read(self, cursor: Cursor, key: int) -> int | None:
        cursor.execute("SELECT v FROM load_register WHERE k = %s", (key,))
        row = cursor.fetchone()
        found = int(row[0]) if row else None
        self._known = {key: found}
        return found

    def bank(self, session: Session) -> Outcome | None:
        """A transfer in one of two ways, or a look at all balances."""
        if self._random.random() < 0.3:
            return session.call(Kind.BALANCES, None, self._balances)
        giver, taker = self._random.sample(range(self.first, self.first + ACCOUNTS), 2)
        amount = self._random.randint(1, 5)
        given = [giver, taker, amount]
        if self._random.random() < 0.5:
            query = "UPDATE load_account SET balance = balance + IF(id = %s, %s, %s) WHERE id IN (%s, %s)"
            return session.call(
                Kind.TRANSFER, given, lambda cursor: _done(cursor, query, giver, -amount, amount, giver, taker)
            )
        return session.call(
            Kind.TRANSFER, given, lambda cursor: self._transfer(session, cursor, giver, taker, amount), at_once=False
        )

    def _balances(self, cursor: Cursor) -> list[int]:
        query = "SELECT balance FROM load_account WHERE id BETWEEN %s AND %s"
        cursor.execute(query, (self.first, self.first + ACCOUNTS - 1))
        return [int(row[0]) for row in cursor.fetchall()]

    def _transfer(self, session: Session, cursor: Cursor, giver: int, taker: int, amount: int) -> None:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id, balance FROM load_account WHERE id IN (%s, %s) FOR UPDATE", (giver, taker))
        balances = dict(cursor.fetchall())
        for account, change in ((giver, -amount), (taker, amount)):
            cursor.execute("UPDATE load_account SET balance = %s WHERE id = %s", (balances[account] + change, account))
        session.commit(cursor)

    def lists(self, session: Session) -> Outcome | None:
        """One to three reads and appends on the lists of now, all locked until the end."""
        newest = self._lists.now()
        keys = [max(self.first, newest - back) for back in (0, 1)]
        steps: list[list[Any]] = []
        for _ in range(self._random.randint(1, 3)):
            key = self._random.choice(keys)
            steps.append(["append", key, next(self._values)] if self._random.random() < 0.5 else ["r", key])
        return session.call(Kind.LISTS, steps, partial(self._steps, session, steps=steps), at_once=False)

    def _steps(self, session: Session, cursor: Cursor, steps: list[list[Any]]) -> list[list[int] | None]:
        results: list[list[int] | None] = []
        append = (
            "INSERT INTO load_list (k, v) VALUES (%s, %s) AS new"
            " ON DUPLICATE KEY UPDATE v = CONCAT(load_list.v, ',', new.v)"
        )
        cursor.execute("BEGIN")
        for name, key, *value in steps:
            if name == "append":
                cursor.execute(append, (key, str(value[0])))
                results.append(None)
            else:
                cursor.execute("SELECT v FROM load_list WHERE k = %s FOR UPDATE", (key,))
                results.append(_list(cursor.fetchone()))
        session.commit(cursor)
        return results

    # the end

    def look_everything_up(self, session: Session, sent: Sequence[Call]) -> list[int]:
        """Every value of this run as it is stored. Raises MySQLError, OSError.

        Balances, and the registers and lists that these calls were about, are written down as calls: also those that
        are not there, for they may have been lost as a whole.
        """
        with session.connected().cursor() as cursor:
            query = "SELECT v FROM load_value WHERE v > %s AND v <= %s"
            cursor.execute(query, (self.first, self.first + PER_RUN))
            values = [int(row[0]) for row in cursor.fetchall()]
        registers = {call.given[0] for call in sent if call.kind in (Kind.WRITE, Kind.CAS)}
        lists = {step[1] for call in sent if call.kind is Kind.LISTS for step in call.given}
        asked = [session.call(Kind.BALANCES, None, self._balances)]
        asked += [session.call(Kind.READ, key, partial(self._read, key=key)) for key in sorted(registers)]
        steps = [["r", key] for key in sorted(lists)]
        asked.append(session.call(Kind.LISTS, steps, partial(self._steps, session, steps=steps), at_once=False))
        if set(asked) != {Outcome.OK}:
            raise OSError("the server left during the last reads")
        return values


def _list(row: Any) -> list[int]:
    return [int(value) for value in row[0].split(",")] if row else []


def _done(cursor: Cursor, query: str, *values: Any) -> None:
    cursor.execute(query, values)


def _surely_not(error: Exception) -> bool:
    return bool(error.args) and error.args[0] in SURELY_NOT
