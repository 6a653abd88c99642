"""An agent that may crash before and after each of its steps: hands, gate and SQL with a failpoint on either side."""

from __future__ import annotations

from collections.abc import Callable

from agents.binlog.rewind import Lasting
from agents.converge import Action
from agents.executor import Hands
from agents.session import Row
from agents.steps import Order
from orchestrator.core.ports import Gate
from orchestrator.process.failpoints import Failpoints


class FailingHands:
    """Places `agent.before.ACTION` and `agent.after.ACTION`."""

    def __init__(self, hands: Hands, failpoints: Failpoints) -> None:
        self._hands, self._failpoints = hands, failpoints

    def run(self, action: Action, order: Order) -> None:
        self._failpoints.reach(f"agent.before.{action}")
        self._hands.run(action, order)
        self._failpoints.reach(f"agent.after.{action}")


class FailingGate:
    """Places `gate.before.arm`, `gate.after.arm`, and so for open, renew and shut.

    `gate.before.renew` and `gate.before.open` lie between the keeper's check of its horizon and the system call.
    """

    def __init__(self, gate: Gate, failpoints: Failpoints) -> None:
        self._gate, self._failpoints = gate, failpoints

    def load(self) -> None:
        self._gate.load()

    def intact(self) -> bool:
        return self._gate.intact()

    def is_open(self) -> bool:
        return self._gate.is_open()

    def arm(self, ttl_s: float) -> None:
        self._around("arm", lambda: self._gate.arm(ttl_s))

    def open(self, ttl_s: float) -> None:
        self._around("open", lambda: self._gate.open(ttl_s))

    def renew(self, ttl_s: float) -> None:
        self._around("renew", lambda: self._gate.renew(ttl_s))

    def shut(self) -> None:
        self._around("shut", self._gate.shut)

    def _around(self, name: str, call: Callable[[], None]) -> None:
        self._failpoints.reach(f"gate.before.{name}")
        call()
        self._failpoints.reach(f"gate.after.{name}")


# What the statements of a repair begin with, and the name of the place there.
STATEMENTS = {
    "BEGIN": "begin",
    "INSERT INTO kembar.reconcile_journal": "journal",
    "BINLOG": "rows",
    "COMMIT": "commit",
    "ROLLBACK": "rollback",
    "DELETE FROM kembar.reconcile_journal": "forget",
    "RESET BINARY LOGS": "reset",
    "SET GLOBAL gtid_purged": "purged",
    "SET SESSION gtid_next = %s": "number",
    "INSERT INTO kembar.quarantine": "keep",
    "CLONE INSTANCE": "copy",
    "RESET REPLICA ALL": "unfollow",
}


class FailingSession:
    """Places `repair.before.NAME` and `repair.after.NAME` at each of STATEMENTS."""

    def __init__(self, session: Lasting, failpoints: Failpoints) -> None:
        self._session, self._failpoints = session, failpoints

    def ask(self, sql: str, arguments: tuple[object, ...] = (), *, within_s: float | None) -> tuple[Row, ...]:
        name = next((name for begins, name in STATEMENTS.items() if sql.startswith(begins)), "")
        if not name:
            return self._session.ask(sql, arguments, within_s=within_s)
        self._failpoints.reach(f"repair.before.{name}")
        rows = self._session.ask(sql, arguments, within_s=within_s)
        self._failpoints.reach(f"repair.after.{name}")
        return rows

    def close(self) -> None:
        self._session.close()
