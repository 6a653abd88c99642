"""One leading orchestrator a cluster. Owns candidates and the term; what a leader may write is guarded by C1.

Leading is a matter of liveness only: safety rests on `term_version` in each write, which a successor's C2 makes stale.
Every doubt (a cut, silence, an unknown outcome) ends the term at once, and the next begins with a C2 of its own: then
no write of the old term that is still on its way can happen any more.
"""

from __future__ import annotations

import logging
import math
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kazoo.protocol import serialization as wire
from kazoo.protocol.states import EventType

from orchestrator.coordination.client import Spawn, ZooKeeper
from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import readable
from orchestrator.core.errors import KembarError, StaleWrite
from orchestrator.core.model import Cluster, LeaderRecord
from orchestrator.core.ports import Check, Clock, Create, Delete, SetData, Stored
from orchestrator.core.wire import encode

log = logging.getLogger("kembar.election")

CHECK_S = 2.0  # the candidates are watched; this is in case a watch was lost
RETRY_S, RETRY_MAX_S = 0.1, 1.0
CANDIDATE = re.compile(r"c-.+-([0-9]{10})")
ANSWER_S = 2.0


@dataclass(frozen=True, slots=True)
class _Term:
    number: int
    version: int  # of `leader`
    connection: int


class Election:
    """The candidacy of this process. Make it before the client is started, then start().

    `owner` names this orchestrator for people, `known_as` is who it is to ZooKeeper. `changed` is called when leading
    begins or ends, from any thread; it must not block.
    """

    def __init__(
        self,
        client: ZooKeeper,
        clock: Clock,
        paths: Paths,
        owner: str,
        changed: Callable[[], None] = lambda: None,
        known_as: str = "",
    ) -> None:
        self._client = client
        self._clock = clock
        self._paths = paths
        self._owner, self._known_as = owner, known_as
        self._changed = changed
        self._prefix = paths.candidate_prefix(owner)
        # An older process of the same owner may have left a candidate. Who we are is for whoever sets rights.
        self._token = f"{secrets.token_hex(8)} {known_as}".encode()
        self._candidate: str | None = None
        self._candidate_session: int | None = None
        self._connection = 0
        self._term: _Term | None = None
        self._resigning = False
        self._wake = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None
        client.listen(self)

    def start(self, spawn: Spawn) -> None:
        """Stand as a candidate until close()."""
        self._thread = spawn("election", self._run)

    def close(self) -> None:
        """Stop leading and standing; the candidate's node ends with the client's session. Bounded by ANSWER_S."""
        self._ending = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._stand_down()

    @property
    def term(self) -> int | None:
        """The number of the term we lead in, None if we do not lead or have any doubt."""
        term = self._undoubted()
        return term.number if term else None

    @property
    def term_version(self) -> int | None:
        """The version of `leader` that C1 checks, None if we do not lead or have any doubt."""
        term = self._undoubted()
        return term.version if term else None

    @property
    def tenure(self) -> tuple[int, int] | None:
        """`term` and `term_version` of one and the same term, None if we do not lead or have any doubt."""
        term = self._undoubted()
        return (term.number, term.version) if term else None

    def resign(self) -> None:
        """Stop leading at once and stand again behind all other candidates."""
        self._resigning = True
        self._stand_down()
        self._wake.set()

    def recheck(self) -> None:
        """Look again soon whether we still lead: for a caller whose C1 came back as StaleWrite."""
        self._wake.set()

    def _undoubted(self) -> _Term | None:
        term = self._term
        if term is None or term.connection != self._connection or math.isinf(self._client.hearing_since()):
            return None
        return term

    # --- Listener, in the connection thread

    def connected(self) -> None:
        self._wake.set()

    def cut(self) -> None:
        self._connection += 1
        self._stand_down()

    def poll(self) -> None:
        """The election's own thread looks again by itself."""

    def _candidates_changed(self, event: Any) -> None:
        if event.type != EventType.NONE:
            self._wake.set()

    # --- the election's thread

    def _run(self) -> None:
        wait_s, said = CHECK_S, ""
        while not self._ending:
            self._wake.wait(wait_s)
            self._wake.clear()
            if self._ending or not self._client.connected:
                wait_s = CHECK_S
                continue
            try:
                self._look()
                wait_s, said = CHECK_S, ""
            except KembarError as error:
                # Also an unknown outcome: the next look reads what is there, under a new term if we lead again.
                if str(error) != said:  # a cluster that is not made yet is looked for each second
                    log.warning("election in %s: %s", self._paths.cluster, error)
                said = str(error)
                self._stand_down()
                wait_s = min(RETRY_MAX_S, 2 * wait_s) if wait_s < CHECK_S else RETRY_S

    def _look(self) -> None:
        """Stand, and lead if nobody stands before us. Raises KembarError."""
        connection = self._connection
        names = self._names()
        if self._resigning:
            self._leave(names)
            names = self._names()
        mine = self._candidate
        if mine not in names or self._candidate_session != self._client.session_id:
            self._stand_down()
            mine = self._stand(names)
            names = self._names()
        first = min(names, key=_number, default=None)
        if first != mine:
            self._stand_down()
        elif self._term is None:
            self._take_over(connection, mine)
        else:
            self._confirm(self._term)

    def _names(self) -> list[str]:
        request = wire.GetChildren(self._paths.election, self._candidates_changed)
        names = self._client.fetch(request, ANSWER_S) or ()
        return [f"{self._paths.election}/{name}" for name in names]

    def _stand(self, names: list[str]) -> str:
        """Our candidate's path: one that a create of unknown outcome has left behind, or a new one."""
        session = self._client.session_id
        found: str | None = None
        for name in names:
            if not name.startswith(self._prefix):
                continue
            reply = self._client.fetch(wire.GetData(name, None), ANSWER_S)
            if reply is None or reply[0] != self._token:
                continue
            if reply[1].ephemeralOwner == session and found is None:
                found = name
            else:  # of a session that we have lost: it would stand before us until that ends
                self._client.submit([Delete(name, -1)]).result(ANSWER_S)
        if found is None:
            create = Create(self._prefix, self._token, ephemeral=True, sequence=True)
            found = str(self._client.submit([create]).result(ANSWER_S)[0])
        self._candidate, self._candidate_session = found, session
        return found

    def _leave(self, names: list[str]) -> None:
        if self._candidate in names:
            self._client.submit([Delete(self._candidate, -1)]).result(ANSWER_S)
        self._candidate = None
        self._resigning = False

    def _take_over(self, connection: int, candidate: str) -> None:
        """C2: from its success on, every write of the older leader fails."""
        before = self._client.read(self._paths.leader, ANSWER_S)
        if before is None:
            raise StaleWrite(f"{self._paths.leader} does not exist: has this cluster been set up?")
        desired = self._client.read(self._paths.desired, ANSWER_S)
        number = _last_term(before, desired) + 1
        record = LeaderRecord(number, self._owner, self._clock.wall_s(), self._known_as)
        write = SetData(self._paths.leader, encode(record), before.version)
        results = self._client.submit([Check(candidate, 0), write]).result(ANSWER_S)
        self._term = _Term(number, int(results[1]), connection)
        if self._resigning:  # asked meanwhile
            self._stand_down()
            self._wake.set()
            return
        log.info("%s leads, term %d", self._owner, number)
        self._changed()

    def _confirm(self, term: _Term) -> None:
        """End our term if another's has begun, or if it belongs to an earlier connection."""
        present = self._client.read(self._paths.leader, ANSWER_S)
        if present is None or present.version != term.version or term.connection != self._connection:
            self._stand_down()
            self._wake.set()

    def _stand_down(self) -> None:
        if self._term is not None:
            self._term = None
            log.warning("%s does not lead any more", self._owner)
            self._changed()


def _number(path: str) -> int:
    """The server's ten-digit number at the end of a candidate's name."""
    named = CANDIDATE.fullmatch(path.rpartition("/")[2])
    return int(named[1]) if named else 2**63  # a stranger in the folder leads nobody


def _last_term(leader: Stored, desired: Stored | None) -> int:
    """No lower than any term before, whatever one of the two records says or does not say any more.

    Each term is one write of the leader record, so its version alone would do, had the node never been made again.
    """
    led, decided = readable(LeaderRecord, leader), readable(Cluster, desired)
    return max(leader.version, led.term if led else 0, decided.term if decided else 0)
