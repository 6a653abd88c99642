"""Processes of a lab that outlive the command that started them. Owns `<lab_dir>/run/*.json`; knows nothing of servers.

A process is known by its pid, its start time and the boot it belongs to, never by its name. Everything that is started
here carries KEMBAR_LAB_DIR in its environment and hands it on, so that what an agent has started is found as well.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.programs import program
from orchestrator.core.errors import Refused, StepFailed

MARK = "KEMBAR_LAB_DIR"
FIRST_PASSED_FD = 3
END_S = 10.0
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `started` is in clock ticks since boot, as in its /proc/PID/stat."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The living process of that pid; None if there is none.

        A zombie has ended, but only if it has no other thread: after a kill -9 the main thread of a mysqld is one while
        others still exit, and its sockets answer until the last is gone (measured).
        """
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        ended = fields[0] in "ZX" and int(fields[17]) <= 1
        return None if ended else cls(pid, int(fields[19]), _boot())

    def lives(self) -> bool:
        """Whether this very process, not a later one of the same pid, has not ended."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # if it is our own child, it would stay a zombie
        return Process.of(self.pid) == self


def spawn(
    argv: Sequence[str],
    *,
    lab_dir: Path,
    name: str,
    log_path: Path,
    netns: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> int:
    """Start a process in a session of its own, output appended to the log, and record it; returns its pid.

    `netns` is the file of a network namespace; `env` None is our own environment. Descriptors arrive as 3, 4, ... with
    LISTEN_FDS and LISTEN_PID set, as systemd passes them. Raises Refused while a process of that name lives,
    FileNotFoundError if the program is missing.
    """
    if alive(lab_dir, name):
        raise Refused(f"{name} runs already in {lab_dir}")
    environment = {**(os.environ if env is None else env), MARK: str(lab_dir)}
    command = [str(part) for part in argv]
    if pass_fds:
        environment["LISTEN_FDS"] = str(len(pass_fds))
        command = ["/bin/sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh", *command]
    if netns is not None:
        command = [str(program("nsenter")), f"--net={netns}", "--", *command]
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with _moved_up(pass_fds) as moved:
        actions: list[tuple[object, ...]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log_path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *((os.POSIX_SPAWN_DUP2, fd, FIRST_PASSED_FD + place) for place, fd in enumerate(moved)),
        ]
        pid = os.posix_spawnp(
            command[0], command, environment, file_actions=actions, setsid=True, setsigdef=_ignored_signals()
        )
    _record(lab_dir, name, pid, command)
    return pid


def recorded(lab_dir: Path) -> dict[str, Process]:
    """Every process that was recorded, by name, whether it lives or not."""
    return {file.stem: process for file in sorted(_run_dir(lab_dir).glob("*.json")) if (process := _read(file))}


def alive(lab_dir: Path, name: str) -> bool:
    """Whether the process recorded under that name has not ended."""
    process = _read(_run_dir(lab_dir) / f"{name}.json")
    return process is not None and process.lives()


def kill(lab_dir: Path, name: str, number: int = signal.SIGKILL) -> bool:
    """Send a signal to the recorded process; False if it has ended already."""
    process = _read(_run_dir(lab_dir) / f"{name}.json")
    return process is not None and send(process, number)


def send(process: Process, number: int) -> bool:
    """Send a signal to this very process, held by a pidfd meanwhile; False if it has ended."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if Process.of(process.pid) != process:  # the pid belongs to another by now
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
            return True
        return False
    finally:
        os.close(pidfd)


def freeze(lab_dir: Path, name: str) -> list[Process]:
    """Stop a recorded process and all its descendants (SIGSTOP), parents first; returns them. Undone by `thaw`."""
    return _signal_tree(lab_dir, name, signal.SIGSTOP)


def thaw(lab_dir: Path, name: str) -> list[Process]:
    """Let a frozen process and its descendants go on."""
    return _signal_tree(lab_dir, name, signal.SIGCONT)


