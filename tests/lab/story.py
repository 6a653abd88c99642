"""A running lab as the stories on it see it: who does what, a client that writes, waits that have a bound."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lab import faults, processes, views
from lab.history import acknowledged, outage_s
from lab.metering import Metering, Verdict
from lab.namespaces import INTERFACE
from lab.stand import KEMBAR, Stand, wait_for
from lab.topology import Node
from orchestrator.core.errors import Refused

MOVED_S = 60.0  # for what takes a second or two, on a machine that is slow or has other work
BACK_S = 120.0  # likewise, until the pair is whole
OUTAGE_S = 20.0  # likewise, of a failover under a writing client
SERVED_FOR = 20  # acknowledged writes that show that somebody serves
PHASES = {"detect", "fence", "drain", "promote", "vip", "verify"}
_numbers = itertools.count()


@dataclass
class Writing:
    """The client of one story; `verdict` is there once the story has let it go."""

    metering: Metering
    struck: float = 0.0
    _verdict: list[Verdict] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        return self._verdict[0]

    def strike(self) -> None:
        """From now on the longest gap counts."""
        self.struck = time.monotonic()

    @property
    def felt(self) -> list[str]:
        """What became of writes since then that were not acknowledged: nobody answered, or the connection was cut."""
        return [one.outcome for one in self.verdict.history if one.outcome != "ok" and one.began > self.struck]

    @property
    def outage_s(self) -> float:
        return outage_s(self.verdict.history, self.struck)

    def goes_on(self, within_s: float = MOVED_S) -> None:
        """Some writes that began after this call are acknowledged."""
        now = time.monotonic()

        def served() -> bool:
            recent = itertools.takewhile(lambda one: one.began > now, reversed(acknowledged(self.metering.attempts())))
            return sum(1 for _ in recent) >= SERVED_FOR

        wait_for(served, within_s, "no write gets through")


class Story:
    """The lab, and what a story asks of it."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand

    def view(self) -> dict[str, Any]:
        """The pair as an orchestrator sees it that reaches ZooKeeper."""
        return views.view(self.stand)

    def until(self, holds: Callable[[dict[str, Any]], bool], what: str, within_s: float = MOVED_S) -> dict[str, Any]:
        """The first view of which it is true."""
        return views.until(self.stand, holds, what, within_s)

    def stays(self, holds: Callable[[dict[str, Any]], bool], for_s: float) -> None:
        """It is true of every view for a while."""
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            shown = self.view()
            assert holds(shown), shown
            time.sleep(0.05)

    def healthy(self) -> dict[str, Any]:
        """Certified again, as each orchestrator that runs shows it: one may see it a moment before another."""
        root, members = self.stand.files.root, self.stand.topology.members("orchestrator")
        running = {node.name for node in members if processes.alive(root, f"orchestrator-{node.name}")}
        agreed: set[str] = set()

        def by_all(shown: dict[str, Any]) -> bool:
            if shown["state"] == "healthy":
                agreed.add(shown["orchestrator"]["instance"])
            else:
                agreed.discard(shown["orchestrator"]["instance"])
            return running <= agreed

        return self.until(by_all, "the pair is not healthy", BACK_S)

    def node(self, role: str) -> Node:
        return self.stand.topology.node(self.view()[role])

    def row(self, node: Node, shown: dict[str, Any] | None = None) -> dict[str, Any]:
        rows = (shown or self.view())["nodes"]
        return next(row for row in rows if row["name"] == node.name)

    def strike(self, fault: str, node: Node | None = None) -> Node:
        struck, _ = faults.inject(self.stand, fault, node.name if node else None)
        return struck

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """A client writes all the while; in the end every value it was told of is looked up."""
        writing = Writing(Metering(self.stand, next(_numbers)))
        writing.metering.start()
        writing.strike()
        try:
            yield writing
        finally:
            writing.metering.stop()
        writing._verdict.append(writing.metering.verdict())

    def mac(self, node: Node) -> str:
        """Of its interface."""
        argv = self.stand.exec_argv(node.name, ["ip", "-brief", "link", "show", INTERFACE])
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=10).stdout.split()[2]

    def move_to(self, node: Node) -> None:
        """A planned move, if it is not there already."""
        if self.node("primary") == node:
            return

        def admitted() -> bool:
            shown = self.view()
            try:
                body = {"kind": "switchover", "to": node.name, "reason": "the story needs it there"}
                self.stand.ask("POST", "operations", body, shown["epoch"])
            except Refused:
                return False
            return True

        wait_for(admitted, MOVED_S, "the switchover is not admitted")
        self.until(lambda shown: shown["primary"] == node.name and shown["state"] == "healthy", "not moved", BACK_S)

    def kembar(self, *arguments: str) -> tuple[int, Any]:
        """The `kembar` command with -o json: its exit status and its object."""
        done = subprocess.run(
            [*KEMBAR, *arguments, "-o", "json"],
            env={**os.environ, "KEMBAR_LAB": self.stand.name},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def nothing_lost(verdict: Verdict) -> None:
    """Every acknowledged value is there once, and one server at a time had the address."""
    assert verdict.acknowledged > 0
    assert (verdict.lost, verdict.duplicates, verdict.two_answerers) == (0, 0, 0)
