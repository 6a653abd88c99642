"""One row under way: who does what, what is seen of it, waits that have a bound, and everything undone at its end."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lab import faults, namespaces, processes, sessions
from lab.history import acknowledged
from lab.metering import Metering
from lab.recordlog import RecordLog
from lab.sessions import Session
from lab.stand import KEMBAR, Stand, wait_for
from lab.topology import Node
from orchestrator.core.errors import Refused, StepFailed

MOVED_S = 20.0
SERVED_FOR = 20  # acknowledged writes that show that somebody serves


class Trial:
    """What a row asks of the lab. `struck` is CLOCK_MONOTONIC just before the fault."""

    def __init__(self, stand: Stand, load: Metering, log: RecordLog) -> None:
        self.stand, self.load = stand, load
        self._log = log
        self.undo = ExitStack()
        self.violations: list[str] = []
        self.notes: list[str] = []
        self.began = time.monotonic()
        self.struck = self.began
        before = self.view()
        self.before = before
        self.epoch: int = before["epoch"]
        self.primary = stand.topology.node(before["primary"])
        self.standby = stand.topology.node(before["standby"])

    # --- judging

    def check(self, holds: object, otherwise: str) -> None:
        """Note a violation, and go on."""
        if not holds:
            self.violations.append(otherwise)

    def note(self, text: str) -> None:
        """Something worth telling, whatever the outcome."""
        self.notes.append(text)

    def records(self) -> list[dict[str, Any]]:
        """Every desired record since this row began."""
        return [record for record in self._log.records() if record["at"] >= self.began]

    def rules(self) -> list[str]:
        """The rules that fired since this row began."""
        return [record["rule"] for record in self.records()]

    def fired(self, *rules: str) -> bool:
        """Whether all of them fired since this row began."""
        return set(rules) <= set(self.rules())

    def await_rule(self, *rules: str, within_s: float = MOVED_S) -> str:
        """Wait for one of these rules; which it was. Raises StepFailed."""

        def found() -> list[str]:
            return [rule for rule in self.rules() if rule in rules]

        wait_for(
            lambda: bool(found()),
            within_s,
            lambda: f"none of {', '.join(rules)} fired, only {self.rules() or 'nothing'}",
        )
        return found()[0]

    def moved(self, within_s: float = MOVED_S, *, to: Node | None = None) -> None:
        """The other node is primary by a new epoch, and takes the client's writes. Raises StepFailed."""
        target = to or self.standby

        def is_primary() -> bool:
            return any(record["primary"] == target.name and record["epoch"] > self.epoch for record in self.records())

        wait_for(is_primary, within_s, lambda: f"{target.name} is not primary: {self._excerpt()}")
        self.writes_go_on(within_s)

    def unmoved(self) -> None:
        """The right to write has stayed where it was."""
        given = [
            f"{record['rule']} to {record['primary']}" for record in self.records() if record["epoch"] > self.epoch
        ]
        self.check(not given, f"nothing had to move, yet: {', '.join(given)}")

    # --- looking

    def view(self) -> dict[str, Any]:
        """The pair as an orchestrator sees it that reaches ZooKeeper. Raises StepFailed."""
        found: list[dict[str, Any]] = []

        def seen() -> bool:
            shown = self.stand.snapshot()
            if shown is not None and not shown["data"]["stale"] and shown["primary"]:
                found.append(shown)
            return bool(found)

        wait_for(seen, 15.0, "no orchestrator sees the pair", every_s=0.05)
        return found[0]

    def until(self, holds: Callable[[dict[str, Any]], object], what: str, within_s: float = MOVED_S) -> dict[str, Any]:
        """The first view of which it is true. Raises StepFailed with `what`."""
        found: list[dict[str, Any]] = []

        def true() -> bool:
            shown = self.stand.snapshot()
            if shown is not None and not shown["data"]["stale"] and shown["primary"] and holds(shown):
                found.append(shown)
            return bool(found)

        wait_for(true, within_s, lambda: f"{what}: {self._excerpt()}", every_s=0.05)
        return found[0]

    def stays(self, holds: Callable[[], object], for_s: float, otherwise: str) -> None:
        """It is true all the while, else a violation."""
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            if not holds():
                self.violations.append(otherwise)
                return
            time.sleep(0.05)

    def row(self, node: Node, shown: Mapping[str, Any]) -> dict[str, Any]:
        """A node's row of a view."""
        found: dict[str, Any] = next(row for row in shown["nodes"] if row["name"] == node.name)
        return found

    def writes_go_on(self, within_s: float = MOVED_S) -> None:
        """Some writes that began after this call are acknowledged. Raises StepFailed."""
        now = time.monotonic()

        def served() -> bool:
            recent = itertools.takewhile(lambda one: one.began > now, reversed(acknowledged(self.load.attempts())))
            return sum(1 for _ in recent) >= SERVED_FOR

        wait_for(served, within_s, lambda: f"no write gets through: {self._excerpt()}")

    def silent_since(self, instant: float) -> bool:
        """Whether no write that began later has been acknowledged."""
        done = acknowledged(self.load.attempts())
        return not done or done[-1].began <= instant

    # --- doing

    def strike(self, fault: str, node: Node | None = None) -> Node:
        """Inject a fault of `kembar lab fault`; undone at the end of the row."""
        struck, self.struck = faults.inject(self.stand, fault, node.name if node else None)
        return struck

    def cut(self, source: Node, target: Node) -> None:
        """Both directions of the link between two nodes."""
        namespaces.block(self.stand.name, source.name, target.name)
        namespaces.block(self.stand.name, target.name, source.name)

    def signal(self, process: processes.Process | None, number: int, what: str) -> None:
        """Raises Refused if it does not run."""
        if process is None or not processes.send(process, number):
            raise Refused(f"{what} does not run")

    def kembar(self, *arguments: str) -> tuple[int, Any]:
        """The `kembar` command with -o json: its exit status and its object, or what it said."""
        done = subprocess.run(
            [*KEMBAR, *arguments, "-o", "json"],
            env={**os.environ, "KEMBAR_LAB": self.stand.name},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr

    def run(self, node: str, *argv: str, stdin: str = "") -> str:
        """A program on a node of the lab; what it printed. Raises StepFailed."""
        full = self.stand.exec_argv(node, list(argv))
        done = subprocess.run(full, input=stdin, capture_output=True, text=True, timeout=20, check=False)
        if done.returncode:
            raise StepFailed(f"{' '.join(argv)} on {node}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def administrator(self, node: Node, *, answer_s: float = sessions.ANSWER_S) -> Session:
        """root on the node's own mysqld; closed at the end of the row."""
        password = self.stand.facts().passwords.root
        session = sessions.administrator(self.stand.files.instance(node).socket, password, answer_s=answer_s)
        return self._closing(session)

    def application(self, *, answer_s: float = sessions.ANSWER_S) -> Session:
        """A client's session through the VIP; closed at the end of the row."""
        netns = namespaces.path(self.stand.name, "client")
        password, vip = self.stand.facts().passwords.app, str(self.stand.topology.vip)
        return self._closing(sessions.application(netns, vip, password, answer_s=answer_s))

    def mysqld(self, node: Node) -> processes.Process | None:
        return faults.mysqld_process(self.stand, node)

    def agent(self, node: Node) -> processes.Process | None:
        return faults.worker(self.stand, node)

    def file(self, name: str) -> Path:
        """A place for what a row needs, gone with the lab."""
        folder = self.stand.files.root / "matrix"
        folder.mkdir(exist_ok=True)
        return folder / name

    def _closing(self, session: Session) -> Session:
        # close() would wait for a server that is gone.
        self.undo.callback(lambda: session._force_close() if session.open else None)  # type: ignore[attr-defined]
        return session

    def _excerpt(self) -> str:
        shown = self.stand.snapshot()
        if shown is None:
            return "no orchestrator answers"
        keys = ("verdict", "waiting", "phase", "mode", "epoch", "rule")
        return json.dumps({key: shown.get(key) for key in keys})
