"""`kembar init` on a real ZooKeeper: made once, never overwritten, completed after an interruption."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from zkservers import Servers

from orchestrator.cli.main import main
from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.paths import Paths
from orchestrator.core.mergepolicy import Automation
from orchestrator.core.model import Cluster, NodeName, Policy
from orchestrator.core.ports import Delete, SetData
from orchestrator.core.wire import decode
from orchestrator.process import threads
from orchestrator.process.clock import HostClock

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with closing(Servers(tmp_path_factory.mktemp("zookeeper"))) as running:
        yield running.hosts


@contextmanager
def client_of(hosts: list[str]) -> Iterator[ZooKeeper]:
    with closing(ZooKeeper(hosts, HostClock(), threads.start)) as client:
        client.start()
        assert client.wait_connected(10.0)
        yield client


def init(tmp_path: Path, hosts: list[str], cluster: str, *options: str) -> Result:
    path = tmp_path / "orchestrator.yaml"
    path.write_text(
        f"""name: witness
zookeeper: {{hosts: {json.dumps(hosts)}}}
clusters:
  - name: {cluster}
    nodes: [{{name: db-a, address: 192.0.2.11}}, {{name: db-b, address: 192.0.2.12}}]
    vip: {{address: 192.0.2.100, subnet: 192.0.2.0/24}}
    reconcile: {{mode: plan_only}}
"""
    )
    return CliRunner().invoke(main, ["init", "-c", str(path), "-o", "json", *options])


def test_it_is_made_once_and_never_overwritten(tmp_path: Path, hosts: list[str]):
    paths = Paths("shop")
    first = init(tmp_path, hosts, "shop", "--primary", "db-b")
    assert first.exit_code == 0, first.output
    assert paths.desired in json.loads(first.stdout)["made"]
    with client_of(hosts) as client:
        assert decode(Cluster, client.read(paths.desired).data).primary == NodeName("db-b")
        assert decode(Policy, client.read(paths.policy).data).reconcile.mode is Automation.PLAN_ONLY
        client.submit((SetData(paths.desired, b"live state", -1),)).result(5.0)
        again = init(tmp_path, hosts, "shop", "--primary", "db-a")
        assert (again.exit_code, json.loads(again.stdout)["made"]) == (0, [])
        assert client.read(paths.desired).data == b"live state"


def test_an_interrupted_run_is_completed(tmp_path: Path, hosts: list[str]):
    paths = Paths("bakery")
    assert init(tmp_path, hosts, "bakery").exit_code == 0
    with client_of(hosts) as client:
        client.submit((Delete(paths.desired, -1), Delete(paths.sync(NodeName("db-b")), -1))).result(5.0)
    again = init(tmp_path, hosts, "bakery")
    assert set(json.loads(again.stdout)["made"]) == {paths.desired, paths.sync(NodeName("db-b"))}


@pytest.mark.parametrize("options", [("--primary", "db-c"), ("--cluster", "nobody")])
def test_a_name_that_is_not_in_the_file_is_refused(tmp_path: Path, hosts: list[str], options: tuple[str, str]):
    result = init(tmp_path, hosts, "kiosk", *options)
    assert result.exit_code == 2
    assert options[1] in result.stderr
