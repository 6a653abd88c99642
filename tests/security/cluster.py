"""A running pair from which one privilege, or one capability, is taken at a time: who is refused, and what status says.

What nobody notices by itself is tried out by a switchover, and by clients that use up all connections.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from lab import processes, sessions
from lab.stand import KEMBAR, Stand, wait_for
from lab.topology import Node
from orchestrator.core.errors import StepFailed
from tests.security.granted import Grant
from tests.security.seen import Noticed

SHOWN_S = 3.0  # until status shows what an agent has met with
LOOK_S, REST_S, BACK_S, OPERATION_S = 5.0, 1.5, 30.0, 20.0
REFUSED = re.compile(r"denied|offline mode|not permitted")


@dataclass
class Cluster:
    """The lab's pair; db-a is where capabilities are taken."""

    stand: Stand

    @property
    def pair(self) -> tuple[Node, ...]:
        return self.stand.topology.pair

    def shown(self) -> dict[str, Any]:
        found = self.stand.snapshot()
        if found is None:
            raise StepFailed("no orchestrator answers")
        return found

    def node(self, role: str) -> Node:
        """The primary's or the standby's host."""
        return self.stand.topology.node(str(self.shown()[role]))

    def take(self, grant: Grant) -> None:
        """On the primary, from where it is replicated; whoever is logged in has to log in again."""
        self._settled()
        with self._root(self.node("primary")) as cursor:
            cursor.execute(grant.take())
            cursor.execute("SELECT @@GLOBAL.gtid_executed")
            ((executed,),) = cursor.fetchall()
        with self._root(self.node("standby")) as cursor:
            cursor.execute("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, 10)", (executed,))
        self._log_out(grant)

    def give(self, grant: Grant) -> None:
        """On each server for itself, whoever may write now."""
        for node in self.pair:
            with self._root(node) as cursor:
                cursor.execute("SET sql_log_bin = OFF")
                cursor.execute("SELECT @@GLOBAL.super_read_only, @@GLOBAL.read_only")
                ((locked, fenced),) = cursor.fetchall()
                cursor.execute("SET GLOBAL super_read_only = OFF")
                cursor.execute(grant.give())
                cursor.execute(f"SET GLOBAL super_read_only = {locked}, GLOBAL read_only = {fenced}")
        self._log_out(grant)
        self._settled()

    def drop(self, capability: str) -> Node:
        """Another agent on the standby's host, as root but for that capability, which nobody there gets any more."""
        self._settled()
        node = self.node("standby")
        self._end_agent(node)
        name = capability.removeprefix("CAP_").lower()
        config = str(self.stand.files.agent_config(node))
        argv = ["setpriv", "--bounding-set", f"-{name}", "--inh-caps", f"-{name}", *KEMBAR, "agent", "-c", config]
        self.stand.spawn(f"agent-{node.name}", node, argv)
        return node

    def restore(self, node: Node) -> None:
        self._end_agent(node)
        self.stand.start_agent(node)
        self._settled()

    def _end_agent(self, node: Node) -> None:
        name = f"agent-{node.name}"
        processes.kill(self.stand.files.root, name, signal.SIGTERM)
        alive = processes.alive
        wait_for(lambda: not alive(self.stand.files.root, name), BACK_S, f"{name} does not end")

    def notice(self) -> Noticed | None:
        """By itself within seconds, else in a switchover there and back, else where clients use up all connections."""
        marks = {node: self._log(node).stat().st_size for node in self.pair}
        for name, step in STEPS.items():
            went = step(self, lambda: self._said(marks))
            if said := self._said(marks):
                with suppress(StepFailed):
                    wait_for(lambda: not self.stand.healthy(), SHOWN_S, "")
                return Noticed(name, said, self.status())
            if not went:
                raise StepFailed(f"{name}: nobody was refused, and yet {self.status()}")
        return None

    def _log_out(self, grant: Grant) -> None:
        for node in self.pair:
            with self._root(node) as cursor:
                self._end_sessions(cursor, grant.user)

    def _end_sessions(self, cursor: Any, user: str) -> None:
        cursor.execute("SELECT PROCESSLIST_ID FROM performance_schema.threads WHERE PROCESSLIST_USER = %s", (user,))
        for (session,) in cursor.fetchall():
            with suppress(pymysql.err.Error):  # it has ended by itself
                cursor.execute(f"KILL {session}")

    def _settled(self, unless: Callable[[], str] = str) -> None:
        """Healthy for a while, or something is said. Raises StepFailed."""
        since = time.monotonic()

        def rested() -> bool:
            nonlocal since
            if not self.stand.healthy() or self._troubles():
                since = time.monotonic()
            return time.monotonic() - since > REST_S or bool(unless())

        wait_for(rested, BACK_S, lambda: f"not at rest: {self.status()}", every_s=0.1)

    @contextmanager
    def _root(self, node: Node) -> Iterator[Any]:
        password = self.stand.facts().passwords.root
        session = sessions.administrator(self.stand.files.instance(node).socket, password)
        try:
            yield session.cursor()
        finally:
            session.close()

    def _log(self, node: Node) -> Path:
        return self.stand.files.log(f"agent-{node.name}")

    def _said(self, marks: Mapping[Node, int]) -> str:
        """What was refused since, as reports and logs have it."""
        told = self._troubles()
        for node, mark in marks.items():
            told += self._log(node).read_bytes()[mark:].decode(errors="replace").splitlines()
        return next((text for text in told if REFUSED.search(text)), "")

    def _troubles(self) -> list[str]:
        nodes = self.shown()["nodes"]
        return [f"{node['name']}: {text}" for node in nodes for text in (*node["troubles"], *node["refusals"])]

    def wait(self, said: Callable[[], str]) -> bool:
        """Whether the pair comes to rest."""
        with suppress(StepFailed):
            self._settled(unless=said)
            return True
        return False

    def switch(self, said: Callable[[], str]) -> bool:
        """Whether the primary may be moved, and back."""
        for _ in self.pair:
            argv = [*KEMBAR, "switchover", "-c", str(self.stand.files.client_config), "--reason", "looked at", "--yes"]
            try:
                subprocess.run(argv, capture_output=True, check=True, timeout=OPERATION_S)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                return False
            if not self.wait(said):
                return False
        return True

    def fill(self, said: Callable[[], str]) -> bool:
        """Whether the agent of a primary whose clients have taken every place still gets in."""
        primary = self.node("primary")
        with ExitStack() as stack:
            root = stack.enter_context(self._root(primary))
            root.execute("SELECT @@GLOBAL.max_connections")
            ((before,),) = root.fetchall()
            stack.callback(root.execute, f"SET GLOBAL max_connections = {before}")
            root.execute("SET GLOBAL max_connections = 1")  # there are more already
            self._end_sessions(root, "kembar_agent")
            with suppress(StepFailed):
                wait_for(lambda: bool(said()), LOOK_S, "", every_s=0.1)
        return self.wait(said)

    def status(self) -> str:
        """What `kembar status` says first, and what it says of the nodes."""
        shown = self.shown()
        return "; ".join((f"{shown['state']}: {shown['verdict']}", *self._troubles()))


STEPS: Mapping[str, Callable[[Cluster, Callable[[], str]], bool]] = {
    "ticks": Cluster.wait,
    "switchover": Cluster.switch,
    "all connections taken": Cluster.fill,
}
