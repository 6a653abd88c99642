"""One metered stretch: the client started, watched and stopped, and its history judged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from lab import processes
from lab.history import Attempt, acknowledged, double_answers, duplicates, invented, lost, parse
from lab.stand import Stand, wait_for
from lab.tail import Tail
from orchestrator.core.errors import StepFailed

VALUES_PER_RUN = 10_000_000
LOOK_UPS = 50
FLOWING_S = 90.0
ENDED_S = 60.0
FLOWING = 50  # acknowledged writes that show that the client is under way


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one stretch proved."""

    history: list[Attempt]
    acknowledged: int
    lost: int
    duplicates: int
    two_answerers: int


def judged(history: Sequence[Attempt], stored: Sequence[int], answers: Sequence[str]) -> Verdict:
    """By what was found stored in the end, and who answered for the VIP in each round."""
    return Verdict(
        history=list(history),
        acknowledged=len(acknowledged(history)),
        lost=len(lost(history, stored)),
        duplicates=len(duplicates(stored)) + len(invented(history, stored)),
        two_answerers=double_answers(answers),
    )


def stored_values(argv: Sequence[str], run: int) -> list[int]:
    """The values of this run on the server that the VIP leads to, by `lab.meter --look-up`; tried again, as it may just
    have moved. Raises StepFailed."""
    for _ in range(LOOK_UPS):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            bound = (run + 1) * VALUES_PER_RUN
            return [value for value in map(int, done.stdout.split()) if value <= bound]
    raise StepFailed(f"the values cannot be looked up through the VIP: {done.stderr.strip()[-300:]}")


class Metering:
    """The client of one run; run numbers keep the values of different runs apart."""

    def __init__(self, stand: Stand, run: int) -> None:
        self._stand, self._run = stand, run
        self._name = f"meter-{run}"
        self._history = stand.files.root / "client" / f"{self._name}.history"
        self._history.parent.mkdir(exist_ok=True)
        self._tail = Tail(self._history)
        self._read: list[Attempt] = []

    def start(self, within_s: float = FLOWING_S) -> None:
        """Start it and wait until writes flow. Raises StepFailed."""
        self._history.unlink(missing_ok=True)
        self._stand.spawn(self._name, self._stand.topology.node("client"), self._command())
        wait_for(self._flows, within_s, f"the client does not get through: see {self._stand.files.log(self._name)}")

    def stop(self) -> None:
        """End it; one commit that still waits is given its time."""
        processes.kill(self._stand.files.root, self._name, 15)
        wait_for(lambda: not processes.alive(self._stand.files.root, self._name), ENDED_S, "the client does not end")

    def attempts(self) -> list[Attempt]:
        """What it has written down so far; only what is new is read, as this is asked for many times a second."""
        self._read += parse(self._tail.lines())
        return self._read

    def answers(self) -> list[str]:
        """Who answered for the VIP, one line a round: when, and every MAC."""
        return self._history.with_suffix(".arp").read_text().splitlines()

    def verdict(self) -> Verdict:
        """Every acknowledged value looked up through the VIP. Raises StepFailed if nobody answers there."""
        argv = self._stand.exec_argv("client", [*self._command(), "--look-up"])
        return judged(self.attempts(), stored_values(argv, self._run), self.answers())

    def _flows(self) -> bool:
        return len(acknowledged(self.attempts())) >= FLOWING

    def _command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "lab.meter",
            str(self._stand.topology.vip),
            str(self._history),
            str(self._stand.files.root / "secrets/app"),
            "--first-value",
            str(self._run * VALUES_PER_RUN),
        ]
