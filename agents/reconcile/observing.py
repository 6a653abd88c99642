"""Ties the parts of comparisons together for the composition root; without what they need they say so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agents.binlog.rewind import Lasting
from agents.reconcile.answering import Answering
from agents.reconcile.exchange import Answer, Peer
from agents.reconcile.parts import Exchange
from agents.reconcile.swept import SweptFolder
from agents.reconcile.verifier import Due, Verifier
from agents.session import Access, Session
from orchestrator.core.verifying import Difference, Outcome, Verifying

PROGRAM = "kembar_verify"
LACKING = "agent.yaml has no mysql.rejoin or no exchange section: nothing can be compared here"


class Unverified:
    """The comparisons of an agent that lacks what they need."""

    def __init__(self) -> None:
        self.verifying, self.verified = Verifying(), Verifying()
        self._stop = threading.Event()

    def give(self, due: tuple[Due, ...]) -> None:
        for one in due:
            if one.awaited:
                self.verified = Verifying(one.id, one.epoch, one.actor, outcome=Outcome.FAILED, why=LACKING)

    def differing(self, servers: Sequence[str]) -> tuple[Difference, ...]:
        return ()

    def run(self) -> None:
        self._stop.wait()

    def stop(self) -> None:
        self._stop.set()


def verify_worker(
    home: Path, access: Access | None, exchange: Exchange | None, serves: Callable[[], bool], now: Callable[[], str]
) -> tuple[Verifier | Unverified, Mapping[str, Answer]]:
    """The comparison thread, and what the peer's may ask of this node while it serves."""
    if access is None or exchange is None:
        return Unverified(), {}
    peer = Peer(exchange.peer_address, exchange.port, exchange.identity)

    def sessions() -> Lasting:
        return Session(access, PROGRAM, once=True)

    verifier = Verifier(SweptFolder(home), sessions, lambda question: peer.ask("verify", question), now)
    return verifier, {"verify": Answering(sessions, serves).answer}
