"""What a run of a playbook tells while it goes on, as values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


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

    @property
    def part(self) -> float:
        """From 0 to 1. Tasks that are included while it runs come on top of the total, so it may wait before 1."""
        return min(self.started / self.total, 1.0) if self.total else 0.0

    @property
    def changed(self) -> int:
        return sum(tally.changed for tally in self.hosts.values())

    def take(self, event: Mapping[str, Any]) -> None:
        """An event of ansible-runner; those that say nothing of a task or a host are passed over."""
        kind, data = event.get("event", ""), event.get("event_data") or {}
        host = str(data.get("host") or "")
        if kind == "playbook_on_task_start":
            self.started += 1
            self.task = str(data.get("task") or "")
        elif kind == "runner_on_ok":
            tally = self.hosts.setdefault(host, HostTally())
            tally.ok += 1
            tally.changed += bool((data.get("res") or {}).get("changed"))
        elif kind == "runner_on_failed" and not data.get("ignore_errors"):
            self.hosts.setdefault(host, HostTally()).failed += 1
            self.failures += _lines(host, data)
        elif kind == "runner_on_unreachable" and not (data.get("res") or {}).get("skip_reason"):
            self.hosts.setdefault(host, HostTally()).unreachable += 1
            self.failures += _lines(host, data)


def _lines(host: str, data: Mapping[str, Any]) -> Iterator[str]:
    """What a host failed with. A task that lists several lines is given line by line."""
    message = (data.get("res") or {}).get("msg", "failed without a message")
    for line in message if isinstance(message, list) else str(message).splitlines()[:8]:
        yield f"{host}: {data.get('task') or 'task'}: {line}"
