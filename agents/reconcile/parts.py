"""Ties the parts of a return together for the composition root; without what they need they say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from agents.binlog.archive import SUMS
from agents.binlog.rewind import Lasting
from agents.failing import FailingSession
from agents.reconcile.cloning import Cloner
from agents.reconcile.copying import Donor, told
from agents.reconcile.deciding import Quarantine
from agents.reconcile.exchange import Answer, Identity, Peer, PeerServer
from agents.reconcile.merger import Merger
from agents.reconcile.owing import Owing
from agents.reconcile.returner import Place, Returner
from agents.reconcile.swap import Swap
from agents.reconcile.worker import RepairWorker
from agents.session import Access, Session
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.kept import Open, Settlements
from orchestrator.core.mergepolicy import MergePolicy
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.returning import Ended, Merging, Outcome
from orchestrator.process.failpoints import Failpoints

Facts = TypeVar("Facts")

PROGRAM = "kembar_rejoin"


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where this agent and its peer listen for each other, and what proves who they are."""

    address: str
    peer_address: str
    port: int
    identity: Identity


UNEQUIPPED = "agent.yaml has no mysql.rejoin or no exchange section: nothing can be repaired here"


class Unequipped(Generic[Facts]):
    """The part of an agent whose configuration lacks what a repair needs."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def work(self, record: Reconcile, primary_executed: GtidSet) -> None:
        raise StepFailed(UNEQUIPPED)


class Undecided:
    """What such an agent says to a person's choices."""

    settled: tuple[Outcome, ...] = ()

    def work(self, settlements: Settlements) -> None:
        self.settled = tuple(Outcome(one.request, Ended.FAILED, UNEQUIPPED) for one in settlements.pending)


def repair_worker(
    place: Place, swap: Swap, access: Access | None, donor: Donor | None, exchange: Exchange | None,
    serves: Callable[[], bool], policy: Callable[[], MergePolicy | None], publish: Callable[[Open], None],
    changed: Callable[[], None], failpoints: Failpoints | None,
) -> tuple[RepairWorker, Mapping[str, Answer]]:  # fmt: skip
    """The worker, and what the peer may ask of it.

    `access` is the account that may undo and merge, `donor` the one that may copy; `serves` whether this node has the
    power now, `policy` what is to be merged how (None: unreadable); `publish` takes what waits for a person, `changed`
    is told when there is something new to report.
    """
    if access is None or exchange is None:
        owed = Owing(place.evidence).read()  # what was begun with another configuration is owed all the same
        return RepairWorker(Unequipped(owed), Unequipped(Merging()), swap, changed, Undecided()), {}
    peer = Peer(exchange.peer_address, exchange.port, exchange.identity)
    sessions = _sessions(access, failpoints)
    merger = Merger(place.evidence, peer.fetch, sessions, serves, policy)
    cloner = Cloner(swap, place.evidence, donor, sessions, peer.ask, lambda record: worker.wants(record))
    quarantine = Quarantine(place.evidence, sessions, serves, publish)
    worker = RepairWorker(Returner(place, sessions, peer.ask, cloner), merger, swap, changed, quarantine)
    return worker, {"touched": merger.touched, "donor": lambda asked: told(sessions, serves)}


def peer_server(exchange: Exchange, evidence: Path, answers: Mapping[str, Answer]) -> PeerServer:
    """Gives the peer the files that a list of sums names, and nothing else."""

    def file(folder: str, name: str) -> Path | None:
        if folder not in _names(evidence):
            return None
        logs = evidence / folder / "binlog"
        if name == SUMS:
            return logs / SUMS if (logs / SUMS).is_file() else None
        try:
            named = {line.split("  ", 1)[1] for line in (logs / SUMS).read_text().splitlines()}
        except OSError:
            return None
        return logs / name if name in named else None

    return PeerServer(exchange.address, exchange.port, exchange.identity, file, answers)


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(one.name for one in folder.iterdir())
    except OSError:
        return frozenset()


def _sessions(access: Access, failpoints: Failpoints | None) -> Callable[[], Lasting]:
    def new() -> Lasting:
        session = Session(access, PROGRAM, once=True)
        return session if failpoints is None else FailingSession(session, failpoints)

    return new
