"""ansible-runner, in a process of its own: a job on stdin, its events as lines of JSON on stdout.

Apart from the command, because it forks, takes signal handlers over, and leaves threads behind. What a job brings
along is written into ansible-runner's artifacts: secrets come from vault files alone. The private folder, mode 0700,
is removed when the process ends.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.errors import Refused

# The whole environment is written into an artifact: only what ssh and Ansible need.
KEPT = ("HOME", "LANG", "LC_ALL", "SSH_AUTH_SOCK", "USER", "TERM")
DONE = "successful"


@dataclass(frozen=True, slots=True)
class Job:
    """One run: absolute paths, no secrets."""

    folder: str  # of the playbooks
    playbook: str
    inventory: str
    arguments: tuple[str, ...] = ()  # as ansible-playbook takes them


def events(job: Job) -> Iterator[dict[str, Any]]:
    """What the run tells, then `{"status": ...}`. Raises Refused if ansible-runner is not installed or ends early."""
    command = [sys.executable, "-m", "orchestrator.adapters.provision"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdin is not None and worker.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, and said nothing: told below
            worker.stdin.write(json.dumps(asdict(job)))
            worker.stdin.close()
        told = False
        for line in worker.stdout:
            event = json.loads(line)
            told = told or "status" in event
            yield event
    if not told:
        raise Refused(f"the run ended with {worker.returncode} and without a result: pip install 'kembar[provision]'")


def tasks_total(job: Job) -> int:
    """How many tasks the playbook names; 0 if it cannot be told. Included ones are not among them."""
    command = [_program("ansible-playbook"), "-i", job.inventory, "--list-tasks", job.playbook, *job.arguments]
    done = subprocess.run(command, cwd=job.folder, env=_environment(job), capture_output=True, text=True, check=False)
    return len(re.findall(r"TAGS: \[", done.stdout)) if done.returncode == 0 else 0


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


def main(_: Sequence[str]) -> int:
    """The worker."""
    import ansible_runner

    given = json.load(sys.stdin)
    job = Job(given["folder"], given["playbook"], given["inventory"], tuple(given["arguments"]))
    with tempfile.TemporaryDirectory(prefix="kembar-provision-") as private:
        os.environ.update(_environment(job))
        ended = ansible_runner.run(
            private_data_dir=private,
            project_dir=job.folder,
            playbook=job.playbook,
            inventory=job.inventory,
            cmdline=subprocess.list2cmdline(job.arguments) or None,
            envvars=_environment(job),
            event_handler=_taken,
            quiet=True,
        )
        _tell({"status": ended.status, "rc": ended.rc})
    return 0 if ended.status == DONE else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
