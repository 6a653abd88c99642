"""The repair of a returning node in a process of its own, so that it can be killed: `python -m ... FILE`.

FILE holds the arguments as JSON. One call of the product's own part, with the failpoints of the environment; the exit
status is 0 if the copy is the data directory and nothing is left to be done.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.binlog.rewind import Lasting
from agents.dialect import ChannelTls
from agents.failing import FailingSession
from agents.reconcile.cloning import Cloner
from agents.reconcile.copying import Donor, told
from agents.reconcile.swap import Swap
from agents.session import Access, Session
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.wire import FORMAT, decode, plain
from orchestrator.process.failpoints import Failpoints

DONE, NOT_YET = 0, 3


@dataclass(frozen=True)
class Given:
    """What the process is told: both servers' sockets, the accounts, and the record."""

    datadir: Path
    home: Path  # evidence and plan
    own: Access
    theirs: Access
    donor: Donor
    record: Reconcile

    def write(self, path: Path) -> None:
        passwords = (self.own.password, self.theirs.password)
        path.write_text(
            json.dumps(
                {
                    "datadir": str(self.datadir),
                    "home": str(self.home),
                    "sockets": [str(self.own.socket), str(self.theirs.socket)],
                    "passwords": passwords,
                    "donor": plain(self.donor),
                    "record": {"format": FORMAT, **plain(self.record)},
                }
            )
        )

    @classmethod
    def read(cls, path: Path) -> Given:
        found: dict[str, Any] = json.loads(path.read_text())
        own, theirs = (
            Access(Path(socket), "kembar_rejoin", password)
            for socket, password in zip(found["sockets"], found["passwords"], strict=True)
        )
        record = decode(Reconcile, json.dumps(found["record"]).encode())
        donor = Donor(**{**found["donor"], "tls": ChannelTls(**found["donor"]["tls"])})
        return cls(Path(found["datadir"]), Path(found["home"]), own, theirs, donor, record)

    def cloner(self, sessions: Callable[[], Lasting] | None = None) -> Cloner:
        """As the composition root makes it; the donor's agent is asked without a network between."""
        return Cloner(
            Swap(self.datadir, self.home),
            self.home,
            self.donor,
            sessions or (lambda: _session(self.own)),
            lambda question, what: told(lambda: _session(self.theirs), lambda: True),
            lambda record: True,
        )


def _session(access: Access) -> Session:
    return Session(access, "test_clone", once=True)


def main(path: Path) -> int:
    given = Given.read(path)
    failpoints = Failpoints.of(os.environ)
    assert failpoints is not None
    cloner = given.cloner(lambda: FailingSession(_session(given.own), failpoints))
    return DONE if cloner.work(given.record, lambda doing, percent: None) else NOT_YET


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
