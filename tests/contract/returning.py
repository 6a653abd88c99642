"""Two servers that once were a pair: what only one of them has is taken into the other, by the product's own parts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from agents.binlog.logs import files_after
from agents.binlog.rewind import Lasting
from agents.reconcile.cloning import Cloner
from agents.reconcile.evidence import Folder
from agents.reconcile.merger import Merger
from agents.reconcile.returner import Ask, Place, Returner
from agents.reconcile.swap import Swap
from agents.session import Access, Session
from orchestrator.core.gtid import GtidSet
from orchestrator.core.mergepolicy import MergePolicy
from orchestrator.core.model import NodeName
from orchestrator.core.reconcile import Merge, Reconcile
from orchestrator.core.returning import Rung, Stage
from tests.contract.mysqlpair import QUICK, eventually, servers
from tests.contract.rewinding import Undoer

SCHEMA = "shop"
NODE = NodeName("db-a")
NUMBERS = count(1)


def rejoin_session(one: Undoer) -> Session:
    """As the agents open it: by the account, and with the rights, that the lab gives it."""
    access = Access(one.server.instance.socket, "kembar_rejoin", one.server.passwords.rejoin)
    return Session(access, "test_return", once=True)


def returner(old: Undoer, home: Path, sessions: Callable[[], Lasting], ask: Ask) -> Returner:
    """The returning node's part, as a new process of its agent has it; its evidence in `home`."""
    cloner = Cloner(Swap(old.datadir, home), home, None, sessions, ask, lambda record: True)
    return Returner(Place(old.datadir, home), sessions, ask, cloner)


def unasked(question: str, what: object) -> Any:
    raise AssertionError(f"{question} is no question of these stages")


@dataclass
class Divergence:
    """What `old` did alone, as a record and as evidence on both hosts."""

    two: Two
    record: Reconcile
    home: Path
    merger: Merger = field(init=False)
    serves: Callable[[], bool] = lambda: True
    policy: MergePolicy | None = field(default_factory=MergePolicy)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another life of the new primary's agent: only what is on disk is known."""
        self.merger = Merger(
            self.home / "new",
            self._fetch,
            lambda: rejoin_session(self.two.new),
            lambda: self.serves(),
            lambda: self.policy,
        )

    def merge(self) -> dict[str, int]:
        self.merger.work(self.record, GtidSet())
        assert self.merger.facts.done and self.merger.facts.sums == self.record.sums
        return dict(self.merger.facts.verdicts)

    def entries(self) -> list[tuple[Any, ...]]:
        """(number, why, conflict of each row, primary's row of each) of what was kept, in the order of the numbers."""
        rows = self.two.new.ask(
            "SELECT SUBSTRING_INDEX(gtid, ':', -1) + 0 AS n, summary ->> '$.why', summary ->> '$.rows[*].conflict',"
            " summary ->> '$.rows[*].primary' FROM kembar.quarantine WHERE reconcile_id ="
            f" {self.record.id} ORDER BY n"
        )
        return [tuple(row) for row in rows]

    def files(self) -> dict[str, dict[str, Any]]:
        """What the files of the entries say, by the number of the transaction."""
        found = (json.loads(path.read_bytes()) for path in (self.home / "new").rglob("quarantine/*.json"))
        return {one["gtid"].rpartition(":")[2]: one for one in found}

    def reasons(self) -> list[str]:
        return [entry[1] for entry in self.entries()]

    def _fetch(self, folder: str, name: str, target: Path) -> None:
        shutil.copyfile(self.home / "old" / folder / "binlog" / name, target)


@dataclass(repr=False)
class Two:
    """`old` returns, `new` serves; both may be written to by their root clients."""

    old: Undoer
    new: Undoer
    home: Path

    def alike(self, *statements: str) -> None:
        """A schema with these tables and rows, on both, and in no log."""
        for one in (self.old, self.new):
            one.do("SET sql_log_bin = OFF", f"DROP DATABASE IF EXISTS {SCHEMA}", f"CREATE DATABASE {SCHEMA}")
            one.do(f"USE {SCHEMA}", *statements, "SET sql_log_bin = ON", "FLUSH BINARY LOGS")

    def diverged(self, *statements: str, acknowledged: bool = True) -> Divergence:
        """After these on the old one alone."""
        before = self.old.executed()
        self.old.do(*statements)
        errant = self.old.executed() - before
        assert errant, "nothing was done: the case shows nothing"
        number = next(NUMBERS)
        record = Reconcile(number, 1, NODE, Rung.REWIND, Stage.REJOIN, Merge.RUNNING, str(errant), acknowledged)
        home = self.home / str(number)
        index = self.old.datadir / "binlog.index"
        sums = Folder.of(home / "old", record).keep(files_after(self.old.datadir, index, before), index)
        return Divergence(self, replace(record, sums=sums), home)

    def rows(self, table: str, on: Undoer | None = None) -> list[tuple[Any, ...]]:
        return sorted((on or self.new).ask(f"SELECT * FROM {SCHEMA}.{table}"), key=repr)


@contextmanager
def two_servers(home: Path) -> Iterator[Two]:
    with servers(2, QUICK) as made:
        both = []
        for server in made:
            server.supervisor.start()
        for server in made:
            eventually(server.answers, 180)
            server.database.set_writable()
            both.append(Undoer(server))
        two = Two(both[0], both[1], home)
        try:
            yield two
        finally:
            for one in both:
                one.client.close()
