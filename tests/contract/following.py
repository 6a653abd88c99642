"""The agent of a standby as far as it follows: look, converge, carry out, on a real server. The record stands still."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, cast

from agents.converge import Action, converge
from agents.invariants import check_plan
from agents.lease import Power
from agents.look import Peer, Sight, local
from agents.memory import FileMemory
from agents.reconcile.swap import SwapState
from agents.steps import Order, Source, Steps
from orchestrator.coordination.paths import Paths
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import FAST, Cluster, Lease, Mode, Mysqld, Phase, Report, Role, Sync, goal_for
from tests.builders import DB_A, DB_B
from tests.contract.mysqlpair import CLOCK, Pair, Server

EPOCH = 7
CLUSTER = Cluster(EPOCH, 42, DB_A, Mode.SYNC, Phase.STEADY)
GOAL = goal_for(DB_B, CLUSTER)
ADDRESS = "127.0.0.1"


class Follower:
    """One life of that agent; `memory` is what the one before it remembered."""

    def __init__(self, pair: Pair, home: Path, source: Source) -> None:
        nobody = cast(Any, None)
        self._primary, self._database, self._source = pair.primary, pair.standby.database, source
        self.memory = FileMemory(home)
        self._steps = Steps(
            DB_B, Paths("main"), nobody, nobody, nobody, nobody, self._database, self.memory, source, CLOCK, 4,
            nobody, nobody,
        )  # fmt: skip
        self.reported = report(pair.primary)

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.memory.close()

    def tick(self) -> tuple[Action, ...]:
        """One look at what is, and at what the primary reported at the look before; what was done."""
        sight = self._sight()
        self.reported = report(self._primary)
        found = local(sight, self.memory)
        actions = converge(GOAL, found)
        check_plan(GOAL, found, actions)
        for action in actions:
            self._steps.run(action, Order(GOAL, 0, sight.incarnation))
        return actions

    def _sight(self) -> Sight:
        return Sight(
            node=DB_B,
            cluster=CLUSTER,
            goal=GOAL,
            policy=FAST,
            now=CLOCK.waiter_now(),
            mysqld=Mysqld.RUNNING,
            incarnation=f"db-b/{self.memory.relay_counter()}",
            facts=self._database.facts(),
            fresh=True,
            power=Power(Lease(), None, gate_open=False, known=True),
            may_act=False,
            has_address=False,
            sync=Sync(),
            sync_readable=True,
            relaxed=False,
            armed_since=0.0,
            peer=Peer(self.reported, 0.0),
            peer_address=ADDRESS,
            channel_login=self._steps.channel_login,
            login_after=self._steps.login_after,
            peer_errant=GtidSet(),
            stalled_s=0.0,
            released_since=None,
            certify_after=0.0,
            refusals=(),
            reconcile=None,
            told_handover="",
            swap=SwapState(),
        )


def report(primary: Server) -> Report:
    """What the primary says of itself, as far as its standby asks."""
    return Report(DB_A, EPOCH, role=Role.PRIMARY, writable=True, executed=primary.database.executed())
