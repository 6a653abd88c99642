"""A real Prometheus takes what an orchestrator tells, and its rules judge it; fetched if the host has none."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from lab.fetch import fetch
from monitoring.app import Web, bound_socket
from monitoring.backend import Backend
from orchestrator.core.access import AccessRole, Token
from orchestrator.core.model import Cluster, Mode, NodeName, Phase
from orchestrator.core.snapshot import Snapshot

pytestmark = pytest.mark.lab

RULES_FILE = Path(__file__).parents[2] / "monitoring/alerts.yml"
PAIR = (NodeName("db-a"), NodeName("db-b"))
NOBODY_SERVES = Snapshot(
    name="shop",
    pair=PAIR,
    vip="192.0.2.100",
    taken=100.0,
    instance="witness",
    connected=True,
    cluster=Cluster(7, 41, PAIR[0], Mode.SYNC, Phase.STEADY),
    leader="witness",
)
SCRAPER = Token("prometheus", AccessRole.VIEWER, hashlib.sha256(b"scrape-secret").hexdigest())
READY_S = 120.0


def unasked(*_: object) -> Never:
    raise AssertionError("metrics ask for nothing but snapshots")


ASKED_BY_OTHERS = [
    "dry_run",
    "submit",
    "read_request",
    "put_pause",
    "read_policy",
    "put_policy",
    "return_ids",
    "read_return",
    "read_tokens",
    "put_tokens",
    "audit",
    "read_audit",
]


@pytest.fixture
def orchestrator() -> Iterator[str]:
    """The web server of an orchestrator that sees a pair in which nobody serves; host and port."""
    backend = Backend(
        instance="witness",
        snapshots=lambda: {"shop": NOBODY_SERVES},
        now=lambda: 100.1,
        wall_s=time.time,
        kept_tokens=lambda: (),
        session_key=b"of no session",
        tokens=(SCRAPER,),
        **dict.fromkeys(ASKED_BY_OTHERS, unasked),
    )
    backend.measured.ticked("shop", time.time(), 0.002)
    web = Web(backend, bound_socket("127.0.0.1", 0))
    thread = threading.Thread(target=web.run)
    thread.start()
    try:
        assert web.wait_serving(10.0)
        yield web.url.removeprefix("http://")
    finally:
        web.stop()
        thread.join()


@pytest.fixture
def prometheus(orchestrator: str, tmp_path: Path) -> Iterator[str]:
    """One that scrapes it each second with a viewer's token; its URL."""
    found = shutil.which("prometheus") or str(fetch(("prometheus",), closure=False) / "usr/bin/prometheus")
    scrape = {
        "job_name": "kembar",
        "authorization": {"credentials": "scrape-secret"},
        "static_configs": [{"targets": [orchestrator]}],
    }
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES_FILE)],
        "scrape_configs": [scrape],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        found,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://{address}/api/v1"
    finally:
        process.terminate()
        process.wait(30)


def answer(url: str) -> Any:
    with urlopen(url, timeout=30) as response:  # loopback
        return json.loads(response.read())["data"]


def wait_for(ask: Any) -> Any:
    """The first answer that is not empty."""
    until = time.monotonic() + READY_S
    while True:
        try:
            if found := ask():
                return found
        except OSError:
            assert time.monotonic() < until, "Prometheus does not answer"
        assert time.monotonic() < until, "not within its time"
        time.sleep(0.2)


def test_prometheus_takes_the_metrics_and_its_rules_judge_them(prometheus):
    def value(query: str) -> list[Any]:
        return answer(f"{prometheus}/query?query={quote(query)}")["result"]

    def rules() -> dict[str, dict[str, Any]]:
        """None of them before all have been judged."""
        judged = answer(f"{prometheus}/rules")["groups"][0]["rules"]
        return {one["name"]: one for one in judged} if all(one["lastEvaluation"] > "0002" for one in judged) else {}

    def judged_targets() -> list[dict[str, Any]]:
        """What was scraped can be asked for before its target is said to be well."""
        found: list[dict[str, Any]] = answer(f"{prometheus}/targets")["activeTargets"]
        return [one for one in found if one["health"] != "unknown"]

    (epoch,) = wait_for(lambda: value("kembar_epoch"))
    assert (epoch["value"][1], epoch["metric"]["cluster"]) == ("7", "shop")
    (target,) = wait_for(judged_targets)
    assert (target["health"], target["lastError"]) == ("up", "")
    assert value('kembar_cluster_state{state="no_primary"} == 1')
    alerts = wait_for(lambda: (found := rules()) and found["KembarNoWritablePrimary"]["state"] != "inactive" and found)
    assert {one["health"] for one in alerts.values()} == {"ok"}, [one.get("lastError") for one in alerts.values()]
    assert alerts["KembarDown"]["state"] == alerts["KembarNoLeader"]["state"] == "inactive"
