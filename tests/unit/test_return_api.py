"""Returns over the API: shown as they are known, decided by operators, and refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from carrier import Carrier
from kept_pairs import FIRST, KEPT, OVER, STATEMENT, returned
from pairs import DB_B, healthy
from test_api import SHOP, one, served

from orchestrator.core.kept import Open
from orchestrator.core.reconcile import Merge
from orchestrator.core.requests import Kind, PreCheck, RejoinPath, Request, RequestState
from orchestrator.core.returning import Stage

OPERATIONS = f"{SHOP}/operations"
DISCARD = {"kind": "reconcile_discard", "returning": 7, "gtid": FIRST, "seen": "v1", "reason": "known"}
APPLY = DISCARD | {"kind": "reconcile_apply", "edits": {"1": {"bal": "180", "note": None}}}
APPROVE = {"kind": "reconcile_approve", "returning": 7, "reason": "looked at"}
REJOIN = {"kind": "rejoin", "to": "db-b", "path": "clone", "reason": "disk replaced"}


def test_returns_are_listed_newest_first_with_what_is_open():
    under_way = replace(OVER, id=9, stage=Stage.REJOIN, settled=())
    carrier = Carrier(returned(under_way), reports={7: OVER})
    status, _, body = one(carrier, "GET", f"{SHOP}/reconcile", "vera")
    assert (status, [row["id"] for row in body["returns"]], body["open"]) == (200, [9, 7], 3)
    assert [row["undecided"] for row in body["returns"]] == [0, 3]
    assert one(Carrier(), "GET", f"{SHOP}/reconcile", "vera")[2] == {"returns": [], "open": 0}


def test_one_return_says_why_how_long_and_what_was_decided():
    status, headers, body = one(Carrier(returned(), reports={7: OVER}), "GET", f"{SHOP}/reconcile/7", "vera")
    assert (status, headers["ETag"], body["node"], body["rung"]) == (200, '"7.41"', DB_B, "rewind")
    assert body["reasons"] == ["truncate: mysqld has been started since"]
    assert [(one["stage"], one["at"][11:19], one["took_s"]) for one in body["stages"]] == [
        ("detect", "18:58:20", 0.25),
        ("bundle", "18:58:20", 3.75),
        ("closed", "18:58:24", None),
    ]
    assert (body["sums"], body["verdicts"]) == ("5f2c", {"merged": 5, "quarantined": 3})
    assert [(one["choice"], one["actor"], one["at"][:19]) for one in body["settled"]] == [
        ("discard", "adam", "2026-11-24T18:58:30")
    ]
    assert body["next"] == f"kembar reconcile discard 7 --gtid {FIRST} --reason TEXT"


def test_a_kept_row_stands_there_in_its_three_versions():
    _, _, body = one(Carrier(returned()), "GET", f"{SHOP}/reconcile/7", "vera")
    first, second, statement = body["kept"]
    (row,) = first["rows"]
    assert [row[name]["bal"] for name in ("base", "left", "present")] == ["200.00", "207.00", "150.00"]
    assert row["left"]["note"] == "" and row["base"]["note"] is None
    assert (len(second["rows"]), second["row_count"], second["after"], second["commands"]) == (3, 5, [FIRST], [])
    assert statement["commands"] == [f"kembar reconcile discard 7 --gtid {STATEMENT} --reason TEXT"]
    _, _, body = one(Carrier(returned()), "GET", f"{SHOP}/reconcile/7?rows=all", "vera")
    assert [len(kept["rows"]) for kept in body["kept"]] == [1, 5, 0]


def test_what_is_decided_after_the_end_is_read_from_the_report():
    """The record of the last return is not written any more once it is over."""
    later = replace(OVER, settled=(*OVER.settled, replace(OVER.settled[0], gtid=FIRST)))
    _, _, body = one(Carrier(returned(), reports={7: later}), "GET", f"{SHOP}/reconcile/7", "vera")
    assert [one["gtid"] for one in body["settled"]][-1] == FIRST


@pytest.mark.parametrize("path", ["reconcile/8", "reconcile/present", "reconcile/-1", "reconcile/7.0"])
def test_there_is_no_such_return(path):
    status, _, body = one(Carrier(returned()), "GET", f"{SHOP}/{path}", "vera")
    assert (status, body["type"]) == (404, "/problems/not-found")


def test_only_all_rows_can_be_asked_for():
    assert one(Carrier(returned()), "GET", f"{SHOP}/reconcile/7?rows=some", "vera")[0] == 400


@pytest.mark.parametrize("body", [DISCARD, APPLY, APPROVE, REJOIN], ids=lambda body: body["kind"])
def test_viewers_read_and_operators_decide(body):
    found = {}
    for who in ("", "vera", "olga", "adam", "other"):
        read = one(Carrier(returned()), "GET", f"{SHOP}/reconcile/7", who)[0]
        found[who] = read, one(Carrier(returned()), "POST", OPERATIONS, who, body, If_Match='"7"')[0]
    assert found == {"": (401, 401), "vera": (200, 403), "olga": (200, 202), "adam": (200, 202), "other": (403, 403)}


def test_a_choice_is_a_record_for_the_leader():
    carrier = Carrier(returned())
    assert one(carrier, "POST", OPERATIONS, "olga", APPLY, If_Match='"7"')[0] == 202
    assert one(carrier, "POST", OPERATIONS, "olga", REJOIN, If_Match='"7"')[0] == 202
    choice, rejoin = carrier.submitted
    assert (choice.kind, choice.returning, choice.gtid, choice.seen) == (Kind.RECONCILE_APPLY, 7, FIRST, "v1")
    assert choice.edits == {"1": {"bal": "180", "note": None}}
    assert (rejoin.kind, rejoin.to, rejoin.path) == (Kind.REJOIN, DB_B, RejoinPath.CLONE)


def test_a_choice_needs_the_epoch_that_was_seen():
    assert one(Carrier(returned()), "POST", OPERATIONS, "olga", DISCARD)[0] == 428
    assert one(Carrier(returned()), "POST", OPERATIONS, "olga", DISCARD, If_Match='"6"')[0] == 412


def test_a_choice_holds_up_no_move_and_no_move_holds_it_up():
    pending = Request("r1", Kind.RECONCILE_DISCARD, DB_B, "x", "adam", 7, RequestState.RUNNING, returning=7, gtid=FIRST)
    move = {"kind": "switchover", "to": "db-b", "reason": "patch"}
    carrier = Carrier(returned(requests={"r1": pending}))
    assert one(carrier, "POST", OPERATIONS, "olga", move, If_Match='"7"')[0] == 202
    moving = Request("r2", Kind.SWITCHOVER, DB_B, "x", "adam", 7, RequestState.RUNNING)
    assert (
        one(Carrier(returned(requests={"r2": moving})), "POST", OPERATIONS, "olga", DISCARD, If_Match='"7"')[0] == 202
    )


def test_the_same_key_for_other_values_is_refused():
    carrier = Carrier(returned())

    async def talk(call):
        first = await call("POST", OPERATIONS, "olga", APPLY, If_Match='"7"', Idempotency_Key="k")
        again = await call("POST", OPERATIONS, "olga", APPLY, If_Match='"7"', Idempotency_Key="k")
        other = await call(
            "POST", OPERATIONS, "olga", APPLY | {"edits": {"1": {"bal": "9"}}}, If_Match='"7"', Idempotency_Key="k"
        )
        return first[0], again[1]["Idempotency-Replayed"], other[0]

    assert served(carrier, talk) == (202, "true", 422)


BAD = {
    "no return": (DISCARD | {"returning": 0}, "returning=0"),
    "a return below zero": (DISCARD | {"returning": -1}, "returning"),
    "no transaction": (DISCARD | {"gtid": ""}, "gtid"),
    "a transaction of an approval": (APPROVE | {"gtid": FIRST}, "gtid"),
    "values for what is discarded": (DISCARD | {"edits": {"1": {"bal": "1"}}}, "edits"),
    "values that are no text": (APPLY | {"edits": {"1": {"bal": 1.5}}}, "edits"),
    "a path of a choice": (DISCARD | {"path": "clone"}, "path"),
    "a path that there is not": (REJOIN | {"path": "rewind"}, "path"),
    "a return of a move": ({"kind": "switchover", "reason": "x", "returning": 7}, "returning=7"),
    "no reason": (DISCARD | {"reason": " "}, "reason"),
    "a key that is not known": (DISCARD | {"gtids": []}, "gtids"),
}


@pytest.mark.parametrize(("body", "named"), BAD.values(), ids=BAD)
def test_a_body_that_does_not_fit_names_the_field(body, named):
    carrier = Carrier(returned())
    status, _, answer = one(carrier, "POST", OPERATIONS, "olga", body, If_Match='"7"')
    assert (status, answer["type"]) == (400, "/problems/invalid-request")
    assert named in answer["detail"]
    assert carrier.submitted == []


def test_a_failed_check_is_refused_with_what_unblocks_it():
    carrier = Carrier(returned(), refusals=(PreCheck("order", False, f"decide {FIRST} first"),))
    status, _, body = one(carrier, "POST", OPERATIONS, "olga", DISCARD, If_Match='"7"')
    assert (status, body["failed_checks"]) == (422, [f"order: decide {FIRST} first"])


def test_the_view_names_everything_that_waits_for_a_person():
    waiting = replace(OVER, id=9, stage=Stage.REJOIN, merge=Merge.WAITING, waits="10001 transactions are too many")
    _, _, body = one(Carrier(returned(waiting)), "GET", SHOP, "vera")
    assert [line["command"] for line in body["returns"]["waits"]] == [
        "kembar reconcile apply 9 --reason TEXT",
        "kembar reconcile show 7",
    ]
    stopped = replace(OVER, id=9, stage=Stage.STOPPED, stopped="no space")
    _, _, body = one(Carrier(returned(stopped, kept=Open())), "GET", SHOP, "vera")
    (line,) = body["returns"]["waits"]
    assert line == {
        "text": "reconcile #9: the return of db-b stopped: no space",
        "command": "kembar rejoin db-b --reason TEXT",
        "runbook": "/runbooks/return-stopped",
    }
    _, _, body = one(Carrier(returned(kept=Open(5, KEPT.transactions))), "GET", SHOP, "vera")
    assert "2 transactions more" in body["returns"]["waits"][-1]["text"]


def test_the_page_shows_both_versions_and_the_commands():
    _, _, page = one(Carrier(returned(), anonymous=True), "GET", "/")
    assert 'id="reconcile"' in page and "207.00" in page and "150.00" in page
    assert f"kembar reconcile discard 7 --gtid {FIRST} --reason TEXT" in page
    assert "it is a statement (CREATE TABLE)" in page
    assert 'id="returns"' not in one(Carrier(healthy(), anonymous=True), "GET", "/")[2]
