"""How rows leave acknowledged writes behind on the old primary, and how its return ends: equal, or refused and shut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from pymysql.cursors import Cursor

from lab import faults, namespaces, returns
from lab.comparison import differences, sets_equal
from lab.diverging import asking, await_alone, come_back, cut_replication, force, writing
from lab.matrix.trial import Trial
from lab.returns import Version
from lab.stand import excerpt, wait_for
from lab.topology import Node
from orchestrator.core.errors import StepFailed

BACK_S = 240.0  # on a machine that has other work too
REASON = "("  # a refusal ends with its code in brackets


class Parting:
    """The old primary writes alone while the load is frozen, is lost, and the other one is promoted by force.

    In the order of its methods; whatever was begun is undone at the end of the row.
    """

    def __init__(self, t: Trial) -> None:
        self.t, self.old, self.new = t, t.primary, t.standby
        self._rest = ExitStack()
        t.undo.callback(namespaces.unblock_all, t.stand.name)
        t.undo.callback(self._rest.close)

    def alone(self, *prepared: str) -> None:
        """Tables are made on both, then replication is cut and ASYNC recorded."""
        self._rest.enter_context(self.t.at_rest())
        self.client(*prepared)
        self.t.stand.wait_healthy()
        cut_replication(self.t.stand)
        await_alone(self.t.stand)

    def client(self, *statements: str) -> None:
        """Each acknowledged to a client of the VIP. Raises pymysql.err.Error."""
        with writing(self.t.stand) as cursor:
            self._each(cursor, statements)

    def telling(self, *statements: str, values: Iterable[str]) -> None:
        """As `client`, with the values by which these writes are looked for at the end of the row."""
        self.client(*statements)
        self.t.told.update(values)

    def administrator(self, *statements: str) -> None:
        """By root on the old primary, with what a client may not do. Raises pymysql.err.Error."""
        with asking(self.t.stand, self.old, BACK_S) as cursor:
            self._each(cursor, statements)

    def lost(self) -> None:
        """Agent and mysqld are killed, the other node serves, and the load goes on there."""
        faults.end_database(self.t.stand, self.old)
        namespaces.unblock_all(self.t.stand.name)
        self.forced()

    def forced(self) -> None:
        """The other node serves by a forced failover."""
        force(self.t.stand, self.new)
        self._rest.close()

    def back(self) -> None:
        """What was ended is started again."""
        come_back(self.t.stand, self.old)

    def returned(self, within_s: float = BACK_S) -> Version:
        """The record of the return once it is closed and both servers are equal, or once it is refused for a reason.

        The clients end with it. Raises StepFailed.
        """
        last = self.ended(within_s)
        if last["stage"] == returns.STOPPED:
            self._judge_refused(last)
        elif last["waits"]:
            self._judge_waiting(last)
        else:
            self._judge_equal()
        return last

    def ended(self, within_s: float = BACK_S) -> Version:
        """The record once it is closed, has stopped, or waits for a person, while clients write. Raises StepFailed."""
        t = self.t
        wait_for(
            lambda: self._stopped() or self._closed() or self._waits(),
            within_s,
            lambda: f"{self.old.name} does not return: {self.last()} {excerpt(t.stand.snapshot())}",
            every_s=0.1,
        )
        last = self.last()
        t.note(f"return {last['rung']}: {', '.join(f'{n} {what}' for what, n in last['verdicts'].items())}")
        return last

    def last(self) -> Version:
        """The record of the newest return of this row. Raises StepFailed if there is none."""
        versions = returns.last_return(self.t.returns(), self.t.began)
        if not versions:
            raise StepFailed(f"no return of {self.old.name} was opened: {excerpt(self.t.stand.snapshot())}")
        return versions[-1]

    def seen(self, stage: str, within_s: float = BACK_S) -> None:
        """The record has been in that stage. Raises StepFailed."""
        wait_for(
            lambda: any(version["stage"] == stage for version in returns.last_return(self.t.returns(), self.t.began)),
            within_s,
            lambda: f"the return never came to {stage}: {excerpt(self.t.stand.snapshot())}",
        )

    def kept(self) -> dict[str, int]:
        """Why transactions were kept for a person, and how many for each reason."""
        with asking(self.t.stand, self.new) as cursor:
            cursor.execute(
                "SELECT summary ->> '$.why', COUNT(*) FROM kembar.quarantine WHERE reconcile_id = %s GROUP BY 1",
                (self.last()["id"],),
            )
            return {str(why): int(count) for why, count in cursor.fetchall()}

    def check_kept(self, *reasons: str) -> None:
        """Something was kept for each of these, and for nothing else."""
        found = self.kept()
        self.t.check(set(found) == set(reasons), f"kept for {found or 'nothing'}, expected {', '.join(reasons)}")

    def _stopped(self) -> bool:
        versions = returns.last_return(self.t.returns(), self.t.began)
        return bool(versions) and versions[-1]["stage"] == returns.STOPPED

    def _closed(self) -> bool:
        versions = returns.last_return(self.t.returns(), self.t.began)
        return bool(versions) and versions[-1]["stage"] == returns.CLOSED

    def _waits(self) -> bool:
        """Nothing more but the merge is to be done, and that waits for a person."""
        versions = returns.last_return(self.t.returns(), self.t.began)
        return bool(versions) and versions[-1]["stage"] == "verify" and bool(versions[-1]["waits"])

    def _judge_waiting(self, last: Version) -> None:
        """A copy of the primary that may not take over, as long as nobody has said what becomes of the evidence."""
        t = self.t
        t.refused = True
        t.note(f"waits for a person: {last['waits']}; {'; '.join(last['reasons'])}")
        t.check(not t.row(self.old, t.view())["promotable"], f"{self.old.name} may take over")
        t.check(last["rung"] == "clone", f"a node that was not rebuilt replicates, by {last['rung']}")

    def _judge_equal(self) -> None:
        t = self.t
        t.settle(BACK_S)  # the clients have ended: nobody writes
        found = differences(t.stand)
        t.check(not found, f"the servers differ: {', '.join(found)}")
        t.check(sets_equal(t.stand), "the two have executed different transactions")

    def _judge_refused(self, last: Version) -> None:
        """Named, shut, and not promotable; a lab of its own follows for the next row."""
        t = self.t
        t.refused = True
        t.note(f"refused: {last['stopped']}; {'; '.join(last['reasons'])}")
        t.check(last["stopped"] and REASON in "".join(last["reasons"]), f"no reason is named: {last}")
        row = t.row(self.old, t.view())
        t.check(not row["promotable"] and not row["gate_open"], f"{self.old.name} may take over")
        t.check(shut(t, self.old), f"{self.old.name} lets clients in")

    def _each(self, cursor: Cursor, statements: Sequence[str]) -> None:
        for statement in statements:
            cursor.execute(statement)


def shut(t: Trial, node: Node) -> bool:
    """Whether clients can neither read nor write on that server, and nothing is replicated to it."""
    with asking(t.stand, node) as cursor:
        cursor.execute("SELECT @@GLOBAL.offline_mode, @@GLOBAL.read_only")
        closed = cursor.fetchone() == (1, 1)
        cursor.execute("SELECT 1 FROM performance_schema.replication_connection_status WHERE SERVICE_STATE <> 'OFF'")
        return closed and not cursor.fetchall()
