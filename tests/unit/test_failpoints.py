"""Armed places: each fires once, on the side of the step that its name says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agents.converge import Action
from agents.failing import FailingGate, FailingHands, FailingSession
from agents.session import Row
from agents.steps import Order
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import Refused
from orchestrator.core.model import Cluster, Mode, NodeName, Phase, Sync, goal_for
from orchestrator.core.ports import SetData
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.returning import Rung, Stage
from orchestrator.core.wire import encode
from orchestrator.failing import FailingCoordinator
from orchestrator.process.failpoints import VARIABLE, Failpoints
from tests.fakes import FakeClock, FakeCoordinator, FakeGate

DB_A = NodeName("db-a")
CLUSTER = Cluster(1, 1, DB_A, Mode.SYNC, Phase.STEADY)

REACHES = """
import sys
from pathlib import Path
from orchestrator.process.failpoints import Failpoints
points = Failpoints(Path(sys.argv[1]))
points.reach("here")
print("went on", flush=True)
"""


class Noting(Failpoints):
    """Says which places were reached."""

    def __init__(self, told: list[str]) -> None:
        super().__init__(Path("/nowhere"))
        self._told = told

    def reach(self, place: str) -> None:
        self._told.append(place)


def test_an_armed_place_kills_the_process_once(tmp_path: Path):
    (tmp_path / "here").write_text("kill\n")
    argv = [sys.executable, "-c", REACHES, str(tmp_path)]
    first, second = (subprocess.run(argv, capture_output=True, text=True, check=False) for _ in range(2))
    assert (first.returncode, first.stdout) == (-signal.SIGKILL, "")
    assert (second.returncode, second.stdout) == (0, "went on\n")


def test_a_stopped_process_goes_on_when_it_is_continued(tmp_path: Path):
    (tmp_path / "here").write_text("stop")
    with subprocess.Popen([sys.executable, "-c", REACHES, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        stopped = os.waitpid(process.pid, os.WUNTRACED)[1]
        assert os.WIFSTOPPED(stopped)
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=10)[0] == "went on\n"


def test_nobody_asked():
    assert Failpoints.of({}) is None


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(Refused, match="expected a folder"):
        Failpoints.of({VARIABLE: str(tmp_path / "nothing")})


def test_hands_have_a_place_on_either_side_of_each_action():
    told: list[str] = []

    class Hands:
        def run(self, action: Action, order: Order) -> None:
            told.append("ran")

    order = Order(goal_for(DB_A, CLUSTER), 0, "")
    FailingHands(Hands(), Noting(told)).run(Action.DRAIN, order)
    assert told == ["agent.before.drain", "ran", "agent.after.drain"]


def test_the_gate_has_places_between_check_and_system_call():
    told: list[str] = []
    gate = FailingGate(FakeGate(FakeClock()), Noting(told))
    gate.arm(0.25)
    gate.open(0.25)
    gate.shut()
    assert [place for place in told if "before" in place] == ["gate.before.arm", "gate.before.open", "gate.before.shut"]
    assert not gate.is_open()


def test_a_decision_has_three_places_and_other_writes_none():
    told: list[str] = []
    paths = Paths("shop")
    real = FakeCoordinator()
    real.put(paths.desired, CLUSTER)
    real.put(paths.sync(DB_A), Sync())
    real.slow = True
    coordinator = FailingCoordinator(real, paths, Noting(told))
    write = SetData(paths.desired, encode(replace(CLUSTER, rule="U1")), 0)
    pending = coordinator.submit((write,))
    assert told == ["orchestrator.before.U1", "orchestrator.sent.U1"]
    pending.result(1.0)
    assert told[-1] == "orchestrator.after.U1"
    coordinator.submit((SetData(paths.sync(DB_A), b"", 0),))
    assert len(told) == 3
    record = Reconcile(1, 1, DB_A, Rung.REWIND, Stage.BUNDLE)
    coordinator.submit((SetData(paths.returning, encode(record), 0),))
    assert told[3:] == ["orchestrator.before.return_bundle", "orchestrator.sent.return_bundle"]


def test_statements_of_a_repair_have_a_place_on_either_side():
    told: list[str] = []

    class Server:
        def ask(self, sql: str, arguments: tuple[object, ...] = (), *, within_s: float | None) -> tuple[Row, ...]:
            told.append(sql)
            return ({"one": "1"},)

        def close(self) -> None:
            told.append("closed")

    session = FailingSession(Server(), Noting(told))
    assert session.ask("SELECT 1 AS one", within_s=1.0) == ({"one": "1"},)
    session.ask("RESET BINARY LOGS AND GTIDS", within_s=1.0)
    session.close()
    named = ["repair.before.reset", "RESET BINARY LOGS AND GTIDS", "repair.after.reset"]
    assert told == ["SELECT 1 AS one", *named, "closed"]
