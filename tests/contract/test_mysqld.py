"""What of the supervisors only real processes have: adoption, pid files, systemd. The port's own suite is in ports/."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.held import HeldProcess
from agents.mysqld import DirectChild, Systemd
from orchestrator.core.errors import StepFailed
from tests.contract.mysqlpair import CLOCK, Server, eventually, servers

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def made() -> Iterator[Server]:
    with servers(1) as (server,):
        server.start()
        yield server


@pytest.fixture
def server(made: Server) -> Server:
    """Running, whatever the test before did to it."""
    if made.supervisor.exiting():
        eventually(lambda: made.supervisor.incarnation() is None, 30)
    if made.supervisor.incarnation() is None:
        made.start()
    eventually(made.answers, 180)
    return made


def test_a_killed_server_is_seen_exiting(server: Server) -> None:
    assert not server.supervisor.exiting()
    os.kill(server.pid, signal.SIGKILL)
    eventually(server.supervisor.exiting, 5)  # it shows after 50 to 80 ms (measured), later on a busy machine
    eventually(lambda: server.supervisor.incarnation() is None, 30)


def test_one_thread_that_ends_is_not_the_end() -> None:
    """mysqld ends threads of its own all the time."""
    program = "import sys, threading, time; threading.Thread(target=sys.stdin.read).start(); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as child:
        held = HeldProcess.open(child.pid)
        assert held is not None and child.stdin is not None

        def threads() -> int:
            return len(list(Path(f"/proc/{child.pid}/task").iterdir()))

        eventually(lambda: threads() == 2, 20)
        assert not held.await_exiting(0.1)  # from now on it holds that thread
        child.stdin.close()
        assert not held.await_exiting(1.0)
        eventually(lambda: threads() == 1, 20)
        assert not held.await_exiting(0.1)
        child.kill()
        assert held.await_exiting(5.0)


def test_a_second_start_is_refused_also_before_the_server_answers(server: Server) -> None:
    """mysqld writes its pid file late in its start; the supervisor knows it from the beginning."""
    server.supervisor.kill()
    eventually(lambda: server.supervisor.incarnation() is None, 30)
    server.supervisor.start()
    with pytest.raises(StepFailed, match="there already"):
        server.supervisor.start()
    with pytest.raises(StepFailed, match="there already"):
        _another(server).start()


def test_nothing_else_starts_it(server: Server) -> None:
    server.supervisor.kill()
    eventually(lambda: server.supervisor.incarnation() is None, 30)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        assert server.supervisor.incarnation() is None
        time.sleep(0.05)


def test_another_agent_adopts_the_running_server(server: Server) -> None:
    other = _another(server)
    assert other.incarnation() == server.supervisor.incarnation()
    other.kill()
    assert server.supervisor.exiting() and other.exiting()


def test_a_server_that_somebody_else_started_is_found_by_its_pid_file(server: Server) -> None:
    server.supervisor.kill()
    eventually(lambda: server.supervisor.incarnation() is None, 30)
    command = [*server.supervisor._command, "--offline-mode=ON"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as it:
        eventually(lambda: server.supervisor.incarnation() is not None, 180)
        assert server.pid == it.pid
        server.supervisor.kill()
    eventually(lambda: server.supervisor.incarnation() is None, 30)


def test_a_stale_pid_file_does_not_make_a_stranger_our_server(tmp_path: Path) -> None:
    """After kill -9 the file stays, and its number may be anybody's."""
    pid_file = tmp_path / "pid"
    pid_file.write_text(f"{os.getpid()}\n")
    assert DirectChild(["/usr/sbin/mysqld", "--defaults-file=x"], pid_file).incarnation() is None


def test_the_server_outlives_the_agent_that_started_it(server: Server) -> None:
    server.supervisor.kill()
    eventually(lambda: server.supervisor.incarnation() is None, 30)
    program = (
        "import sys; from pathlib import Path; from agents.mysqld import DirectChild, Systemd\n"
        "child = DirectChild(sys.argv[2:], Path(sys.argv[1])); child.start(); print(child.incarnation())"
    )
    pid_file = str(server.instance.pid_file)
    said = subprocess.run(
        [sys.executable, "-c", program, pid_file, *server.supervisor._command],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert server.supervisor.incarnation() == said.strip()
    eventually(server.answers, 180)


def test_a_reaped_process_is_exiting_although_its_number_may_be_reused() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        held = HeldProcess.open(child.pid)
        assert held is not None and not held.exiting() and not held.gone()
        child.kill()
        eventually(held.exiting, 1)
    assert held.exiting() and held.gone()
    assert HeldProcess.open(child.pid) is None


def test_a_program_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="no-such-mysqld"):
        DirectChild(["/no-such-mysqld"], tmp_path / "pid").start()


SYSTEMCTL = """#!/bin/sh
# Does what systemd does with a unit that has ConditionPathExists, as far as the supervisor asks for it.
cd {folder}
echo "$*" >> calls
case "$1 $3" in
  "start mysql.service") [ -e permission ] || exit 0; sleep 60 > /dev/null 2>&1 &
    echo $! > main; echo activating > state ;;
  "show MainPID") cat main ;;
  "show ActiveState") cat state ;;
esac
"""


def _systemd(folder: Path) -> Systemd:
    program = folder / "systemctl"
    program.write_text(SYSTEMCTL.format(folder=folder))
    program.chmod(0o700)
    (folder / "main").write_text("0\n")
    (folder / "state").write_text("inactive\n")
    return Systemd("mysql.service", folder / "permission", CLOCK, str(program))


def test_a_unit_is_started_with_a_permission_that_does_not_stay(tmp_path: Path) -> None:
    """Whoever starts the unit later finds the condition unmet: nobody starts mysqld but the agent."""
    supervisor = _systemd(tmp_path)
    assert supervisor.incarnation() is None
    supervisor.start()
    pid = (tmp_path / "main").read_text().strip()
    incarnation = supervisor.incarnation()
    assert incarnation is not None and incarnation.split("/")[1] == pid
    assert not (tmp_path / "permission").exists()
    with pytest.raises(StepFailed, match="already"):
        supervisor.start()
    supervisor.kill()
    assert supervisor.exiting()
    assert "stop" not in (tmp_path / "calls").read_text()


def test_a_unit_that_does_not_start_is_a_failed_step(tmp_path: Path) -> None:
    supervisor = _systemd(tmp_path)
    (tmp_path / "systemctl").write_text(SYSTEMCTL.format(folder=tmp_path).replace("-e permission", "-e nothing"))
    with pytest.raises(StepFailed, match="did not start"):
        supervisor.start()
    assert not (tmp_path / "permission").exists()


def _another(server: Server) -> DirectChild:
    return DirectChild(server.supervisor._command, server.instance.pid_file)
