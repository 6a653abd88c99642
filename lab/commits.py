"""`python -m lab.commits`: single-row commits from one client to a server's own address; how many, or when seen.

Prints commits per second; with `--seen-on ADDRESS` instead the milliseconds from each commit's return until the row is
seen on that server, asked without a pause on a session that stands.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TypeAlias

import pymysql

from lab.meter import TABLE

Connection: TypeAlias = "pymysql.Connection[pymysql.cursors.Cursor]"
SEEN_S = 5.0
PACE_S = 0.01


def commit_rate(source: Connection, seconds: float, first_value: int) -> float:
    """Commits per second, one after the other."""
    began, value = time.monotonic(), first_value
    with source.cursor() as cursor:
        while (now := time.monotonic()) < began + seconds:
            value += 1
            cursor.execute("INSERT INTO meter (v) VALUES (%s)", (value,))
    return (value - first_value) / (now - began)


def visible_after_ms(source: Connection, replica: Connection, samples: int, first_value: int) -> list[float]:
    """For each row: from the return of its commit until the replica shows it. Raises TimeoutError."""
    found = []
    with source.cursor() as write, replica.cursor() as read:
        for value in range(first_value + 1, first_value + samples + 1):
            write.execute("INSERT INTO meter (v) VALUES (%s)", (value,))
            returned = time.monotonic()
            while not read.execute("SELECT 1 FROM meter WHERE v = %s", (value,)):
                if time.monotonic() > returned + SEEN_S:
                    raise TimeoutError(f"value {value} is not on the standby {SEEN_S:g} s after its commit")
            found.append(1000 * (time.monotonic() - returned))
            time.sleep(PACE_S)
    return found


def main() -> int:
    """One figure a line."""
    parser = argparse.ArgumentParser(prog="python -m lab.commits")
    parser.add_argument("address")
    parser.add_argument("password_file", type=Path)
    parser.add_argument("--port", type=int, default=3306)
    parser.add_argument("--first-value", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--seen-on")
    parser.add_argument("--samples", type=int, default=300)
    given = parser.parse_args()
    source = _connect(given, given.address)
    with source.cursor() as cursor:
        cursor.execute(TABLE)
    if given.seen_on:
        replica = _connect(given, given.seen_on)
        figures = visible_after_ms(source, replica, given.samples, given.first_value)
    else:
        figures = [commit_rate(source, given.seconds, given.first_value)]
    print(*(f"{one:.3f}" for one in figures), sep="\n")  # noqa: T201 - this is the command's result
    return 0


def _connect(given: argparse.Namespace, address: str) -> Connection:
    return pymysql.connect(
        host=address,
        port=given.port,
        user="app",
        password=given.password_file.read_text().strip(),
        database="shop",
        autocommit=True,
        ssl_disabled=True,  # as lab.meter
    )


if __name__ == "__main__":
    raise SystemExit(main())
