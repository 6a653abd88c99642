"""What the role mysql has logrotate do, by logrotate itself, to the logs of a real mysqld."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.programs import program
from tests.contract.mysqlpair import Server, eventually, servers
from tests.unit.test_rendered import rendered

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with servers(1) as (made,):
        made.start()
        yield made


def rotate(place: Path, logs: Path, pid: int) -> None:
    """As a timer would, but now. What systemd says is given, as this mysqld is no unit of it; a `pid` of 0 is none."""
    systemctl = place / "systemctl"
    systemctl.write_text(f'#!/bin/sh\nif [ "$1" = show ]; then echo {pid}; else [ {pid} != 0 ]; fi\n')
    systemctl.chmod(0o755)
    settings = place / "logrotate.conf"
    told = rendered("mysql", "logrotate.j2").replace("/var/log/mysql/*.log", f"{logs}/log.err")
    settings.write_text(told.replace("mysql mysql", "root root"))
    subprocess.run(
        [str(program("logrotate")), "--force", "--state", str(place / "state"), str(settings)],
        env={**os.environ, "PATH": f"{place}:{os.environ['PATH']}"},
        check=True,
        timeout=60,
    )


def writes_to(pid: int, log: Path) -> bool:
    return log.exists() and os.path.samestat(log.stat(), Path(f"/proc/{pid}/fd/2").stat())


def test_mysqld_goes_on_in_the_new_file_and_begins_no_binary_log(server: Server, tmp_path: Path) -> None:
    folder = server.instance.log_error.parent
    binary_logs = server.rows("SHOW BINARY LOGS")
    assert writes_to(server.pid, folder / "log.err")
    rotate(tmp_path, folder, server.pid)
    eventually(lambda: writes_to(server.pid, folder / "log.err"), 10)
    assert "ready for connections" in (folder / "log.err.1").read_text()
    assert [row["Log_name"] for row in server.rows("SHOW BINARY LOGS")] == [row["Log_name"] for row in binary_logs]


def test_nobody_is_signalled_while_mysqld_does_not_run(tmp_path: Path) -> None:
    """And a run of logrotate does not fail by it."""
    (tmp_path / "log.err").write_text("of a server that has ended\n")
    rotate(tmp_path, tmp_path, 0)
    assert (tmp_path / "log.err.1").read_text() == "of a server that has ended\n"
    assert (tmp_path / "log.err").read_text() == ""
