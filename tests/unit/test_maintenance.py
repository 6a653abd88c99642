"""A node under maintenance is promoted by nobody: by the rules, on request, and as the API and the command line say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from carrier import Carrier
from click.testing import CliRunner, Result
from pairs import DB_A, DB_B, STEADY, healthy
from test_api import one
from test_cli import bare, served  # noqa: F401 - a fixture of every test here

from orchestrator.cli.main import main
from orchestrator.core.admission import admit
from orchestrator.core.mergepolicy import Changed
from orchestrator.core.model import Policy
from orchestrator.core.requests import Kind, Request
from orchestrator.core.rules import decide, waiting
from tests.builders import seen, situation

NODE = "/api/v1/clusters/shop/nodes"
MAINTAINED = Policy(maintenance=(DB_B,), maintained={DB_B: Changed("olga", "disk swap")})


def test_the_certificate_of_a_node_that_is_not_heard_is_withdrawn_too():
    """Its agent may be stopped first, and its mysqld be back, certified, while somebody opens the host."""
    s = situation(seen(DB_B, report_age_s=60.0), policy=MAINTAINED)
    decision = decide(s)
    assert (decision.rule.id, decision.cluster.promotable) == ("U3", None)


@pytest.mark.parametrize("certified", [True, False])
def test_a_lost_primary_is_waited_for_and_the_wait_says_what_ends_it(certified):
    lost = seen(DB_A, report_age_s=60.0, lease_age_s=60.0)
    kept = {} if certified else {"promotable": None}
    s = situation(lost, seen(DB_B, receiver_connected=False), policy=MAINTAINED, **kept)
    rule = decide(s).rule
    assert rule is None or rule.id in ("U3", "U1")
    assert "kembar maintenance off db-b ends it" in waiting(s)


@pytest.mark.parametrize("kind", [Kind.SWITCHOVER, Kind.FAILOVER])
def test_no_request_promotes_it(kind):
    request = Request("1", kind, DB_B, "now", "olga", situation().cluster.epoch)
    failed = admit(request, situation(policy=MAINTAINED)).failed
    assert any(one.startswith("maintenance: db-b is under maintenance") for one in failed)
    assert not any(one.startswith("maintenance") for one in admit(request, situation()).failed)


def test_the_primary_cannot_be_under_maintenance():
    carrier = Carrier()
    answer = one(carrier, "PUT", f"{NODE}/db-a/maintenance", "olga", {"reason": "x"}, If_Match='"7"')
    assert (answer[0], answer[2]["failed_checks"]) == (422, ["primary: db-a is the primary"])
    assert carrier.policy_version == 3
    assert one(carrier, "PUT", f"{NODE}/db-c/maintenance", "olga", {"reason": "x"}, If_Match='"7"')[0] == 404
    assert one(carrier, "PUT", f"{NODE}/db-b/maintenance", "olga", {"reason": "x"}, If_Match='"6"')[0] == 412
    assert one(carrier, "PUT", f"{NODE}/db-b/maintenance", "olga", {"reason": " "}, If_Match='"7"')[0] == 400


def test_it_is_in_force_only_once_the_record_names_no_heir():
    """Before that a failover may still begin: whoever stops the node then stops the new primary."""
    carrier = Carrier()
    path = f"{NODE}/db-b/maintenance"
    put = one(carrier, "PUT", path, "olga", {"reason": "disk swap"}, If_Match='"7"')[2]
    assert put == {"node": "db-b", "active": True, "in_force": False, "actor": "olga", "reason": "disk swap"}
    carrier.snapshot = replace(carrier.snapshot, cluster=replace(STEADY, promotable=None))
    assert one(carrier, "GET", path, "vera")[2]["in_force"] is True
    assert one(carrier, "DELETE", path, "olga", If_Match='"7"')[2]["active"] is False
    assert (carrier.snapshot.policy.maintenance, carrier.snapshot.policy.maintained) == ((), {})


class Led(Carrier):
    """With a leader that obeys the policy."""

    def put_policy(self, cluster: str, policy: Policy, version: int) -> None:
        super().put_policy(cluster, policy, version)
        promotable = None if policy.maintenance else STEADY.promotable
        self.snapshot = replace(self.snapshot, cluster=replace(STEADY, promotable=promotable))


def run(carrier: Carrier, tmp_path: Path, *args: str) -> Result:
    with served(carrier) as url:
        token, client = tmp_path / "token", tmp_path / "client.yaml"
        token.write_text("olga-secret\n")
        client.write_text(f"endpoints: ['{url}']\ntoken_file: {token}\n")
        return CliRunner().invoke(main, ["maintenance", args[0], "-c", str(client), *args[1:]])


def test_on_waits_until_it_is_in_force_and_off_ends_it(tmp_path):
    carrier = Led()
    result = run(carrier, tmp_path, "on", "db-b", "--reason", "disk swap", "--yes")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (
        0, "db-b is under maintenance: nothing promotes it, it may be stopped",
    )  # fmt: skip
    assert run(carrier, tmp_path, "off", "db-b").exit_code == 0
    assert carrier.snapshot.policy.maintenance == ()


def test_one_that_is_not_in_force_in_time_says_so(tmp_path):
    result = run(Carrier(), tmp_path, "on", "db-b", "--reason", "x", "--yes", "--wait", "0")
    assert (result.exit_code, "do not stop it" in result.stderr) == (7, True)


def test_without_a_person_nothing_begins(tmp_path):
    carrier = Carrier()
    assert run(carrier, tmp_path, "on", "db-b", "--reason", "x").exit_code == 5
    assert run(carrier, tmp_path, "on", "db-b", "--reason", "x", "--dry-run", "-o", "json").exit_code == 0
    assert run(carrier, tmp_path, "on", "db-a", "--reason", "x", "--yes").exit_code == 5
    assert run(carrier, tmp_path, "on", "db-c", "--reason", "x", "--yes").exit_code == 2
    assert carrier.policy_version == 3


def test_status_shows_who_and_why(tmp_path):
    with served(Carrier(healthy(policy=MAINTAINED), anonymous=True)) as url:
        shown = json.loads(CliRunner().invoke(main, ["status", "--endpoint", url, "-o", "json"]).stdout)
    assert shown["nodes"][1]["maintenance"] == {"actor": "olga", "reason": "disk swap", "in_force": False}
    assert shown["nodes"][1]["not_promotable_because"] == "maintenance"
    assert shown["next"]["command"] == "kembar maintenance off db-b"
