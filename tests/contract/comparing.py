"""A real pair whose standby is compared with its primary by the product's own parts, from one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pymysql

from agents.reconcile.answering import Answering
from agents.reconcile.comparison import Comparison
from agents.reconcile.sweeping import Answered, Question
from agents.reconcile.swept import Progress
from agents.session import Access, Session
from orchestrator.core.verifying import Difference, Outcome, Verifying
from tests.contract.mysqlpair import QUICK, Pair, Server, replicating

SCHEMA = "shop"
NUMBERS = count(1)


def verify_session(server: Server) -> Session:
    """As the agents open it: by the account, and with the rights, that the lab gives it."""
    return Session(Access(server.instance.socket, "kembar_rejoin", server.passwords.rejoin), "test_verify", once=True)


def client(server: Server) -> pymysql.Connection[Any]:
    return pymysql.connect(
        unix_socket=str(server.instance.socket), user="root", password=server.passwords.root, autocommit=True,
        charset="utf8mb4", conv={},
        init_command="SET time_zone = '+00:00', sql_mode = '', sql_require_primary_key = OFF,"
        " cte_max_recursion_depth = 1000000",
    )  # fmt: skip


@dataclass
class Watch:
    """Whoever asked for it: notes what is told, and may interrupt."""

    told: list[Progress] = field(default_factory=list)
    pauses_s: list[float] = field(default_factory=list)
    goes_on: Callable[[], bool] = lambda: True

    def wanted(self) -> bool:
        return self.goes_on()

    def wait(self, seconds: float) -> None:
        self.pauses_s.append(seconds)

    def tell(self, progress: Progress, *, keep: bool) -> None:
        self.told.append(progress)

    def now(self) -> str:
        return "2026-11-26T06:00:00.000Z"


@dataclass(repr=False)
class Compared:
    """`primary` and `standby` are root's clients; what is done by `standby` is logged nowhere."""

    pair: Pair

    def __post_init__(self) -> None:
        self.primary, self.standby = client(self.pair.primary), client(self.pair.standby)

    def do(self, *statements: str) -> None:
        """On the primary, as clients do."""
        for statement in statements:
            ask(self.primary, statement)

    def alone(self, *statements: str) -> None:
        """On the standby alone, unseen by replication."""
        self.arrived()
        ask(self.standby, "SET GLOBAL super_read_only = OFF")
        try:
            for statement in ("SET sql_log_bin = OFF, foreign_key_checks = OFF", f"USE {SCHEMA}", *statements):
                ask(self.standby, statement)
        finally:
            ask(self.standby, "SET sql_log_bin = ON, foreign_key_checks = ON")
            ask(self.standby, "SET GLOBAL super_read_only = ON")

    def arrived(self) -> None:
        ((executed,),) = ask(self.primary, "SELECT @@GLOBAL.gtid_executed")
        ((late,),) = ask(self.standby, f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{executed}', 30)")
        assert late == "0"

    def anew(self, *definitions: str) -> None:
        self.do(f"DROP DATABASE IF EXISTS {SCHEMA}", f"CREATE DATABASE {SCHEMA}", f"USE {SCHEMA}", *definitions)

    def answering(self, server: Server) -> Answering:
        return Answering(lambda: verify_session(server), lambda: True)

    def verified(
        self,
        *tables: str,
        watch: Watch | None = None,
        progress: Progress | None = None,
        theirs: Callable[[Question], Answered] | None = None,
    ) -> Verifying:
        """To its end; what it tells goes to `watch`."""
        return self.run(*tables, watch=watch, progress=progress, theirs=theirs).told

    def run(
        self,
        *tables: str,
        watch: Watch | None = None,
        progress: Progress | None = None,
        theirs: Callable[[Question], Answered] | None = None,
    ) -> Progress:
        told = Verifying(f"v{next(NUMBERS)}", 1, "olga", tables, Outcome.RUNNING)
        comparison = Comparison(
            progress or Progress(told),
            theirs or self.answering(self.pair.primary).answer,
            self.answering(self.pair.standby).answer,
            lambda: verify_session(self.pair.standby),
            watch or Watch(),
        )
        return comparison.run()

    def differences(self, *tables: str) -> list[Difference]:
        return list(self.run(*tables).found)


def ask(on: pymysql.Connection[Any], sql: str, arguments: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with on.cursor() as cursor:
        cursor.execute(sql, arguments)
        return list(cursor.fetchall())


@contextmanager
def compared() -> Iterator[Compared]:
    with replicating(QUICK) as pair:
        pair.reset()
        made = Compared(pair)
        try:
            yield made
        finally:
            made.primary.close()
            made.standby.close()
