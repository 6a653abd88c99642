"""`python -m lab.meter`: a client in its own namespace that commits unique values through the VIP.

One line an attempt goes to the history file, as it happens: `ok|unknown|refused BEGAN ENDED VALUE SERVER`, times in
seconds of CLOCK_MONOTONIC, which all processes of one machine share. `unknown`: the connection broke during COMMIT.
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from pathlib import Path
from typing import TextIO

import pymysql

from lab.auditor import audit

CONNECT_S = 0.2  # below the kernel's 1 s retry of a SYN that nobody answered
ANSWER_S = 2.0  # a commit that waits for a lost standby is released after stall_s
TRIES = 50
PAUSE_S = 0.002  # between attempts while the VIP refuses
# Not unique by v: a value that was written twice must be able to show.
TABLE = "CREATE TABLE IF NOT EXISTS meter (id BIGINT AUTO_INCREMENT PRIMARY KEY, v BIGINT NOT NULL, KEY (v))"


class Meter:
    """One writing client."""

    def __init__(self, vip: str, port: int, password: str, database: str, history: TextIO, first_value: int) -> None:
        self._vip, self._port, self._password, self._database = vip, port, password, database
        self._history = history
        self._value = first_value
        self._connection: pymysql.Connection[pymysql.cursors.Cursor] | None = None
        self._server = "-"

    def attempt(self) -> None:
        """One value, once: a value whose outcome is unknown is never written again."""
        self._value += 1
        began = time.monotonic()
        outcome = "refused"
        try:
            connection = self._connected()
            outcome = "unknown"
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO meter (v) VALUES (%s)", (self._value,))
            outcome = "ok"
        except (pymysql.err.Error, OSError) as error:
            if isinstance(error, pymysql.err.OperationalError | pymysql.err.InternalError) and _said_no(error):
                outcome = "refused"
            self._drop()
        self._note(outcome, began)
        if outcome != "ok":
            time.sleep(PAUSE_S)

    def prepare(self) -> None:
        """Make the table; tried again, as a connection has little time. Raises pymysql.err.Error, OSError."""
        for left in reversed(range(TRIES)):
            try:
                with self._connected().cursor() as cursor:
                    cursor.execute(TABLE)
                return
            except (pymysql.err.Error, OSError):
                self._drop()
                if not left:
                    raise

    def stored(self) -> list[int]:
        """Every value from the first on that is on the server that answers now, as often as it is there."""
        with self._connected().cursor() as cursor:
            cursor.execute("SELECT v FROM meter WHERE v > %s", (self._value,))
            return [int(row[0]) for row in cursor.fetchall()]

    def _note(self, outcome: str, began: float) -> None:
        self._history.write(f"{outcome} {began:.6f} {time.monotonic():.6f} {self._value} {self._server}\n")

    def _connected(self) -> pymysql.Connection[pymysql.cursors.Cursor]:
        if self._connection is None:
            self._connection = pymysql.connect(
                host=self._vip,
                port=self._port,
                user="app",
                password=self._password,
                database=self._database,
                autocommit=True,
                ssl_disabled=True,  # its default reads every CA certificate of the host: 50 ms a connection (measured)
                connect_timeout=CONNECT_S,
                read_timeout=ANSWER_S,
                write_timeout=ANSWER_S,
            )
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT @@server_uuid")
                row = cursor.fetchone()
            self._server = str(row[0]) if row else "-"
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and connection.open:
            connection._force_close()  # type: ignore[attr-defined] # close() would wait for a server that is gone


def _said_no(error: pymysql.err.Error) -> bool:
    """Whether the server answered that it did nothing: an error number of its own, read-only among them."""
    number = error.args[0] if error.args else 0
    return isinstance(number, int) and 1000 <= number < 2000


def main() -> int:
    """Until SIGTERM, or for `--seconds`."""
    parser = argparse.ArgumentParser(prog="python -m lab.meter")
    parser.add_argument("vip")
    parser.add_argument("history", type=Path)
    parser.add_argument("password_file", type=Path)
    parser.add_argument("--port", type=int, default=3306)
    parser.add_argument("--database", default="shop")
    parser.add_argument("--first-value", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--look-up", action="store_true", help="write nothing; print the values that are stored")
    given = parser.parse_args()
    if given.look_up:
        return _look_up(given)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    answers = given.history.with_suffix(".arp")
    auditor = threading.Thread(target=audit, args=(given.vip, "eth0", answers, stop), daemon=True)
    auditor.start()
    deadline = time.monotonic() + given.seconds
    with given.history.open("w", buffering=1) as history:
        password = given.password_file.read_text().strip()
        meter = Meter(given.vip, given.port, password, given.database, history, given.first_value)
        meter.prepare()
        while not stop.is_set() and time.monotonic() < deadline:
            meter.attempt()
    stop.set()
    auditor.join(2)
    return 0


def _look_up(given: argparse.Namespace) -> int:
    with Path("/dev/null").open("w") as unused:
        password = given.password_file.read_text().strip()
        meter = Meter(given.vip, given.port, password, given.database, unused, given.first_value)
        print(*meter.stored())  # noqa: T201 - this is the command's result
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
