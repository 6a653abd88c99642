"""`kembar status` on a real ZooKeeper, when no orchestrator answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from zkservers import Servers, eventually

from orchestrator.cli.main import main
from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.layout import provision
from orchestrator.coordination.paths import Paths
from orchestrator.core.model import Lease, LeaseState, Mysqld, NodeName, Policy, Report
from orchestrator.core.ports import SetData
from orchestrator.core.wire import encode
from orchestrator.process import threads
from orchestrator.process.clock import HostClock

pytestmark = pytest.mark.lab

DB_A, DB_B = NodeName("db-a"), NodeName("db-b")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """An ensemble with one cluster, whose primary db-a has just reported."""
    with closing(Servers(tmp_path_factory.mktemp("zookeeper"))) as running:
        client = ZooKeeper(running.hosts, HostClock(), threads.start)
        with closing(client):
            client.start()
            assert client.wait_connected(10.0)
            # What was just reported is the present for long, whatever a busy machine takes to look at it.
            provision(client, Paths("shop"), (DB_A, DB_B), replace(Policy(), silent_after_s=600.0))
        yield running.hosts


def report(hosts: list[str]) -> None:
    """db-a takes writes, as of now."""
    paths = Paths("shop")
    serving = Report(DB_A, epoch=1, mysqld=Mysqld.RUNNING, writable=True, gate_open=True, has_address=True)
    held = Lease(LeaseState.HELD, epoch=1, gate_open=True)
    client = ZooKeeper(hosts, HostClock(), threads.start)
    with closing(client):
        client.start()
        assert client.wait_connected(10.0)
        client.submit(
            (SetData(paths.report(DB_A), encode(serving), -1), SetData(paths.lease(DB_A), encode(held), -1))
        ).result(5.0)


def status(tmp_path: Path, hosts: list[str]) -> tuple[int, dict[str, object], str]:
    path = tmp_path / "client.yaml"
    path.write_text(json.dumps({"endpoints": ["http://127.0.0.1:1"], "zookeeper": hosts, "vip": "192.0.2.100"}))
    result = CliRunner().invoke(main, ["status", "-c", str(path), "-o", "json"])
    return result.exit_code, json.loads(result.stdout) if result.stdout else {}, result.stderr


def test_it_says_so_and_shows_the_same_view(tmp_path: Path, hosts: list[str]) -> None:
    report(hosts)
    code, shown, said = status(tmp_path, hosts)
    assert "read from ZooKeeper instead" in said
    assert (shown["cluster"], shown["state"], shown["primary"], shown["writes"]) == ("shop", "degraded", "db-a", "ok")
    assert (shown["vip"]["holder"], code) == ("db-a", 0)
    assert shown["unreadable"] == [], "every record that it shows is read"


def test_records_that_nobody_renews_are_not_the_present(tmp_path: Path, hosts: list[str]) -> None:
    """The record still says that db-a serves; its age says that nobody knows."""
    report(hosts)
    stale = replace(Policy(), report_every_s=0.01, silent_after_s=0.02)
    client = ZooKeeper(hosts, HostClock(), threads.start)
    with closing(client):
        client.start()
        assert client.wait_connected(10.0)
        client.submit((SetData(Paths("shop").policy, encode(stale), -1),)).result(5.0)
    # A fast machine reads the record before it is too old; from then on nobody renews it.
    eventually(lambda: status(tmp_path, hosts)[1]["state"] in ("blind", "unknown", "no_primary"))


def test_neither_an_orchestrator_nor_zookeeper(tmp_path: Path) -> None:
    code, _, said = status(tmp_path, ["127.0.0.1:1"])
    assert code == 8
    assert "ZooKeeper does not answer either" in said
