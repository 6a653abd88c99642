"""One row under way: who does what, what is seen of it, waits that have a bound, and everything undone at its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pymysql

from lab import faults, namespaces, processes, programs, sessions, views
from lab.bench import switchover
from lab.loading import Workload
from lab.recordlog import RecordLog, rules
from lab.sessions import Session
from lab.stand import KEMBAR, Stand, excerpt, wait_for
from lab.topology import Node
from orchestrator.core.errors import Refused, StepFailed

Answer = TypeVar("Answer")
MOVED_S = 60.0  # for what takes a second or two, on a machine that is slow or has other work
BACK_S = 180.0  # likewise, until the pair is whole


class Trial:
    """What a row asks of the lab. `struck` is CLOCK_MONOTONIC just before the fault."""

    def __init__(self, stand: Stand, load: Workload, log: RecordLog, returns: RecordLog) -> None:
        self.stand, self.load = stand, load
        self._log, self._returns = log, returns
        self.told: set[str] = set()  # values that a primary alone acknowledged before it was lost
        self.refused = False  # a return ended with a node that stays shut, as it should
        self.undo = ExitStack()
        self.violations: list[str] = []
        self.notes: list[str] = []
        self.outage_ms: float | None = None  # measured by the row itself
        self._settled = False
        self.begin()

    def begin(self) -> None:
        """The row begins here, with the pair as it is now: again after preparations."""
        self.began = self.struck = time.monotonic()
        self.before = self.view()
        self.epoch: int = self.before["epoch"]
        self.primary = self.stand.topology.node(self.before["primary"])
        self.standby = self.stand.topology.node(self.before["standby"])

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

    def returns(self) -> list[dict[str, Any]]:
        """Every version of the records of returns since this row began."""
        return [record for record in self._returns.records() if record["at"] >= self.began]

    def rules(self) -> list[str]:
        """The rules that fired since this row began; one whose record nobody saw, once it is in the event log."""
        return rules(self.records(), self.before["seq"], self._events)

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

        wait_for(is_primary, within_s, lambda: f"{target.name} is not primary: {excerpt(self.stand.snapshot())}")
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
        return views.view(self.stand)

    def until(self, holds: Callable[[dict[str, Any]], object], what: str, within_s: float = MOVED_S) -> dict[str, Any]:
        """The first view of which it is true. Raises StepFailed with `what`."""
        return views.until(self.stand, holds, what, within_s)

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
        self.load.goes_on(within_s)

    def last(self) -> dict[str, Any]:
        """The desired record as it is now."""
        return self._log.records()[-1]

    def trouble(self, node: Node, name: str, shown: Mapping[str, Any]) -> bool:
        """Whether a node's agent tells of that trouble."""
        return any(one.startswith(name) for one in self.row(node, shown)["troubles"])

    def settle(self, within_s: float = BACK_S) -> None:
        """Everything healed, writes go on, the clients end, the pair is certified again. Raises StepFailed.

        A standby that has to catch up does so sooner without clients, and the next row begins sooner.
        """
        faults.heal(self.stand)
        if not self._settled:
            self.writes_go_on(within_s)
            self.load.stop()
            self._settled = True
        if not self.refused:
            self.stand.wait_healthy(within_s)

    def first_answer(self, within_s: float = MOVED_S) -> float:
        """Try to read through the VIP again and again; CLOCK_MONOTONIC of the first success. Raises StepFailed."""

        def answers() -> bool:
            try:
                session = self.application(answer_s=1.0)
                with session.cursor() as cursor:
                    cursor.execute("DO 1")
                session.close()
            except (pymysql.err.Error, OSError):
                return False
            return True

        wait_for(answers, within_s, "nobody answers on the VIP", every_s=0.005)
        return time.monotonic()

    def silent_since(self, instant: float) -> bool:
        """Whether no write that began later has been acknowledged."""
        return not any(call.ok and call.writes and call.began > instant for call in self.load.calls())

    # --- preparing

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """No client writes meanwhile, so that a standby that has to catch up does so at once."""
        processes.freeze(self.stand.files.root, self.load.name)
        try:
            yield
        finally:
            processes.thaw(self.stand.files.root, self.load.name)
        self.writes_go_on()

    @contextmanager
    def undecided(self) -> Iterator[None]:
        """No orchestrator writes a rule meanwhile: what is to come first has the time that it takes."""
        names = [f"orchestrator-{node.name}" for node in self.stand.topology.members("orchestrator")]
        for name in names:
            processes.freeze(self.stand.files.root, name)
        try:
            yield
        finally:
            for name in names:
                processes.thaw(self.stand.files.root, name)

    def move_to(self, node: Node) -> None:
        """A planned move, if it is not there already. Raises StepFailed, Refused."""
        if self.primary != node:
            with self.at_rest():
                switchover(self.stand)
                self.until(lambda shown: shown["primary"] == node.name and shown["state"] == "healthy", "not moved")
            self.begin()

    def incident(self) -> dict[str, Any]:
        """The failover or switchover of this row, once it is recorded. Raises StepFailed."""
        shown = self.until(
            lambda shown: (shown["last_incident"] or {}).get("epoch", 0) > self.epoch, "the incident is not recorded"
        )
        found: dict[str, Any] = shown["last_incident"]
        return found

    def until_open(self, node: Node) -> None:
        """The node's lease says that it serves. Raises StepFailed."""
        self.until(
            lambda shown: shown["primary"] == node.name and shown["writes"] == "ok", f"{node.name} does not open"
        )

    def mac(self, node: Node) -> str:
        """Of its eth0."""
        return self.run(node.name, "ip", "-brief", "link", "show", namespaces.INTERFACE).split()[2]

    # --- doing

    def strike(self, fault: str, node: Node | None = None) -> Node:
        """Inject a fault of `kembar lab fault`; undone at the end of the row."""
        struck, self.struck = faults.inject(self.stand, fault, node.name if node else None)
        return struck

    def cut(self, source: Node, *targets: Node) -> None:
        """Both directions of the links between a node and these, at the same moment."""
        namespaces.cut(self.stand.name, source.name, [target.name for target in targets])

    def heal_network(self) -> None:
        """Every frame passes again, every cable is in."""
        namespaces.unblock_all(self.stand.name)
        for node in self.stand.topology.nodes:
            namespaces.link_up(self.stand.name, node.name)

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

    def thaw(self, process: processes.Process | None) -> None:
        """SIGCONT, if it is still there."""
        if process is not None:
            processes.send(process, signal.SIGCONT)

    def boot(self, node: Node) -> None:
        """Power on again: the cable in, and what the host runs is started."""
        namespaces.link_up(self.stand.name, node.name)
        faults.boot(self.stand, node)

    def arm(self, node: Node, places: Iterable[str], how: str = "kill") -> None:
        """Have agent or orchestrator of a host kill or stop itself there, once."""
        folder = self.stand.files.failpoints(node)
        for place in places:
            (folder / place).write_text(how)
            self.undo.callback((folder / place).unlink, missing_ok=True)

    def armed(self, *nodes: Node) -> set[str]:
        """The places that have not fired yet."""
        return {file.name for node in nodes for file in self.stand.files.failpoints(node).iterdir()}

    def await_state(self, process: processes.Process | None, letter: str, within_s: float = MOVED_S) -> bool:
        """Wait until the process is in that state of /proc (T: stopped); always true. Raises StepFailed."""
        stat = Path(f"/proc/{process.pid if process else 0}/stat")

        def is_so() -> bool:
            try:
                return stat.read_text().rpartition(")")[2].split()[0] == letter
            except OSError:
                return False

        wait_for(is_so, within_s, f"pid {process and process.pid} is not in state {letter}")
        return True

    def await_gone(self, process: processes.Process | None, within_s: float = MOVED_S) -> None:
        """Wait until the process has ended. Raises StepFailed."""
        if process is not None:
            wait_for(lambda: not process.lives(), within_s, f"pid {process.pid} lives on")

    def await_ended(self, *names: str, within_s: float = MOVED_S) -> None:
        """Wait until recorded processes are gone. Raises StepFailed."""
        root = self.stand.files.root
        wait_for(
            lambda: not any(processes.alive(root, name) for name in names), within_s, f"{', '.join(names)} do not end"
        )

    def refuse_port(self, node: Node, port: int) -> None:
        """A reset for whoever connects to that port on the node itself, until the end of the row."""
        table = "inet kembar_lab"
        chain = "type filter hook input priority -310; policy accept;"
        rules = f"add table {table}\nadd chain {table} in {{ {chain} }}\n"
        rules += f"add rule {table} in ct state new tcp dport {port} reject with tcp reset\n"
        self.run(node.name, "nft", "-f", "-", stdin=rules)
        self.undo.callback(self.run, node.name, "nft", "delete", "table", "inet", "kembar_lab")

    def beside(self, work: Callable[[], Answer]) -> Future[Answer]:
        """Do it in a thread of its own: a statement that is to wait."""
        future: Future[Answer] = Future()

        def done() -> None:
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001 - handed to whoever asks for the result
                future.set_exception(error)

        threading.Thread(target=done, daemon=True).start()
        return future

    def run(self, node: str, *argv: str, stdin: str = "") -> str:
        """A program on a node of the lab; what it printed. Raises StepFailed."""
        full = self.stand.exec_argv(node, list(argv))
        done = subprocess.run(
            full, input=stdin, env=self.environment(), capture_output=True, text=True, timeout=20, check=False
        )
        if done.returncode:
            raise StepFailed(f"{' '.join(argv)} on {node}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Of a program that needs those that were fetched."""
        libraries = programs.libnftables().environment()
        return {**os.environ, "PATH": programs.search_path(), **libraries}

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

    def replicator(self) -> Session:
        """The replication account's session from the witness to the primary; closed at the end of the row."""
        netns = namespaces.path(self.stand.name, "witness")
        password = self.stand.facts().passwords.repl
        proof, address = self.stand.files.mysqld_identity(self.standby), str(self.primary.address)
        return self._closing(
            sessions.application(netns, address, password, user="kembar_repl", database=None, proof=proof)
        )

    def until_false(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Wait until it no longer holds. Raises StepFailed."""
        wait_for(lambda: not holds(), MOVED_S, otherwise, every_s=0.05)

    def mysqld(self, node: Node) -> processes.Process | None:
        return faults.mysqld_process(self.stand, node)

    def agent(self, node: Node) -> processes.Process | None:
        return faults.worker(self.stand, node)

    def file(self, name: str) -> Path:
        """A place for what a row needs, gone with the lab."""
        folder = self.stand.files.root / "matrix"
        folder.mkdir(exist_ok=True)
        return folder / name

    def _events(self) -> list[dict[str, Any]]:
        """The last of them, as an orchestrator shows them; none while none answers."""
        shown = self.stand.snapshot()
        return shown["events"] if shown else []

    def _closing(self, session: Session) -> Session:
        # close() would wait for a server that is gone.
        self.undo.callback(lambda: session._force_close() if session.open else None)  # type: ignore[attr-defined]
        return session
