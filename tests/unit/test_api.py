"""The API only shows snapshots and puts records; who may, which epoch was seen, and repeats are its business."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient, TestServer
from carrier import Carrier
from pairs import DB_A, DB_B, STEADY, healthy, with_reports

from monitoring.app import application
from orchestrator.core.errors import UnknownOutcome
from orchestrator.core.mergepolicy import Changed, Limits, MergePolicy
from orchestrator.core.model import Policy
from orchestrator.core.requests import Kind, PreCheck, Request, RequestState
from orchestrator.core.tablerules import TableRule
from orchestrator.core.verifying import Outcome, Verifying
from orchestrator.core.wire import plain

API = "/api/v1/clusters"
SHOP = f"{API}/shop"
NOBODY = {"actor": "", "reason": ""}
MOVE = {"kind": "switchover", "to": "db-b", "reason": "kernel patch"}


def served(carrier, talk):
    """Run `talk(call)` against the real application; a call gives (status, headers, body)."""

    async def run():
        async with TestClient(TestServer(application(carrier.backend()))) as client:

            async def call(method, path, who="", body=None, **headers):
                headers = {name.replace("_", "-"): value for name, value in headers.items()}
                if who:
                    headers["Authorization"] = f"Bearer {who}-secret"
                async with client.request(method, path, json=body, headers=headers) as answer:
                    text = await answer.text()
                    is_json = "json" in answer.content_type
                    return answer.status, answer.headers, json.loads(text) if is_json else text

            return await talk(call)

    return asyncio.run(run())


def one(carrier, *args, **more):
    return served(carrier, lambda call: call(*args, **more))


def test_the_snapshot_with_its_etag_and_age():
    status, headers, body = one(Carrier(now_s=100.4), "GET", SHOP, "vera")
    assert (status, headers["ETag"], body["state"], body["at"]) == (
        200,
        '"7.41"',
        "healthy",
        "2026-11-24T18:59:04.120Z",
    )
    assert (headers["X-Kembar-Epoch"], headers["X-Kembar-Age"], headers["X-Kembar-Instance"]) == (
        "7",
        "0.500",
        "witness",
    )


def test_clusters_are_listed():
    _, _, body = one(Carrier(), "GET", API, "vera")
    assert [(row["cluster"], row["state"]) for row in body["clusters"]] == [("shop", "healthy")]
    _, _, body = one(Carrier(), "GET", API, "other")
    assert body["clusters"] == [], "a token for another cluster does not see this one"


def test_alive_is_not_ready():
    """An orchestrator that lost ZooKeeper must not be asked, yet needs no restart."""
    carrier = Carrier(healthy(connected=False))
    assert one(carrier, "GET", "/healthz")[0] == 200
    assert one(carrier, "GET", "/readyz")[0] == 503
    assert one(Carrier(), "GET", "/readyz")[0] == 200
    assert one(Carrier(now_s=130.0), "GET", "/readyz")[0] == 503, "a stopped tick"


def test_history_and_timeline():
    _, _, body = one(Carrier(), "GET", f"{SHOP}/incidents", "vera")
    assert [row["id"] for row in body["incidents"]] == [7]
    _, _, body = one(Carrier(), "GET", f"{SHOP}/incidents/7", "vera")
    assert [step["phase"] for step in body["steps"]] == ["detect", "fence", "drain", "promote"]
    assert [event["type"] for event in body["events"]] == ["kembar.failover.completed"]
    assert one(Carrier(), "GET", f"{SHOP}/incidents/99", "vera")[0] == 404


def test_events_by_number_and_severity():
    _, _, body = one(Carrier(), "GET", f"{SHOP}/events?after=411", "vera")
    assert [event["id"] for event in body["events"]] == ["000412"]
    _, _, body = one(Carrier(), "GET", f"{SHOP}/events?severity=warning", "vera")
    assert [event["id"] for event in body["events"]] == ["000411"]
    assert one(Carrier(), "GET", f"{SHOP}/events?limit=many", "vera")[0] == 400


CALLS = {
    "read": ("GET", SHOP, None),
    "pre-checks": ("POST", f"{SHOP}/operations", MOVE | {"dry_run": True}),
    "switchover": ("POST", f"{SHOP}/operations", MOVE),
    "pause": ("PUT", f"{SHOP}/pause", {"for": "30m", "reason": "disk swap"}),
    "pause without end": ("PUT", f"{SHOP}/pause", {"for": "0", "reason": "disk swap"}),
    "resume": ("DELETE", f"{SHOP}/pause", None),
}
MATRIX = {
    "": (401, 401, 401, 401, 401, 401),
    "vera": (200, 200, 403, 403, 403, 403),
    "olga": (200, 200, 202, 200, 403, 200),
    "adam": (200, 200, 202, 200, 200, 200),
    "other": (403, 403, 403, 403, 403, 403),
    "gone": (401, 401, 401, 401, 401, 401),
    "nobody": (401, 401, 401, 401, 401, 401),
}


@pytest.mark.parametrize("who", MATRIX)
def test_who_may_do_what(who):
    found = []
    for method, path, body in CALLS.values():
        status, headers, answer = one(Carrier(), method, path, who, body, If_Match='"7"')
        found.append(status)
        assert status < 400 or answer["type"] in ("/problems/unauthenticated", "/problems/forbidden")
        assert (status == 401) == ("WWW-Authenticate" in headers)
    assert tuple(found) == MATRIX[who]


POLICY = f"{SHOP}/policy/reconcile"
CHANGE = {"reconcile": {"limits": {"rows": 5}, "tables": [{"match": "s.t", "policy": "skip"}]}, "reason": "small"}


def test_the_policy_of_returns_is_changed_by_an_admin_who_saw_it():
    carrier = Carrier()
    status, headers, body = one(carrier, "GET", POLICY, "vera")
    assert (status, headers["ETag"], body) == (200, '"3"', {"reconcile": plain(MergePolicy()), "changed": NOBODY})
    assert one(carrier, "PUT", POLICY, "olga", CHANGE, If_Match='"3"')[0] == 403
    assert one(carrier, "PUT", POLICY, "adam", CHANGE)[0] == 428
    stale = one(carrier, "PUT", POLICY, "adam", CHANGE, If_Match='"2"')
    assert (stale[0], stale[2]["type"]) == (412, "/problems/stale-policy")
    assert carrier.snapshot.policy.reconcile == MergePolicy()
    status, headers, body = one(carrier, "PUT", POLICY, "adam", CHANGE, If_Match='"3"')
    assert (status, headers["ETag"], body["changed"]) == (200, '"4"', {"actor": "adam", "reason": "small"})
    wanted = MergePolicy(limits=Limits(rows=5), tables=(TableRule("s.t", policy="skip"),))
    assert carrier.snapshot.policy == replace(Policy(), reconcile=wanted, changed=Changed("adam", "small"))


def test_a_policy_that_another_changed_meanwhile_is_left_as_it_is():
    carrier = Carrier()

    def another() -> None:
        carrier.policy_version += 1

    carrier.before_submit = another
    status, _, body = one(carrier, "PUT", POLICY, "adam", CHANGE, If_Match='"3"')
    assert (status, body["type"]) == (412, "/problems/stale-policy")
    assert carrier.snapshot.policy == Policy()


@pytest.mark.parametrize(
    ("section", "pointer", "said"),
    [
        ({"tables": [{"match": "s.t", "policy": "odd"}]}, "/reconcile/tables/0", "policy='odd': expected quarantine"),
        ({"limits": {"row": 1}}, "/reconcile/limits/row", "Unexpected keyword argument"),
        ({"mode": "later"}, "/reconcile/mode", "Input should be 'auto', 'plan_only' or 'off'"),
    ],
)
def test_a_policy_with_a_mistake_changes_nothing_and_says_where(section, pointer, said):
    carrier = Carrier()
    status, _, body = one(carrier, "PUT", POLICY, "adam", {"reconcile": section, "reason": "r"}, If_Match='"3"')
    assert status == 400
    (error,) = body["errors"]
    assert error["pointer"] == pointer and said in error["detail"]
    assert carrier.snapshot.policy == Policy()


def test_anonymous_may_read_only_where_the_file_says_so():
    carrier = Carrier(anonymous=True)
    assert one(carrier, "GET", SHOP)[0] == 200
    assert one(carrier, "POST", f"{SHOP}/operations", "", MOVE, If_Match='"7"')[0] == 401
    assert one(carrier, "GET", SHOP, "nobody")[0] == 401, "a wrong token is not taken for none"


def test_a_browser_login_reads_but_never_acts():
    """A browser sends Basic by itself, also when another site made it ask."""
    login = "Basic " + base64.b64encode(b"any:adam-secret").decode()
    assert one(Carrier(), "GET", "/", Authorization=login)[0] == 200
    assert one(Carrier(), "POST", f"{SHOP}/operations", "", MOVE, If_Match='"7"', Authorization=login)[0] == 401


def test_a_dry_run_shows_every_check_and_changes_nothing():
    carrier = Carrier(refusals=(PreCheck("backlog", False, "db-b has 5000 transactions to apply"),))
    _, _, body = one(carrier, "POST", f"{SHOP}/operations", "vera", MOVE | {"to": "", "dry_run": True})
    assert (body["admitted"], body["to"], [c["passed"] for c in body["checks"]]) == (False, "db-b", [True, False])
    assert carrier.submitted == []


def test_a_failed_check_is_refused_with_what_unblocks_it():
    carrier = Carrier(refusals=(PreCheck("backlog", False, "db-b has 5000 transactions to apply"),))
    status, _, body = one(carrier, "POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"')
    assert (status, body["type"]) == (422, "/problems/precheck-failed")
    assert body["failed_checks"] == ["backlog: db-b has 5000 transactions to apply"]
    assert carrier.submitted == []


def test_an_accepted_request_is_a_record_for_the_leader():
    carrier = Carrier()
    status, headers, body = one(carrier, "POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7.41"')
    (put,) = carrier.submitted
    assert (put.kind, put.to, put.reason, put.actor, put.epoch) == (Kind.SWITCHOVER, DB_B, "kernel patch", "olga", 7)
    assert (status, headers["Location"], body["state"]) == (202, f"{SHOP}/operations/{put.id}", "requested")


def test_a_stale_tab_cannot_act():
    assert one(Carrier(), "POST", f"{SHOP}/operations", "olga", MOVE)[0] == 428
    for method, path, body in (CALLS["switchover"], CALLS["pause"], CALLS["resume"]):
        status, _, answer = one(Carrier(), method, path, "olga", body, If_Match='"6"')
        assert (status, answer["type"], answer["epoch"]) == (412, "/problems/stale-epoch", 7)
        assert answer["present"]["primary"] == "db-a"


def test_a_repeat_gets_the_first_answer():
    carrier = Carrier()

    async def talk(call):
        first = await call("POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"', Idempotency_Key="k")
        carrier.carry_out(carrier.submitted[0])
        again = await call("POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"', Idempotency_Key="k")
        other = await call(
            "POST", f"{SHOP}/operations", "olga", MOVE | {"reason": "x"}, If_Match='"8"', Idempotency_Key="k"
        )
        return first, again, other

    first, again, other = served(carrier, talk)
    assert (again[0], again[1]["Idempotency-Replayed"], again[2]["id"]) == (202, "true", first[2]["id"])
    assert again[2]["state"] == "done", "although the epoch has changed meanwhile"
    assert (other[0], other[2]["type"]) == (422, "/problems/idempotency-mismatch")
    assert len(carrier.submitted) == 1


def test_a_repeat_that_names_no_node_gets_the_first_answer_too():
    carrier, asked = Carrier(), {"kind": "switchover", "reason": "kernel patch"}

    async def talk(call):
        first = await call("POST", f"{SHOP}/operations", "olga", asked, If_Match='"7"', Idempotency_Key="k")
        carrier.carry_out(carrier.submitted[0])
        return first, await call("POST", f"{SHOP}/operations", "olga", asked, If_Match='"7"', Idempotency_Key="k")

    first, again = served(carrier, talk)
    assert carrier.snapshot.cluster.primary == "db-b", "so that the other node is db-a now"
    assert (again[0], again[2]["id"], again[2]["to"]) == (202, first[2]["id"], "db-b")
    assert len(carrier.submitted) == 1


def test_a_repeat_of_a_verification_that_has_ended_gets_its_answer():
    carrier, asked = Carrier(), {"kind": "verify", "to": "db-b", "reason": "monthly"}

    async def talk(call):
        await call("POST", f"{SHOP}/operations", "olga", asked, If_Match='"7"', Idempotency_Key="k")
        ended = Verifying(carrier.submitted[0].id, 7, "olga", outcome=Outcome.EQUAL, percent=100.0)
        carrier.put(replace(carrier.submitted[0], state=RequestState.DONE, verified=ended))
        return await call("POST", f"{SHOP}/operations", "olga", asked, If_Match='"7"', Idempotency_Key="k")

    status, _, body = served(carrier, talk)
    assert (status, body["state"], len(carrier.submitted)) == (202, "done", 1)


def test_the_same_key_of_two_people_is_two_requests():
    carriers = Carrier(), Carrier()
    for carrier, who in zip(carriers, ("olga", "adam"), strict=True):
        one(carrier, "POST", f"{SHOP}/operations", who, MOVE, If_Match='"7"', Idempotency_Key="k")
    assert carriers[0].submitted[0].id != carriers[1].submitted[0].id


def test_two_operators_at_once_one_wins():
    running = Request("winner", Kind.SWITCHOVER, DB_B, "first", "adam", 7, RequestState.RUNNING)
    carrier = Carrier(healthy(requests={"winner": running}))
    status, _, body = one(carrier, "POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"')
    assert (status, body["type"], body["operation"]) == (409, "/problems/operation-running", "winner")


def test_a_pair_that_changes_between_check_and_write_refuses():
    carrier = Carrier()

    def change():
        carrier.snapshot = replace(carrier.snapshot, cluster=replace(STEADY, epoch=8))

    carrier.before_submit = change
    status, _, body = one(carrier, "POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"')
    assert (status, body["epoch"]) == (412, 8)


def test_a_lost_answer_is_read_back():
    """The write happened, its answer did not come: to repeat it would be wrong, to call it failed too."""
    carrier = Carrier(lose_answer=UnknownOutcome)
    assert one(carrier, "POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"')[0] == 202


def test_without_zookeeper_nothing_is_promised():
    status, headers, body = one(Carrier(reachable=False), "POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"')
    assert (status, headers["Retry-After"], body["type"]) == (503, "1", "/problems/coordinator-unavailable")


BODIES = {
    "no reason": ({"kind": "switchover", "reason": ""}, "/reason"),
    "a blank reason": ({"kind": "switchover", "reason": "  "}, "/reason"),
    "an unknown kind": ({"kind": "reboot", "reason": "x"}, "/kind"),
    "an unknown key": ({"kind": "switchover", "reason": "x", "too": "db-b"}, "/too"),
    "no object": ([], "/"),
}


@pytest.mark.parametrize(("body", "pointer"), BODIES.values(), ids=BODIES)
def test_a_wrong_body_is_pointed_at(body, pointer):
    status, _, answer = one(Carrier(), "POST", f"{SHOP}/operations", "olga", body, If_Match='"7"')
    assert (status, answer["errors"][0]["pointer"]) == (400, pointer)


def test_a_body_must_be_json_and_small():
    assert one(Carrier(), "POST", f"{SHOP}/operations", "olga", None, If_Match='"7"')[0] == 415
    large = MOVE | {"reason": "x" * 70_000}
    assert one(Carrier(), "POST", f"{SHOP}/operations", "olga", large, If_Match='"7"')[0] == 413


def test_an_operation_is_followed_to_its_end():
    carrier = Carrier()

    async def talk(call):
        _, headers, _ = await call("POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"')
        _, seen, _ = await call("GET", headers["Location"], "vera")
        waiting = asyncio.create_task(
            call("GET", headers["Location"] + "?wait=30s", "vera", If_None_Match=seen["ETag"])
        )
        await asyncio.sleep(0)
        carrier.carry_out(carrier.submitted[0])
        return await waiting

    _, headers, body = served(carrier, talk)
    assert (body["state"], body["ended"], body["total_ms"], headers["ETag"]) == ("done", True, 71.0, '"done.4"')
    assert [step["phase"] for step in body["phases"]] == ["fence", "drain", "promote", "vip"]


def test_what_could_be_asked_for_says_why_not():
    refusal = PreCheck("backlog", False, "db-b has 5000 transactions to apply")

    def found(carrier, who):
        rows = one(carrier, "GET", f"{SHOP}/actions", who)[2]["actions"]
        return {row["kind"]: row for row in rows}

    ready = found(Carrier(), "olga")
    assert (ready["switchover"]["enabled"], ready["switchover"]["to"]) == (True, "db-b")
    assert ready["failover"]["disabled_reasons"] == ["this needs role admin, olga has operator"]
    assert found(Carrier(), "adam")["failover"]["enabled"]
    late = found(Carrier(refusals=(refusal,)), "olga")["switchover"]
    assert (late["enabled"], late["disabled_reasons"]) == (False, ["backlog: db-b has 5000 transactions to apply"])
    assert found(Carrier(now_s=130.0), "olga")["switchover"]["disabled_reasons"] == ["what is shown may be long past"]


def test_operations_are_listed():
    carrier = Carrier()

    async def talk(call):
        before = await call("GET", f"{SHOP}/operations", "vera")
        await call("POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"')
        return before[2], (await call("GET", f"{SHOP}/operations", "vera"))[2]

    before, after = served(carrier, talk)
    assert before == {"operations": []}
    assert [(row["kind"], row["ended"]) for row in after["operations"]] == [("switchover", False)]


def test_a_wait_has_an_end():
    """The clock of this case jumps 20 s with each reading, so nothing is waited for in truth."""
    asked = Request("1", Kind.SWITCHOVER, DB_B, "patch", "olga", 7)
    carrier = Carrier(healthy(requests={"1": asked}), tick_s=20.0)
    _, _, body = one(carrier, "GET", f"{SHOP}/operations/1?wait=30s", "vera")
    assert (body["state"], body["ended"]) == ("requested", False)
    assert one(carrier, "GET", f"{SHOP}/operations/2", "vera")[0] == 404
    assert one(carrier, "GET", f"{SHOP}/operations/1?wait=soon", "vera")[0] == 400


def test_pause_and_resume_are_records():
    carrier = Carrier()
    one(carrier, "PUT", f"{SHOP}/pause", "olga", {"for": "30m", "reason": "disk swap"}, If_Match='"7"')
    one(carrier, "DELETE", f"{SHOP}/pause", "adam", If_Match='"7"')
    assert [(p.active, p.for_s, p.actor) for p in carrier.pauses] == [(True, 1800.0, "olga"), (False, 0.0, "adam")]
    assert one(carrier, "PUT", f"{SHOP}/pause", "olga", {"for": "25h", "reason": "x"}, If_Match='"7"')[0] == 403


def test_strict_headers_are_on_every_response():
    for path in ("/", SHOP, "/static/page.css", "/static/page.js", "/nowhere", f"{API}/other"):
        _, headers, _ = one(Carrier(), "GET", path, "adam")
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'"), path
        assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store"), path


def test_unknown_places_are_problems():
    for method, path, status in (("GET", "/nowhere", 404), ("DELETE", SHOP, 405), ("GET", f"{API}/other", 404)):
        found, headers, body = one(Carrier(), method, path, "adam")
        assert (found, headers["Content-Type"].split(";")[0]) == (status, "application/problem+json")
        assert body["instance"] == path


def test_the_page_says_the_verdict_in_title_and_text():
    status, _, text = one(Carrier(), "GET", "/", "vera")
    assert status == 200
    assert "<title>[ok] shop: writes OK on db-a (VIP 192.0.2.100), db-b is ready to take over</title>" in text
    assert '<meta http-equiv="refresh" content="5">' in text
    assert one(Carrier(now_s=130.0), "GET", "/c/shop", "vera")[2].count("STALE") == 5, "the data, and both nodes twice"


def test_the_old_primary_is_named_in_its_history():
    _, _, text = one(Carrier(), "GET", "/c/shop", "vera")
    assert 'FAILOVER <a href="/c/shop/incidents/7">#7</a>' in text
    assert "mysqld on db-b exited" in text
    assert DB_A in text


VERIFY = {"kind": "verify", "reason": "before the move", "tables": ["shop.acct"]}


def test_a_verification_holds_up_nothing_but_another_one():
    running = Request("first", Kind.VERIFY, DB_B, "all of it", "adam", 7, RequestState.RUNNING)
    carrier = Carrier(healthy(requests={"first": running}))
    assert one(carrier, "POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"')[0] == 202
    carrier = Carrier(healthy(requests={"first": running}))
    status, _, body = one(carrier, "POST", f"{SHOP}/operations", "olga", VERIFY, If_Match='"7"')
    assert (status, body["operation"]) == (409, "first")
    moving = Request("move", Kind.SWITCHOVER, DB_B, "kernel patch", "adam", 7, RequestState.RUNNING)
    carrier = Carrier(healthy(requests={"move": moving}))
    assert one(carrier, "POST", f"{SHOP}/operations", "olga", VERIFY, If_Match='"7"')[0] == 202
    assert carrier.submitted[0].tables == ("shop.acct",)


def test_how_far_a_verification_is_can_be_waited_for():
    running = Request("v", Kind.VERIFY, DB_B, "all of it", "adam", 7, RequestState.RUNNING)
    told = Verifying("v", 7, "adam", outcome=Outcome.RUNNING, doing="waiting: the standby lags", percent=3.0)
    carrier = Carrier(with_reports(standby={"verifying": told}, requests={"v": running}), tick_s=1.0)

    async def talk(call):
        first = await call("GET", f"{SHOP}/operations/v", "vera")
        same = await call("GET", f"{SHOP}/operations/v?wait=5s", "vera", If_None_Match=first[1]["ETag"])
        standby = replace(carrier.snapshot.reports[DB_B].value, verifying=replace(told, percent=4.0))
        reports = {**carrier.snapshot.reports, DB_B: replace(carrier.snapshot.reports[DB_B], value=standby)}
        carrier.snapshot = replace(carrier.snapshot, reports=reports)
        other = await call("GET", f"{SHOP}/operations/v?wait=60s", "vera", If_None_Match=first[1]["ETag"])
        return first, same, other

    before = carrier.now_s
    first, same, other = served(carrier, talk)
    assert (first[2]["progress"]["percent"], same[1]["ETag"]) == (3.0, first[1]["ETag"])
    assert (other[2]["progress"]["percent"], other[1]["ETag"] != first[1]["ETag"]) == (4.0, True)
    assert carrier.now_s - before < 30, "what is new is answered at once"
