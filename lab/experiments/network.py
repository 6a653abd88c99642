"""A network namespace with nothing but its own loopback: what is filtered or watched there concerns nobody else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab.namespaces import NETNS_DIR
from lab.programs import program
from orchestrator.core.errors import StepFailed


@dataclass(frozen=True)
class Alone:
    """The namespace; what is inside was started there."""

    name: str

    @property
    def before(self) -> tuple[str, ...]:
        """The words before a command that shall run inside; the pid stays."""
        return (str(program("nsenter")), f"--net={NETNS_DIR / self.name}", "--")

    def run(self, *command: str, text: str = "") -> str:
        """What a command says inside. Raises StepFailed."""
        done = subprocess.run([*self.before, *command], input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepFailed(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout


@contextmanager
def alone(name: str) -> Iterator[Alone]:
    """A namespace of that name with its loopback up, removed at the end."""
    ip = str(program("ip"))
    full = f"kembar-exp-{name}-{os.getpid()}"
    _run(ip, "netns", "add", full)
    try:
        _run(ip, "-n", full, "link", "set", "lo", "up")
        yield Alone(full)
    finally:
        _run(ip, "netns", "delete", full)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepFailed(f"{' '.join(command)}: {done.stderr.strip()}")
