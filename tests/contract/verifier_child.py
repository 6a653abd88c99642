"""The comparison thread of an agent in a process of its own, which a test kills: `python -m`, its orders on stdin."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from agents.reconcile.answering import Answering
from agents.reconcile.sweeping import Answered, Question
from agents.reconcile.swept import SweptFolder
from agents.reconcile.verifier import Due, Verifier
from agents.session import Access, Session

CHUNK_S = 0.3  # each takes so long, so that there is time to kill it between two


def main() -> None:
    given = json.load(sys.stdin)

    def session(side: str) -> Session:
        socket, password = given[side]
        return Session(Access(Path(socket), "kembar_rejoin", password), "test_verify", once=True)

    primary = Answering(lambda: session("primary"), lambda: True)

    def ask(question: Question) -> Answered:
        if question["what"] == "chunk":
            time.sleep(CHUNK_S)
        return primary.answer(question)

    verifier = Verifier(SweptFolder(Path(given["folder"])), lambda: session("standby"), ask, lambda: "now")
    verifier.give((Due(given["id"], 1, "olga"),))
    verifier.run()


main()
