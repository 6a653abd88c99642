"""Makes the two servers of a lab part ways as they do in life, and lets the one that was left behind come back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql
from pymysql.cursors import Cursor

from lab import faults, namespaces, processes, sessions
from lab.files import MYSQL_PORT
from lab.sessions import Session
from lab.stand import Stand, wait_for
from lab.topology import Node
from lab.views import until, view
from orchestrator.core.errors import Refused, StepFailed

ALONE_S, FORCED_S, STARTED_S = 60.0, 60.0, 60.0  # on a machine that is slow or has other work
ANSWER_S = 30.0
TRIES = 20
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def roles(stand: Stand) -> tuple[Node, Node]:
    """Primary and standby of now. Raises StepFailed."""
    shown = view(stand)
    return stand.topology.node(shown["primary"]), stand.topology.node(shown["standby"])


def cut_replication(stand: Stand) -> None:
    """The two mysqlds no longer hear each other; everything else does. Undone by `namespaces.unblock_all`."""
    one, other = stand.topology.pair
    namespaces.block_between(stand.name, one.name, other.name, MYSQL_PORT)


def await_alone(stand: Stand) -> None:
    """ASYNC is recorded and the primary commits without its standby. Raises StepFailed."""
    until(
        stand, lambda shown: shown["mode"] == "ASYNC" and shown["writes"] == "ok", "the primary is not alone", ALONE_S
    )


def force(stand: Stand, to: Node) -> None:
    """A forced failover, asked for again until the old primary is silent enough; over when `to` serves.

    Raises StepFailed with the last answer.
    """
    said = ["not asked yet"]

    def admitted() -> bool:
        body: dict[str, object] = {"kind": "failover", "to": to.name, "reason": "forced by the lab"}
        try:
            stand.ask("POST", "operations", body, view(stand)["epoch"])
        except Refused as error:
            said[0] = str(error)
            return False
        return True

    wait_for(admitted, FORCED_S, lambda: f"no forced failover to {to.name}: {said[0]}", every_s=0.2)
    until(
        stand,
        lambda shown: shown["primary"] == to.name and shown["writes"] == "ok",
        f"{to.name} does not serve",
        FORCED_S,
    )


def come_back(stand: Stand, node: Node) -> float:
    """What was ended on the host is started; CLOCK_MONOTONIC when its mysqld started. Raises StepFailed."""
    faults.boot(stand, node)
    return await_mysqld(stand, node)


def await_mysqld(stand: Stand, node: Node) -> float:
    """CLOCK_MONOTONIC at which the mysqld that runs there was started, by the kernel. Raises StepFailed."""
    found: list[float] = []

    def started() -> bool:
        process = _noted(stand, node)
        if process is not None:
            asleep_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
            found.append(process.started / TICKS_PER_S - asleep_s)
        return bool(found)

    wait_for(started, STARTED_S, f"mysqld of {node.name} is not started", every_s=0.01)
    return found[0]


def _noted(stand: Stand, node: Node) -> processes.Process | None:
    """By the note that its agent leaves when it starts one, long before mysqld writes a pid file."""
    pid_file = stand.files.instance(node).pid_file
    try:
        return processes.Process.of(int(pid_file.with_name(f"{pid_file.name}.kembar").read_text().split()[0]))
    except (FileNotFoundError, ValueError, IndexError):
        return None


@contextmanager
def asking(stand: Stand, node: Node, answer_s: float = ANSWER_S) -> Iterator[Cursor]:
    """root's cursor on the node's own socket. Raises pymysql.err.Error."""
    password = stand.facts().passwords.root
    session = sessions.administrator(stand.files.instance(node).socket, password, answer_s=answer_s)
    yield from _lent(session)


@contextmanager
def writing(stand: Stand) -> Iterator[Cursor]:
    """A client's cursor through the VIP. Raises pymysql.err.Error, StepFailed."""
    yield from _lent(_client(stand))


class Client:
    """One of the VIP that connects anew after a broken connection; only for statements that may be repeated."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._session: Session | None = None

    def execute(self, statement: str, *arguments: object) -> int:
        """Until it is acknowledged; how many rows it changed. Raises StepFailed with the last error."""
        for _ in range(TRIES):
            try:
                self._session = self._session or _client(self._stand)
                with self._session.cursor() as cursor:
                    return cursor.execute(statement, arguments or None)
            except (pymysql.err.OperationalError, OSError) as error:
                last = error
                self.close()
        raise StepFailed(f"{statement[:60]}: not acknowledged in {TRIES} tries: {last}")

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            drop(session)


def clients(stand: Stand, count: int) -> list[Session]:
    """So many sessions through the VIP, open until the caller drops them. Raises pymysql.err.Error, OSError."""
    return [_client(stand) for _ in range(count)]


def drop(session: Session) -> None:
    """End it whatever its server does: close() would wait for one that is gone."""
    if session.open:
        session._force_close()  # type: ignore[attr-defined]


def await_waiting(cursor: Cursor, count: int) -> None:
    """So many commits wait for an acknowledgement, or behind one that does. Raises StepFailed.

    A cursor that is there already: an account statement that waits lets nobody log in.
    """
    query = (
        "SELECT COUNT(*) FROM performance_schema.processlist"
        " WHERE state LIKE 'Waiting for semi-sync ACK%' OR state = 'waiting for handler commit'"
    )

    def wait() -> bool:
        cursor.execute(query)
        return int((cursor.fetchone() or (0,))[0]) >= count

    wait_for(wait, ALONE_S, f"{count} commits do not wait", every_s=0.005)


def _client(stand: Stand) -> Session:
    password, vip = stand.facts().passwords.app, str(stand.topology.vip)
    last: Exception = StepFailed("not tried")
    for _ in range(50):  # the address may just have moved
        try:
            return sessions.application(namespaces.path(stand.name, "client"), vip, password, answer_s=ANSWER_S)
        except (pymysql.err.Error, OSError) as error:
            last = error
            time.sleep(0.1)
    raise StepFailed(f"nobody answers on {vip}: {last}")


def _lent(session: Session) -> Iterator[Cursor]:
    try:
        with session.cursor() as cursor:
            yield cursor
    finally:
        drop(session)
