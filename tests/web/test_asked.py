"""The API of the lab, on real records: whatever it is asked it answers, and each role may what is described."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.files import Facts
from lab.stand import Stand, wait_for
from monitoring.calls import CALLS, Call
from orchestrator.core.access import AccessRole
from tests.asking import ask_everything
from tests.lab.story import Story

pytestmark = pytest.mark.lab

TOKENS = "/api/v1/clusters/shop/tokens"
LONG_AGO = '"0"'  # of no record: what is admitted goes no further


def asked(
    facts: Facts, method: str, path: str, token: str, body: Mapping[str, object] | None = None
) -> tuple[int, Any]:
    """Status and document."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "If-Match": LONG_AGO}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{facts.url}{path}", data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def people(stand: Stand) -> Iterator[dict[AccessRole, str]]:
    """A token of each role, as the cluster keeps it."""
    facts, found = stand.facts(), {}
    for role in AccessRole:
        status, made = asked(facts, "POST", TOKENS, facts.token, {"name": f"a-{role}", "role": role, "reason": "test"})
        assert status == 201, made
        found[role] = made["token"]
    for token in found.values():
        known_to_all(stand, token)
    yield found
    for role, token in found.items():
        ends_with(200, facts, "DELETE", f"{TOKENS}/a-{role}", facts.token)
        ends_with(401, facts, "GET", "/api/v1/clusters", token)


def known_to_all(stand: Stand, token: str) -> None:
    """Each orchestrator knows it: whoever did not make it sees it a moment later."""
    facts, knowing = stand.facts(), set[str]()
    members = {node.name for node in stand.topology.members("orchestrator")}

    def all_know() -> bool:
        there = urllib.request.Request(f"{facts.url}/api/v1/clusters", headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(there, timeout=10) as answer:
                knowing.add(answer.headers["X-Kembar-Instance"])
        except urllib.error.HTTPError:
            return False
        return knowing == members

    wait_for(all_know, 90.0, lambda: f"only {sorted(knowing)} know the token", every_s=0.5)


def ends_with(status: int, facts: Facts, method: str, path: str, token: str) -> None:
    """Once so many questions as there have been are allowed again, and whoever answers has seen the last change."""
    wait_for(lambda: asked(facts, method, path, token)[0] == status, 90.0, f"{method} {path} does not get {status}")


@pytest.mark.parametrize("role", AccessRole)
@pytest.mark.parametrize("call", [one for one in CALLS if one.changes], ids=lambda call: f"{call.method} {call.path}")
def test_each_role_may_what_the_description_says(
    stand: Stand, people: Mapping[AccessRole, str], call: Call, role: AccessRole
) -> None:
    path = call.path.format(cluster="shop", name="nobody", node="nobody")
    status, said = asked(stand.facts(), call.method, path, people[role], {} if call.body else None)
    assert call.role is not None
    if role.covers(call.role):
        assert status in (400, 404, 412), said  # what it lacks is named: the role is not
    else:
        assert (status, said["type"]) in ((403, "/problems/forbidden"), (400, "/problems/invalid-request")), said
        assert status == 403 or call.body is not None


@pytest.mark.parametrize("call", [one for one in CALLS if not one.changes], ids=lambda call: call.path)
def test_who_may_look_sees_what_is_described(stand: Stand, people: Mapping[AccessRole, str], call: Call) -> None:
    if call.media != "application/json":
        return
    found = stand.snapshot()
    assert found is not None
    path = call.path.format(cluster="shop", id="none", node="db-a")
    status, said = asked(stand.facts(), "GET", path, people[call.role or AccessRole.VIEWER])
    if "{id}" in call.path:
        assert (status, said["type"]) == (404, "/problems/not-found")
    else:
        assert status == 200
        call.answer.model_validate(said)


def test_whatever_is_asked_is_answered(story: Story, tmp_path: Path) -> None:
    facts = story.stand.facts()
    ask_everything(facts.url, facts.token, tmp_path)
    if story.view()["auto_failover"] == "paused":
        assert story.kembar("resume")[0] == 0
    story.healthy()
