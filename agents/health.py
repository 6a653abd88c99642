"""The one answer to `how is our mysqld`: process, probes and time put together once a look."""

from __future__ import annotations

from agents.evidence import Judgement, Process, Trouble, judge
from agents.probes import Probes
from orchestrator.core.model import Instant, Mysqld
from orchestrator.core.ports import Supervisor


class HostHealth:
    """Health (see agents.ports) by the supervisor and the probes. Used by the tick thread."""

    def __init__(self, supervisor: Supervisor, probes: Probes, *, hang_s: float) -> None:
        self._supervisor, self._probes, self._hang_s = supervisor, probes, hang_s
        self._judged = Judgement(Mysqld.DEAD, (), ())

    def mysqld(self) -> Mysqld:
        """Judged anew at each call. A server that can write nothing more is ended like one that hangs."""
        life = self._supervisor.incarnation()
        self._judged = judge(self._probes.evidence(self._process(life), life), hang_s=self._hang_s)
        storage_dead = Trouble.STORAGE_DEAD in self._judged.troubles
        return Mysqld.HUNG if storage_dead and self._judged.mysqld is Mysqld.RUNNING else self._judged.mysqld

    def troubles(self) -> tuple[str, ...]:
        """Each by its name, with a sentence."""
        return tuple(f"{name}: {text}" for name, text in zip(self._judged.troubles, self._judged.details, strict=True))

    def stalled_s(self) -> float:
        return self._probes.stalled_s()

    def committed_after(self, instant: Instant) -> bool:
        return self._probes.committed_after(instant)

    def write(self, allowed: bool) -> None:
        self._probes.write(allowed)

    def _process(self, life: str | None) -> Process:
        if life is None:
            return Process.NONE
        return Process.EXITING if self._supervisor.exiting() else Process.ALIVE
