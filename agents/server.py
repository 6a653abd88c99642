"""What the tick knows of its mysqld: the last facts and whether they are fresh, its incarnation, what is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from agents.replication import Arrival, ServerFacts, arrival
from orchestrator.core.errors import DatabaseUnavailable, StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import Mysqld
from orchestrator.core.ports import Clock, Memory, Supervisor

log = logging.getLogger("kembar.agent")


class Source(Protocol):
    """Where the facts come from."""

    def facts(self) -> ServerFacts: ...


class Server:
    """Used by the tick thread. The last facts outlive a silence: taking power away must not wait for an answer."""

    def __init__(
        self,
        source: Source,
        supervisor: Supervisor,
        memory: Memory,
        clock: Clock,
        preflight: Callable[[], tuple[str, ...]],
    ) -> None:
        self._source, self._supervisor, self._memory, self._clock = source, supervisor, memory, clock
        self._preflight = preflight
        self._life: str | None = None
        self._checked = False
        self._silence = ""
        self.facts: ServerFacts | None = None
        self.fresh = False
        self.refusals: tuple[str, ...] = ()
        self.arrival: Arrival | None = None
        self._received = ""
        self._held = GtidSet()
        self._torn = False  # relay logs were thrown away, and no other incarnation could be drawn yet

    def look(self, mysqld: Mysqld) -> Mysqld:
        """Ask it, unless it is gone; its state with the answer taken into account."""
        life = self._supervisor.incarnation()
        if life != self._life or mysqld.ended:
            self._life, self._checked = life, False
            self.facts, self.fresh, self.refusals = None, False, ()
            self._received, self._held = "", GtidSet()
        if mysqld.ended:
            return mysqld
        self._ask()
        if mysqld is Mysqld.STARTING and (self.fresh or self.refusals):
            return Mysqld.RUNNING  # it has just answered us; a new agent need not wait for its first probe
        return mysqld

    @property
    def incarnation(self) -> str:
        """`server_uuid/boot_id/pid/starttime/relay counter`; empty while it is not known."""
        if self._life is None or self.facts is None or self._torn:
            return ""
        return f"{self.facts.server_uuid}/{self._life}/{self._memory.relay_counter()}"

    def _ask(self) -> None:
        """Its settings once for each life, until nothing is refused; before its facts, which a foreign server lacks."""
        try:
            if not self._checked or self.refusals:
                self.refusals, self._checked = self._preflight(), True
            self.facts, self.fresh = self._source.facts(), True
        except (DatabaseUnavailable, StepFailed) as error:
            self.fresh = False
            self._note_silence(str(error))
            return
        self._note_silence("")
        try:
            self._watch_relay_logs(self.facts)
        except StepFailed as error:  # no incarnation until it could be written
            log.error("relay logs were thrown away: %s", error)
        self.arrival = arrival(self.arrival, self.facts, self._clock.holder_now())

    def _watch_relay_logs(self, facts: ServerFacts) -> None:
        """What was received and executed never shrinks, unless somebody threw relay logs away: another incarnation."""
        if facts.received == self._received:
            return
        held = facts.held
        if not self._held <= held:
            self._torn = True
            self._memory.draw_relay_counter()
            self._torn = False
        self._received, self._held = facts.received, held

    def _note_silence(self, why: str) -> None:
        """One line when it stops answering, or answers again, not one a tick."""
        if bool(why) != bool(self._silence):
            log.info("the server does not answer: %s" if why else "the server answers%s", why)
        self._silence = why
