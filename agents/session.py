"""One kept session with mysqld: login, statements with a deadline, errors in our words. Used by one thread at a time.

A session whose statement had no answer by its deadline is thrown away: a late answer would be taken for the next one's.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.constants import CLIENT
from pymysql.converters import encoders
from pymysql.cursors import Cursor

from orchestrator.core.errors import DatabaseUnavailable, StepFailed

if TYPE_CHECKING:  # generic in its stubs only
    Connection = pymysql.Connection[Cursor]
else:
    Connection = pymysql.Connection

Row = Mapping[str, str]  # column -> text; NULL is the empty text
CLIENT_ERRORS = range(2000, 3000)  # raised by the client library: no server said them
TOO_MANY_CONNECTIONS = 1040
LOGIN_S = 2.0
KEPT_S = 31536000  # the longest that the server keeps an idle session: a year
TEXT_ONLY: dict[Any, Callable[[Any], str]] = {**encoders}  # no decoders: every value arrives as text


@dataclass(frozen=True, slots=True)
class Access:
    """How to log in: the local socket, and the admin port for the moment when the socket says 1040."""

    socket: Path
    user: str
    password: str
    admin_port: int | None = None


class StatementRefused(StepFailed):
    """The server answered a statement with an error; `errno` is its number."""

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno


class _Wire(Connection):
    """PyMySQL's connection with what it lacks: a limit per statement, and an end that another thread can bring."""

    _read_timeout: float | None
    _write_timeout: float | None
    _sock: socket.socket | None
    _secure: bool

    def connect_local(self, path: Path, within_s: float) -> None:
        """Log in through a UNIX socket; PyMySQL itself would leave its socket open when nobody listens."""
        local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            local.settimeout(within_s)
            local.connect(str(path))
            self._secure = True  # the password may be sent: it does not leave the host
            self.connect(local)
        except BaseException:
            local.close()
            raise

    def limit(self, seconds: float | None) -> None:
        self._read_timeout = self._write_timeout = seconds

    def stale(self) -> bool:
        """Whether something came unasked between two statements: the server's goodbye. 2 us (measured)."""
        if self._sock is None:
            return True
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def cut(self) -> None:
        """Wake whoever reads; `close` alone would leave a blocked read blocked."""
        if self._sock is not None:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)


class Session:
    """A session that is opened at the first statement, and again after it was lost."""

    def __init__(
        self, access: Access, program: str, *, many: bool = False, once: bool = False, database: str | None = None
    ) -> None:
        """`program` is the connection attribute program_name, by which it is found on the server; `many` allows
        several statements in one round trip; `once` never opens it again: what was set in it would be gone.

        Rights on `database` are looked up at the login, those on others at each statement, under a lock that a waiting
        account statement holds (measured).
        """
        self._database = database
        self._access = access
        self._once, self._used = once, False
        self._program = program
        self._flags = CLIENT.MULTI_STATEMENTS if many else 0
        self._wire: _Wire | None = None
        self._reserve = False

    @property
    def open(self) -> bool:
        """Whether the next statement needs no login first, as far as can be seen without asking."""
        return self._wire is not None and not self._wire.stale()

    @property
    def reserve(self) -> bool:
        """Whether the session had to come in through the admin port."""
        return self._reserve

    @property
    def connection_id(self) -> int | None:
        return None if self._wire is None else int(self._wire.thread_id())  # type: ignore[no-untyped-call]

    def login(self, within_s: float) -> None:
        """Open the session if it is not, or was ended by the server, which must not cost the next statement.

        Raises DatabaseUnavailable with the server's number if it refused.
        """
        if self.open:
            return
        self.close()
        if self._once and self._used:
            raise DatabaseUnavailable(f"the session of {self._access.user} was lost, and what was set in it")
        self._used = True
        try:
            self._wire, self._reserve = self._connect(within_s, None), False
        except DatabaseUnavailable as error:
            if error.errno != TOO_MANY_CONNECTIONS or self._access.admin_port is None:
                raise
            self._wire, self._reserve = self._connect(within_s, self._access.admin_port), True

    def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
        """Rows of one statement, columns by name. `within_s` None waits until `cut`.

        Raises DatabaseUnavailable (no login, no answer), StatementRefused (the server answered with an error).
        """
        return self.ask_many(sql, arguments, within_s=within_s)[0]

    def ask_many(
        self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None
    ) -> tuple[tuple[Row, ...], ...]:
        """As `ask`, for several statements with `;` between: rows of each."""
        self.login(LOGIN_S if within_s is None else within_s)
        wire = self._wire
        assert wire is not None
        wire.limit(within_s)
        try:
            with wire.cursor() as cursor:
                cursor.execute(sql, tuple(arguments) or None)
                sets = [_rows(cursor)]
                while cursor.nextset():
                    sets.append(_rows(cursor))
        except pymysql.Error as error:
            raise self._trouble(error, sql, within_s) from error
        return tuple(sets)

    def cut(self) -> None:
        """End a statement in flight, from another thread: its caller gets DatabaseUnavailable."""
        wire = self._wire
        if wire is not None:
            wire.cut()

    def close(self) -> None:
        """Forget the session. A statement in flight goes on in the server."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.cut()
            with suppress(pymysql.Error):
                wire.close()

    def _connect(self, within_s: float, admin_port: int | None) -> _Wire:
        place: dict[str, Any] = (
            {"ssl_disabled": True}  # building a TLS context takes 40 ms (measured)
            if admin_port is None
            # The password must not be readable on the way; whose certificate it is does not matter on loopback.
            else {"host": "127.0.0.1", "port": admin_port, "ssl": _loopback_tls()}
        )
        try:
            wire = _Wire(
                **place,
                defer_connect=True,
                user=self._access.user,
                password=self._access.password,
                database=self._database,
                program_name=self._program,
                client_flag=self._flags,
                autocommit=True,
                charset="utf8mb4",
                init_command=f"SET SESSION wait_timeout = {KEPT_S}",
                conv=TEXT_ONLY,
                connect_timeout=within_s,
                read_timeout=within_s,
                write_timeout=within_s,
            )
            if admin_port is None:
                wire.connect_local(self._access.socket, within_s)
            else:
                wire.connect()
        except (pymysql.Error, OSError) as error:
            errno = _server_errno(error)
            where = self._access.socket if admin_port is None else f"127.0.0.1:{admin_port}"
            raise DatabaseUnavailable(f"{where}: no login as {self._access.user}: {_said(error)}", errno) from error
        return wire

    def _trouble(
        self, error: pymysql.Error, sql: str, within_s: float | None
    ) -> DatabaseUnavailable | StatementRefused:
        errno = _server_errno(error)
        verb = " ".join(sql[:80].split()[:4])[:40]  # never the whole statement: it may hold a password, or megabytes
        if errno is not None:
            return StatementRefused(f"{verb}: {_said(error)}", errno)
        self.close()
        return DatabaseUnavailable(f"{verb}: no answer within {within_s} s: {_said(error)}")


def _rows(cursor: Cursor) -> tuple[Row, ...]:
    columns = [str(column[0]) for column in cursor.description or ()]
    return tuple(
        dict(zip(columns, ("" if value is None else str(value) for value in row), strict=True))
        for row in cursor.fetchall()
    )


def _server_errno(error: Exception) -> int | None:
    number = error.args[0] if isinstance(error, pymysql.Error) and error.args else None
    return number if isinstance(number, int) and number and number not in CLIENT_ERRORS else None


def _said(error: Exception) -> str:
    return " ".join(str(part) for part in error.args)


def _loopback_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
