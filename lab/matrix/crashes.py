"""Processes that crash at named places of a procedure, and are started again as a service manager would."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from lab import processes
from lab.matrix.trial import Trial
from lab.processes import Process
from lab.topology import Node
from orchestrator.core.errors import KembarError

POLL_S = 0.02
STOPPED_S = 3.0  # a process that stopped itself goes on after this, when another has long taken over


class Crashes:
    """Arms places on nodes for the length of a block; a place that is armed on several fires on one of them only.

    Orchestrators that end are started again. Agents are replaced by their own parents.
    """

    def __init__(self, trial: Trial, places: Mapping[Node, Collection[str]], how: str = "kill") -> None:
        self._trial, self._places, self._how = trial, places, how
        self.wanted = {place for those in places.values() for place in those}
        self.fired: list[str] = []
        self.troubles: list[str] = []
        self._over = threading.Event()
        self._stopped: dict[Process, float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Crashes:
        for node, places in self._places.items():
            self._trial.arm(node, sorted(places), self._how)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for file in self._files():
            file.unlink(missing_ok=True)
        for process in self._stopped:
            self._trial.thaw(process)
        self._trial.note(f"{len(self.fired)} of {len(self.wanted)} places: {', '.join(self.fired) or 'none'}")
        self._trial.check(self.fired, "no place was ever reached: nothing was shown")
        self._trial.violations += self.troubles

    def _run(self) -> None:
        while not self._over.wait(POLL_S):
            try:
                self._note_fired()
                self._look_after_orchestrators()
                self._let_go_on()
            except KembarError as error:
                self.troubles.append(f"while processes crashed: {error}")
                return

    def _note_fired(self) -> None:
        armed = {(node, place): self._file(node, place) for node in self._places for place in self._places[node]}
        for (_, place), file in armed.items():
            if place not in self.fired and not file.exists():
                self.fired.append(place)
                for (_, other), same in armed.items():
                    if other == place:
                        same.unlink(missing_ok=True)

    def _look_after_orchestrators(self) -> None:
        stand = self._trial.stand
        for node in stand.topology.members("orchestrator"):
            stand.keep_orchestrator(node)

    def _let_go_on(self) -> None:
        now = time.monotonic()
        for process in self._candidates():
            if _is_stopped(process) and process not in self._stopped:
                self._stopped[process] = now
        for process, since in list(self._stopped.items()):
            if now - since > STOPPED_S:
                self._trial.thaw(process)
                del self._stopped[process]

    def _candidates(self) -> list[Process]:
        stand = self._trial.stand
        recorded = processes.recorded(stand.files.root)
        found = [process for name, process in recorded.items() if name.startswith("orchestrator-")]
        return found + [one for node in stand.topology.pair if (one := self._trial.agent(node))]

    def _files(self) -> list[Path]:
        return [self._file(node, place) for node in self._places for place in self._places[node]]

    def _file(self, node: Node, place: str) -> Path:
        return self._trial.stand.files.failpoints(node) / place


class MysqldCrashes(Crashes):
    """The agent stops itself at a place, its mysqld is killed at that moment, and the agent goes on."""

    def __init__(self, trial: Trial, places: Mapping[Node, Collection[str]]) -> None:
        super().__init__(trial, places, "stop")

    def _let_go_on(self) -> None:
        for node in self._places:
            agent = self._trial.agent(node)
            if agent is not None and _is_stopped(agent):
                if mysqld := self._trial.mysqld(node):
                    processes.send(mysqld, signal.SIGKILL)
                self._trial.thaw(agent)


def _is_stopped(process: Process) -> bool:
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T" and Process.of(process.pid) == process
