"""`python -m lab.experiments.crowd PORT CLIENTS < PASSWORD`: clients that commit by TCP till the server is gone.

Prints `ready` when all are logged in.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import pymysql

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

    Connection = pymysql.Connection[Cursor]

DEADLINE_S = 30


def main(arguments: Sequence[str]) -> int:
    port, clients = int(arguments[0]), int(arguments[1])
    password = sys.stdin.readline().strip()
    made = [_connect(port, password) for _ in range(clients)]
    threads = [threading.Thread(target=_write, args=(one,)) for one in made]
    for thread in threads:
        thread.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for thread in threads:
        thread.join()
    return 0


def _connect(port: int, password: str) -> Connection:
    return pymysql.connect(
        host="127.0.0.1", port=port, user="app", password=password, autocommit=True, read_timeout=DEADLINE_S
    )


def _write(connection: Connection) -> None:
    with suppress(pymysql.Error, OSError), connection.cursor() as cursor:
        while True:
            cursor.execute("INSERT INTO shop.t (v) VALUES (1)")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
