"""ansible-runner, in a process of its own: a job on stdin, its events as lines of JSON on stdout.

Apart from the command, because it forks, takes signal handlers over, and leaves threads behind. What a job brings
along is written into ansible-runner's artifacts: secrets come from vault files alone. The private folder, mode 0700,
is removed when the process ends.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from orchestrator.core.errors import Refused

# The whole environment is written into an artifact: only what ssh and Ansible need.
KEPT = ("HOME", "LANG", "LC_ALL", "SSH_AUTH_SOCK", "USER", "TERM")
DONE = "successful"
CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Job:
    """One run: absolute paths, no secrets."""

    folder: str  # of the playbooks
    playbook: str
    inventory: str
    arguments: tuple[str, ...] = ()  # as ansible-playbook takes them


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be known of a job before it begins; included tasks are not among them."""

    tasks: int = 0
    hosts: tuple[str, ...] = ()


def events(job: Job) -> Iterator[dict[str, Any]]:
    """What the run tells, then `{"status": ...}`. Raises Refused if ansible-runner is not installed or ends early.

    SIGINT and SIGTERM cancel it, which it tells too. The worker lives as long as its stdin is open: it ends what it
    began whatever became of us.
    """
    command = [sys.executable, "-m", "orchestrator.adapters.provision"]
    # In a group of its own: a terminal's Ctrl-C is for us.
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0) as worker,
        _interrupted_once(lambda: worker.stdin.close() if worker.stdin else None),
    ):
        assert worker.stdin is not None and worker.stdout is not None
        try:
            worker.stdin.write(json.dumps(asdict(job)) + "\n")
            worker.stdin.flush()
        except BrokenPipeError:  # it has ended, and said nothing: told below
            with suppress(BrokenPipeError):
                worker.stdin.close()
        told = False
        for line in worker.stdout:
            event = json.loads(line)
            told = told or "status" in event
            yield event
    if not told:
        raise Refused(f"the run ended with {worker.returncode} and without a result: pip install 'kembar[provision]'")


@contextmanager
def _interrupted_once(cancel: Callable[[], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM cancels; another one does what it always does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def once(*_: object) -> None:
        restore()
        cancel()

    for number in before:
        signal.signal(number, once)
    try:
        yield
    finally:
        restore()


def planned(job: Job) -> Plan:
    """The tasks and hosts that the playbook names; none if they cannot be told."""
    lists = ("--list-tasks", "--list-hosts")
    command = [_program("ansible-playbook"), "-i", job.inventory, *lists, job.playbook, *job.arguments]
    done = subprocess.run(command, cwd=job.folder, env=_environment(job), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return Plan()
    hosts = " ".join(re.findall(r"^ +hosts \(\d+\):((?:\n {6}\S+)*)", done.stdout, re.MULTILINE)).split()
    return Plan(len(re.findall(r"TAGS: \[", done.stdout)), tuple(sorted(set(hosts))))


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _environment(job: Job) -> dict[str, str]:
    given = {name: os.environ[name] for name in KEPT if name in os.environ}
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    # ansible-runner turns the check of host keys off unless it is told.
    return {**given, "PATH": path, "ANSIBLE_CONFIG": f"{job.folder}/ansible.cfg", "ANSIBLE_HOST_KEY_CHECKING": "True"}


def _tell(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event, default=str) + "\n")
    sys.stdout.flush()


def _taken(event: dict[str, Any]) -> bool:
    """Told, and not kept in memory: a run tells thousands."""
    data = event.get("event_data") or {}
    kept = {name: data[name] for name in ("host", "task", "play", "ignore_errors") if name in data}
    result = data.get("res") or {}
    shown = {name: result[name] for name in ("changed", "msg", "skip_reason") if name in result}
    _tell({"event": event["event"], "event_data": {**kept, "res": shown}})
    return False


class _Cancelling:
    """Whether our stdin is at its end, and what was below us then."""

    def __init__(self) -> None:
        self._ended, self._below = threading.Event(), dict[psutil.Process, None]()
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        while os.read(0, 1):
            pass
        self._ended.set()

    def asked(self) -> bool:
        """For ansible-runner, which kills what is in Ansible's own group: each of its workers has another one.

        All of them are stopped first, so that none begins another process meanwhile.
        """
        me = psutil.Process()
        while self._ended.is_set() and (new := [one for one in me.children(recursive=True) if one not in self._below]):
            for one in new:
                with suppress(psutil.Error):
                    one.suspend()
            self._below.update(dict.fromkeys(new))
        return self._ended.is_set()

    def end(self) -> None:
        """Kill what is left of them."""
        for one in self._below:
            with suppress(psutil.Error):
                one.kill()


def main(_: Sequence[str]) -> int:
    """The worker."""
    import ansible_runner

    given = json.loads(sys.stdin.readline())
    job = Job(given["folder"], given["playbook"], given["inventory"], tuple(given["arguments"]))
    with tempfile.TemporaryDirectory(prefix="kembar-provision-") as private:
        # What a cancelled run leaves there may be an opened vault file.
        environment = {**_environment(job), "ANSIBLE_LOCAL_TEMP": f"{private}/local"}
        os.environ.update(environment)
        cancelling = _Cancelling()
        ended = ansible_runner.run(
            private_data_dir=private,
            project_dir=job.folder,
            playbook=job.playbook,
            inventory=job.inventory,
            cmdline=subprocess.list2cmdline(job.arguments) or None,
            envvars=environment,
            settings={"pexpect_timeout": 1},
            event_handler=_taken,
            cancel_callback=cancelling.asked,
            quiet=True,
        )
        cancelling.end()
        _tell({"status": ended.status, "rc": ended.rc})
    return 0 if ended.status == DONE else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
