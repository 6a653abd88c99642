"""The comparison thread of an agent in a process of its own, which a test kills: `python -m`, its orders on stdin."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from agents.reconcile.answering import Answering
from agents.reconcile.sweeping import Answered, Question
from agents.reconcile.swept import SweptFolder
from agents.reconcile.verifier import Due, Verifier
from agents.session import Access, Session


def main() -> None:
    given = json.load(sys.stdin)

    def session(side: str) -> Session:
        socket, password = given[side]
        return Session(Access(Path(socket), "kembar_rejoin", password), "test_verify", once=True)

    primary = Answering(lambda: session("primary"), lambda: True)

    def ask(question: Question) -> Answered:
        if question["what"] == "chunk" and question["after"] is not None:
            threading.Event().wait()  # of a table's second it is killed
        return primary.answer(question)

    verifier = Verifier(SweptFolder(Path(given["folder"])), lambda: session("standby"), ask, lambda: "now")
    verifier.give((Due(given["id"], 1, "olga"),))
    verifier.run()


main()
