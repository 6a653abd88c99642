"""What a run of a playbook tells while it goes on, as values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.history import NOTE_MAX

FAILURES_TOLD = 3


@dataclass(slots=True)
class HostTally:
    """How many tasks of one host ended how."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: int = 0


@dataclass(slots=True)
class Run:
    """One run as far as it has been told. `total` is the number of tasks that can be known before it begins."""

    total: int
    started: int = 0
    task: str = ""
    hosts: dict[str, HostTally] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    busy: dict[str, str] = field(default_factory=dict)  # host -> the task that it is at

    @property
    def part(self) -> float:
        """From 0 to 1. Tasks that are included while it runs come on top of the total, so it may wait before 1."""
        return min(self.started / self.total, 1.0) if self.total else 0.0

    def take(self, event: Mapping[str, Any]) -> None:
        """An event of ansible-runner; those that say nothing of a task or a host are passed over."""
        kind, data = event.get("event", ""), event.get("event_data") or {}
        host = str(data.get("host") or "")
        if kind == "playbook_on_task_start":
            self.started += 1
            self.task = str(data.get("task") or "")
        if kind == "runner_on_start":
            self.busy[host] = str(data.get("task") or "")
        elif kind.startswith("runner_on_"):
            self.busy.pop(host, None)
        if kind == "runner_on_ok":
            tally = self.hosts.setdefault(host, HostTally())
            tally.ok += 1
            tally.changed += bool((data.get("res") or {}).get("changed"))
        elif kind == "runner_on_failed" and not data.get("ignore_errors"):
            self.hosts.setdefault(host, HostTally()).failed += 1
            self.failures += _lines(host, data)
        elif kind == "runner_on_unreachable" and not (data.get("res") or {}).get("skip_reason"):
            self.hosts.setdefault(host, HostTally()).unreachable += 1
            self.failures += _lines(host, data)


def begun_text(playbook: str, hosts: Iterable[str], who: str, *, check: bool) -> str:
    """What the event log is told before a run."""
    only = " (--check: nothing is changed)" if check else ""
    return _note(f"kembar provision {playbook} began{only} on {', '.join(hosts) or 'no host'}, by {who}")


def ended_text(playbook: str, run: Run, status: str, took_s: float) -> str:
    """What the event log is told after it."""
    changed = ", ".join(f"{name} {tally.changed}" for name, tally in sorted(run.hosts.items())) or "nothing"
    at = f"; it was at {where(run)}" if run.busy else ""
    failures = "; ".join(run.failures[:FAILURES_TOLD])
    failed = f"; {len(run.failures)} failures: {failures}" if failures else ""
    return _note(f"kembar provision {playbook} ended: {status} after {took_s:.0f} s; changed: {changed}{at}{failed}")


def where(run: Run) -> str:
    """Which hosts are at which tasks."""
    return ", ".join(f"{host}: {task}" for host, task in sorted(run.busy.items())) or "no task"


def _note(text: str) -> str:
    """As a note may be: one line of printable characters."""
    line = "".join(one if one.isprintable() else " " for one in text)
    return line if len(line) <= NOTE_MAX else f"{line[: NOTE_MAX - 1]}…"


def _lines(host: str, data: Mapping[str, Any]) -> Iterator[str]:
    """What a host failed with. A task that lists several lines is given line by line."""
    message = (data.get("res") or {}).get("msg", "failed without a message")
    for line in message if isinstance(message, list) else str(message).splitlines()[:8]:
        yield f"{host}: {data.get('task') or 'task'}: {line}"
