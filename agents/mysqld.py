"""The supervisors: who starts mysqld, knows which life of it runs, and ends it by SIGKILL. Never a clean shutdown.

A fetched mysqld is run through its private loader and is then called ld-linux-*, so it is known by its number alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from agents.held import HeldProcess
from orchestrator.core.errors import StepFailed
from orchestrator.core.ports import Clock

KILL_S = 1.0
FENCED = ("--skip-replica-start=ON", "--read-only=ON", "--super-read-only=ON", "--offline-mode=ON")
WALL_SLACK_S = 2.0


class Lives:
    """What both supervisors share: the process that is held now. `exiting` may be called by other threads."""

    def __init__(self) -> None:
        self._held: HeldProcess | None = None
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def incarnation(self) -> str | None:
        """`boot_id/pid/starttime` of the running mysqld, also while it is exiting; None when there is none."""
        held = self._held
        if held is None or held.gone():
            if held is not None:
                self._reap(held)
            self._held = held = self._find()
        return None if held is None else f"{self._boot_id}/{held.pid}/{held.started_ticks}"

    def exiting(self) -> bool:
        """Whether the process last found has begun to exit or is gone; False while none was found. For every poll."""
        held = self._held
        return held is not None and held.exiting()

    def await_exiting(self, within_s: float) -> bool:
        """As `exiting`, waiting for it at most so long: 1 ms after a kill -9, without polling (Linux 6.9 and later).

        For one thread. Without a process it waits too: one may be started meanwhile.
        """
        held = self._held
        if held is not None:
            return held.await_exiting(within_s)
        time.sleep(within_s)
        return False

    def kill(self) -> None:
        """SIGKILL by pidfd, and wait until exiting; nothing to do without a process. Raises StepFailed (D state)."""
        if self.incarnation() is not None and self._held is not None:
            self._held.kill(KILL_S)

    def _find(self) -> HeldProcess | None:
        raise NotImplementedError

    def _reap(self, held: HeldProcess) -> None:
        """Whoever started it need not be us: then init does this."""


class DirectChild(Lives):
    """Supervisor (see the port) that starts mysqld itself, in a session of its own: it survives the agent."""

    def __init__(self, command: Sequence[str], pid_file: Path) -> None:
        """`pid_file` is mysqld's own; a note of ours beside it bridges the time until mysqld has written it."""
        super().__init__()
        self._command = list(command)
        self._pid_file = pid_file
        self._note = pid_file.with_name(pid_file.name + ".kembar")

    def start(self) -> None:
        """Start mysqld, fenced; returns at once, long before it answers. Raises StepFailed if one is there already."""
        running = self.incarnation()
        if running is not None:
            raise StepFailed(f"mysqld is there already: {running}")
        pid = self._spawn()
        self._held = HeldProcess.open(pid)
        if self._held is not None:
            self._note.write_text(f"{pid} {self._held.started_ticks}\n")

    def _spawn(self) -> int:
        arguments = [*self._command, *FENCED]
        said = str(self._pid_file.with_name(self._pid_file.name + ".stderr"))  # until mysqld has opened its log
        files = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        try:
            # Python ignores SIGPIPE, and a child would inherit that. Our own files are closed at exec.
            return os.posix_spawnp(
                arguments[0], arguments, os.environ, file_actions=files, setsid=True, setsigdef=[signal.SIGPIPE]
            )
        except OSError as error:
            raise StepFailed(f"{arguments[0]} cannot be started: {error}") from error

    def _find(self) -> HeldProcess | None:
        return self._noted() or self._in_pid_file()

    def _noted(self) -> HeldProcess | None:
        numbers = _numbers(self._note)
        held = HeldProcess.open(numbers[0]) if len(numbers) == 2 else None
        return held if held is not None and held.started_ticks == numbers[1] and not held.gone() else None

    def _in_pid_file(self) -> HeldProcess | None:
        """Also one that somebody else started: it is not ours to overlook. A stale number may be anybody's."""
        numbers = _numbers(self._pid_file)
        held = HeldProcess.open(numbers[0]) if len(numbers) == 1 else None
        if held is None or held.gone():
            return None
        command = held.command()
        ours = command[: len(self._command)] == self._command
        return held if ours or (_is_mysqld(command) and self._written_by(held)) else None

    def _written_by(self, held: HeldProcess) -> bool:
        """Whether the pid file is younger than the process, as its writer's must be."""
        uptime_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        started_s = time.time() - uptime_s + held.started_ticks / os.sysconf("SC_CLK_TCK")
        try:
            return self._pid_file.stat().st_mtime >= started_s - WALL_SLACK_S
        except FileNotFoundError:
            return False

    def _reap(self, held: HeldProcess) -> None:
        with suppress(ChildProcessError):
            os.waitpid(held.pid, os.WNOHANG)


class Systemd(Lives):
    """Supervisor (see the port) of a unit that only starts while a permission file exists. Not run: no systemd here.

    The unit has `Restart=no`, `RefuseManualStop=yes`, `KillSignal=SIGKILL` and
    `ConditionPathExists=<permission>`; it is started by systemctl, ended by SIGKILL, never stopped by systemctl. A
    host that shuts down stops it all the same: SIGTERM would tell OK to every client whose commit waits (measured).
    """

    def __init__(self, unit: str, permission: Path, clock: Clock, systemctl: str = "systemctl") -> None:
        super().__init__()
        self._unit = unit
        self._permission = permission
        self._clock = clock
        self._systemctl = systemctl
        self._asked = float("-inf")

    def start(self) -> None:
        """Start the unit and wait until systemd has begun, at most 2 s. Raises StepFailed."""
        running = self.incarnation()
        if running is not None:
            raise StepFailed(f"{self._unit} runs already: {running}")
        self._permission.touch()
        try:
            self._call("start", "--no-block", self._unit)
            end = self._clock.holder_now() + 2.0
            while self._show("ActiveState") not in ("activating", "active"):
                if self._clock.holder_now() > end:
                    raise StepFailed(f"{self._unit} did not start within 2 s: see `systemctl status {self._unit}`")
                time.sleep(0.02)
        finally:
            # Whoever starts the unit later, a package's script for instance, finds the condition unmet.
            self._permission.unlink(missing_ok=True)
            self._asked = float("-inf")

    def _find(self) -> HeldProcess | None:
        """Asked four times a second at most: each time costs a process."""
        now = self._clock.holder_now()
        if now - self._asked < 0.25:
            return None
        self._asked = now
        text = self._show("MainPID")
        return HeldProcess.open(int(text)) if text.isdecimal() and text != "0" else None

    def _show(self, name: str) -> str:
        return self._call("show", "--property", name, "--value", self._unit).strip()

    def _call(self, *arguments: str) -> str:
        command = [self._systemctl, *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=5.0, check=False)
        except (OSError, subprocess.SubprocessError) as error:
            raise StepFailed(f"{' '.join(command)}: {error}") from error
        if done.returncode != 0:
            raise StepFailed(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
        return done.stdout


def _numbers(file: Path) -> list[int]:
    """The whole numbers in a file; none if it is missing or holds anything else."""
    try:
        return [int(part) for part in file.read_text().split()]
    except (FileNotFoundError, ValueError):
        return []


def _is_mysqld(command: Sequence[str]) -> bool:
    return any(Path(part).name == "mysqld" for part in command)
