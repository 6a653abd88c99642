"""The description of the API is what the API does: each call of the table by each role, each answer by its shape."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from carrier import Carrier
from kept_pairs import OVER, returned
from openapi_spec_validator import validate
from pairs import DB_B
from test_api import CHANGE, MOVE, one

from monitoring.app import application
from monitoring.calls import CALLS, CLUSTER, Call
from monitoring.openapi import openapi
from monitoring.problems import MEANINGS, STATUS
from monitoring.shapes import ProblemDocument
from orchestrator.core.access import AccessRole, Token, Tokens
from orchestrator.core.requests import Kind, Request

PEOPLE = {"": None, "vera": AccessRole.VIEWER, "olga": AccessRole.OPERATOR, "adam": AccessRole.ADMIN}
BODIES = {
    "operations": MOVE,
    "policy/reconcile": CHANGE,
    "config": {"set": {"preferred": "db-b"}, "reason": "it has the faster disks"},
    "nodes/{node}/maintenance": {"reason": "disk swap"},
    "pause": {"for": "30m", "reason": "disk swap"},
    "notes": {"text": "new disks in db-b", "severity": "warning"},
    "alerts/test": {"channel": "webhook", "reason": "does it ring?"},
    "tokens": {"name": "ines", "role": "viewer", "reason": "on call"},
}
IDS = {"incidents": "7", "reconcile": "7", "operations": "1", "tokens": "ines"}
NOT_THERE = {"alerts/test": 404}  # a pair without channels: whoever may ask is told so
READ = [call for call in CALLS if call.media == "application/json"]


def carrier_for(call: Call) -> Carrier:
    """With something there to be seen."""
    asked = Request("1", Kind.SWITCHOVER, DB_B, "patch", "olga", 7)
    snapshot = replace(returned(), requests={"1": asked} if call.method == "GET" else {})
    kept = Tokens((Token("ines", AccessRole.VIEWER, "0" * 64),)) if call.method == "DELETE" else Tokens()
    return Carrier(snapshot, reports={7: OVER}, kept_tokens=kept)


def asked(call: Call, who: str, **more: str):
    place = call.path.removeprefix(CLUSTER).strip("/")
    folder = place.partition("/")[0]
    path = call.path.replace("{cluster}", "shop").replace("{id}", IDS.get(folder, "")).replace("{name}", "ines")
    path = path.replace("{node}", "db-b")
    body = BODIES[place] if call.body is not None else None
    if_match = {"If_Match": '"3"' if place in ("policy/reconcile", "config") else '"7"'} if call.if_match else {}
    carrier = carrier_for(call)
    return (*one(carrier, call.method, path, who, body, **if_match, **more), carrier)


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("call", READ, ids=lambda call: f"{call.method} {call.path}")
def test_each_role_may_what_the_description_says(call, who):
    status, _, body, carrier = asked(call, who)
    role = PEOPLE[who]
    if call.role is None or (role is not None and role.covers(call.role)):
        missing = NOT_THERE.get(call.path.removeprefix(f"{CLUSTER}/"))
        assert status == (missing or call.status), body
        (ProblemDocument if missing else call.answer).model_validate(body)
    else:
        assert (status, body["type"]) == (
            (401, "/problems/unauthenticated") if role is None else (403, "/problems/forbidden")
        )
        assert not (carrier.submitted or carrier.pauses or carrier.kept_tokens.tokens[1:])
        assert carrier.policy_version == 3


@pytest.mark.parametrize("call", [one for one in READ if not one.changes], ids=lambda call: call.path)
def test_what_a_query_does_not_know_is_refused(call):
    """A misspelt name that is ignored would show something else than was asked for."""
    path = call.path.replace("{cluster}", "shop").replace("{id}", "7").replace("{node}", "db-b")
    status, _, body = one(carrier_for(call), "GET", f"{path}?afer=3", "adam")
    assert (status, body["type"], body["errors"][0]["pointer"]) == (400, "/problems/invalid-request", "?afer")


def test_reading_changes_nothing():
    assert {call.method for call in CALLS} == {"GET", "POST", "PUT", "PATCH", "DELETE"}
    assert all(call.body is None and not call.if_match for call in CALLS if not call.changes)
    assert all(call.role in (AccessRole.OPERATOR, AccessRole.ADMIN) for call in CALLS if call.changes)


def test_the_description_is_one_and_is_for_everybody():
    status, _, body = one(Carrier(), "GET", "/openapi.json")
    assert status == 200
    assert body == json.loads(json.dumps(openapi()))
    validate(body)
    described = {(method.upper(), path) for path, one in body["paths"].items() for method in one}
    assert described == {(call.method, call.path) for call in CALLS}
    begin = body["paths"][f"{CLUSTER}/operations"]["post"]
    schema = body["components"]["schemas"]["OperationBody"]
    assert schema["additionalProperties"] is False and "reason" in schema["required"]
    assert {"409", "412", "422", "428"} <= set(begin["responses"])


def test_each_problem_says_what_it_means():
    assert set(MEANINGS) == set(STATUS)
    for name in STATUS:
        status, _, body = one(Carrier(), "GET", f"/problems/{name}")
        assert (status, body["type"], body["status"]) == (200, f"/problems/{name}", STATUS[name])
    assert one(Carrier(), "GET", "/problems/none")[0] == 404


def test_every_path_of_the_api_is_described():
    routes = application(Carrier().backend()).router.routes()
    found = {(one.method, one.resource.canonical) for one in routes if one.resource is not None}
    api = {(method, path) for method, path in found if path.startswith("/api/") and method != "HEAD"}
    assert api == {(call.method, call.path) for call in CALLS if call.path.startswith("/api/")}
