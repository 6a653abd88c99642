"""What a return and a comparison do with the accounts kembar_rejoin, kembar_clone and kembar_repl, on two real servers.

Each privilege is taken away on both; the product's own parts then merge, decide, rewind, compare and copy, until one is
refused. What it raises is what its agent reports.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import KembarError
from orchestrator.core.kept import Choice
from orchestrator.core.returning import Ended, Stage
from orchestrator.core.verifying import Outcome
from tests.contract.comparing import Compared, compared
from tests.contract.mysqlpair import eventually
from tests.contract.returning import Two, two_servers
from tests.contract.test_clone import parted
from tests.contract.test_deciding import Desk
from tests.contract.test_return import ACCOUNTS, FILLED
from tests.contract.test_return_refused import CHANGE, Case
from tests.security.granted import Grant
from tests.security.seen import Noticed

WRITE = "INSERT INTO kembar.heartbeat VALUES ('seen', 1, NOW(6)) ON DUPLICATE KEY UPDATE n = n + 1"
STEPS_MAX, COPIED_S = 6, 40.0
# Done on the standby alone, and undone.
DEFINED = {
    "view": ("ALTER VIEW seen AS SELECT v FROM t", "ALTER VIEW seen AS SELECT id FROM t"),
    "trigger": ("CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 1", "DROP TRIGGER x"),
    "procedure": ("CREATE PROCEDURE x (a INT) SELECT a", "DROP PROCEDURE x"),
    "event": ("CREATE EVENT x ON SCHEDULE EVERY 1 YEAR DO SELECT 1", "DROP EVENT x"),
}


class Odd(Exception):  # noqa: N818 - nothing was refused, and it did not come out as it should
    """A step ended without an error, and with something else than it should have."""


@dataclass
class Repairs:
    """Two that were a pair, and two that are one."""

    two: Two
    pair: Compared

    @property
    def steps(self) -> dict[str, Callable[[], None]]:
        return {
            "merge": self._merge,
            "reconcile apply": self._decide,
            "rewind": self._rewind,
            "verify": self._verify,
            "replicate": self._replicate,
            "clone": self._clone,
        }

    def take(self, grant: Grant) -> None:
        self._everywhere(grant.take())

    def give(self, grant: Grant) -> None:
        self._everywhere(grant.give())

    def notice(self) -> Noticed | None:
        """The first step that does not come out as it should, in the words of whoever was in the way."""
        for name, step in self.steps.items():
            self._both_writable()
            try:
                step()
            except (KembarError, Odd) as error:
                return Noticed(name, str(error))
        return None

    def _everywhere(self, statement: str) -> None:
        self._both_writable()
        for one in (self.two.old, self.two.new):
            one.do("SET sql_log_bin = OFF", statement, "SET sql_log_bin = ON")
        for server in (self.pair.pair.primary, self.pair.pair.standby):
            fenced = server.sql("SELECT @@GLOBAL.super_read_only")
            server.sql("SET GLOBAL super_read_only = OFF", "SET sql_log_bin = OFF", statement)
            server.sql(f"SET GLOBAL super_read_only = {fenced}")

    def _both_writable(self) -> None:
        """Whatever a step before has left, also one that was broken off."""
        for one in (self.two.old, self.two.new):
            one.do("STOP REPLICA", "RESET REPLICA ALL")
            one.server.database.set_writable()

    def _merge(self) -> None:
        self.two.alike(f"CREATE TABLE {ACCOUNTS}", FILLED)
        made = self.two.diverged(
            "INSERT INTO acct VALUES (10, 1, 'new')",
            "UPDATE acct SET bal = bal + 7 WHERE id = 1",
            "DELETE FROM acct WHERE id = 3",
            "SET gtid_next = 'AUTOMATIC:batch'",
            "INSERT INTO acct VALUES (11, 1, 'tagged')",
            "SET gtid_next = 'AUTOMATIC'",
            "UPDATE acct SET bal = 207 WHERE id = 2",
        )
        self.two.new.do("UPDATE acct SET bal = 150 WHERE id = 2")
        verdicts = made.merge()
        if verdicts != {"merged": 4, "quarantined": 1}:
            raise Odd(f"the merge ends with {verdicts}: {'; '.join(made.reasons())}")

    def _decide(self) -> None:
        self.two.alike(f"CREATE TABLE {ACCOUNTS}", FILLED)
        made = self.two.diverged("UPDATE acct SET bal = 207, note = NULL WHERE id = 2")
        self.two.new.do("UPDATE acct SET bal = 150 WHERE id = 2")
        desk = Desk(made)
        (outcome,) = desk.settle(desk.choose(Choice.APPLY))
        if outcome.ended is not Ended.DONE:
            raise Odd(outcome.answer)

    def _rewind(self) -> None:
        case = Case(self.two)
        self.two.old.do(CHANGE)
        for _ in range(STEPS_MAX):
            case.step()
            if case.said:
                raise Odd(case.said)
            if case.record.stage is Stage.REJOIN:
                return
        raise Odd(f"the return stays in {case.record.stage}: {'; '.join(case.record.reasons)}")

    def _verify(self) -> None:
        """Equal as long as it is; and each definition that the standby has for itself is seen."""
        self.pair.anew(
            "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
            "INSERT INTO t VALUES (1, 1), (2, 2)",
            "CREATE VIEW seen AS SELECT id FROM t",
        )
        equal = self.pair.verified()
        if equal.outcome is not Outcome.EQUAL or equal.skipped:
            raise Odd(f"{equal.outcome}: {equal.why or '; '.join(map(str, equal.skipped))}")
        for kind, (done, undone) in DEFINED.items():
            self.pair.alone(done)
            found = {one.what for one in self.pair.differences()}
            self.pair.alone(undone)
            if found != {kind}:
                raise Odd(f"{kind} that differs is seen as {', '.join(sorted(found)) or 'nothing'}")

    def _replicate(self) -> None:
        pair = self.pair.pair
        channel = pair.standby.database.channel
        channel.stop_receiver()
        channel.start()

        pair.primary.sql(WRITE)
        written = pair.primary.database.executed()

        def settled() -> bool:
            return pair.standby.database.executed() == written or bool(pair.standby.database.facts().receiver_error)

        eventually(settled, 20)
        if error := pair.standby.database.facts().receiver_error:
            raise Odd(error)

    def _clone(self) -> None:
        # Of what earlier steps were broken off in, no evidence was kept: nothing would be replaced.
        if unkept := self.two.old.executed() - self.two.new.executed():
            self.two.new.do(f"SET GLOBAL gtid_purged = '+{unkept}'")
        with parted(self.two) as node:
            end = time.monotonic() + COPIED_S
            while not node.work():
                said = node.trouble or node.returner.facts.refusal
                if "denied" in said or node.returner.facts.refusal or time.monotonic() > end:
                    raise Odd(said or f"no copy: {node.returner.facts.doing}")
                node.tick()


@contextmanager
def repairs(home: Path) -> Iterator[Repairs]:
    with ExitStack() as stack:
        two = stack.enter_context(two_servers(home))
        yield Repairs(two, stack.enter_context(compared()))