def descendants(pid: int) -> list[Process]:
    """The living children of a process, their children and so on, parents before children."""
    children: dict[int, list[int]] = {}
    for other in _pids():
        with suppress(OSError):
            parent = int(Path(f"/proc/{other}/stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(other)
    order = [pid]
    for parent in order:
        order += children.get(parent, ())
    return [process for child in order[1:] if (process := Process.of(child))]


def members(lab_dir: Path, extra_pid_files: Iterable[Path] = ()) -> list[Process]:
    """Every living process of this lab: recorded ones, their descendants, those that carry the lab's mark, and those
    that a pid file names if the file lies in the lab's folder. This process and its ancestors are never among them.
    """
    found: dict[int, Process] = {}
    for process in recorded(lab_dir).values():
        if process.lives():
            found.update({p.pid: p for p in (process, *descendants(process.pid))})
    mark = os.fsencode(f"{MARK}={lab_dir}")
    for pid in _pids():
        with suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") and (marked := Process.of(pid)):
                found[pid] = marked
    for file in extra_pid_files:
        with suppress(OSError, ValueError):
            inside = file.resolve().is_relative_to(lab_dir.resolve())
            named = Process.of(int(file.read_text())) if inside else None
            # A pid file outlives its process, and the pid may be another's by now.
            if named is not None and os.fsencode(lab_dir) in Path(f"/proc/{named.pid}/cmdline").read_bytes():
                found[named.pid] = named
    own = _ancestry()
    return [process for pid, process in sorted(found.items()) if pid not in own]


def end_all(lab_dir: Path, extra_pid_files: Sequence[Path] = ()) -> int:
    """Kill every process of this lab and forget the records; returns how many there were.

    Looks again until none is left, as an agent may start its server anew meanwhile. Raises StepFailed after 10 s.
    """
    ended: set[Process] = set()
    deadline = time.monotonic() + END_S
    while left := members(lab_dir, extra_pid_files):
        if time.monotonic() > deadline:
            raise StepFailed(f"still alive after {END_S:g} s of SIGKILL: pids {[process.pid for process in left]}")
        for process in left:
            send(process, signal.SIGKILL)
            process.lives()  # reaps it if it is ours
        ended.update(left)
        time.sleep(POLL_S)
    for file in _run_dir(lab_dir).glob("*.json"):
        file.unlink(missing_ok=True)
    return len(ended)


def _signal_tree(lab_dir: Path, name: str, number: int) -> list[Process]:
    root = _read(_run_dir(lab_dir) / f"{name}.json")
    if root is None or not root.lives():
        return []
    done: list[Process] = []
    # Twice: a child that was forked before its parent stopped is seen in the second round.
    for _ in range(2):
        fresh = [process for process in (root, *descendants(root.pid)) if process not in done]
        done += [process for process in fresh if send(process, number)]
    return done


@contextmanager
def _moved_up(fds: Sequence[int]) -> Iterator[list[int]]:
    """Copies of the descriptors above the places they will be put in, so that none overwrites another."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_PASSED_FD + len(fds)) for fd in fds]
    try:
        yield moved
    finally:
        for fd in moved:
            os.close(fd)


def _ignored_signals() -> list[int]:
    """Python ignores these two for itself; a server started from it should not inherit that."""
    return [signal.SIGPIPE, signal.SIGXFSZ]


def _record(lab_dir: Path, name: str, pid: int, command: Sequence[str]) -> None:
    process = Process.of(pid)
    if process is None:
        raise StepFailed(f"{name} ended at once; its command was: {' '.join(command)}")
    folder = _run_dir(lab_dir)
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{name}.{os.getpid()}"
    fresh.write_text(json.dumps({**asdict(process), "argv": list(command)}))
    fresh.rename(folder / f"{name}.json")


def _read(file: Path) -> Process | None:
    try:
        content = json.loads(file.read_text())
        return Process(int(content["pid"]), int(content["started"]), str(content["boot"]))
    except (FileNotFoundError, KeyError, ValueError):
        return None


def _run_dir(lab_dir: Path) -> Path:
    return lab_dir / "run"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _ancestry() -> set[int]:
    """This process and those it descends from."""
    pid, own = os.getpid(), {0}
    while pid not in own:
        own.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return own
