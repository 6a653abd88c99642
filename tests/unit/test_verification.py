"""A verification from its request to its end, and what a difference that it finds means for the pair."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_telling import sight

from agents.look import Sight
from agents.reconcile.swept import SweptFolder
from agents.reconcile.verifier import Verifier
from agents.tasks import due
from orchestrator.core.admission import admit
from orchestrator.core.analysis import Finding, analyze
from orchestrator.core.answers import answers
from orchestrator.core.model import Cluster, Fence, Mode, Phase, Role, goal_for
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import Kind, Request, RequestState
from orchestrator.core.returning import Rung, Stage
from orchestrator.core.rules import decide, waiting
from orchestrator.core.situation import Sighting, Situation
from orchestrator.core.verifying import ACCOUNT, Difference, Outcome, Verifying, against, summary
from tests.builders import DB_A, DB_B, EPOCH, NOW, request, seen, situation

ROW = Difference("row", "shop.acct", "id=2", "bal=150", "bal=207")
ENDED = Verifying("r1", EPOCH, "olga", outcome=Outcome.DIFFERS, tables=3, rows=900, differing=1, differences=(ROW,))
EQUAL = replace(ENDED, outcome=Outcome.EQUAL, differing=0, differences=())


def asked(**changes: Any) -> Request:
    return request(Kind.VERIFY, **changes)


def answered(s: Situation) -> Request:
    (answer,) = answers(s)
    return answer.request


def test_one_that_is_admitted_runs_and_its_request_is_what_the_agent_obeys():
    assert answered(situation(requests=(asked(),))).state is RequestState.RUNNING


RETURN = Reconcile(42, EPOCH, DB_B, Rung.REWIND, Stage.BUNDLE)
REFUSED: dict[str, tuple[Situation, str]] = {
    "not the standby": (situation(requests=(asked(to=DB_A),)), "not the standby, which is db-b"),
    "it does not follow": (
        situation(seen(DB_B, receiver_connected=False), requests=(asked(),)),
        "does not follow db-a",
    ),
    "it is not heard": (situation(seen(DB_B, report_age_s=60.0), requests=(asked(),)), "does not follow db-a"),
    "it returns": (situation(requests=(asked(),), reconcile=Sighting(RETURN, 1, NOW)), "return of db-b is under way"),
    "a table without a schema": (situation(requests=(asked(tables=("acct",)),)), "names like shop.customer, got acct"),
    "another epoch": (situation(requests=(asked(epoch=EPOCH - 1),)), "look again"),
}


@pytest.mark.parametrize(("s", "why"), REFUSED.values(), ids=REFUSED)
def test_refused_with_what_unblocks_it(s: Situation, why: str):
    found = answered(s)
    assert found.state is RequestState.REFUSED and why in " ".join(found.failed_checks)


def test_one_at_a_time():
    running = asked(id="r0", state=RequestState.RUNNING)
    found = {one.request.id: one.request for one in answers(situation(requests=(running, asked())))}
    assert found["r1"].failed_checks == ("alone: a verification is running: wait until it has ended",)


def running(verified: Verifying = ENDED, **changes: Any) -> Situation:
    one = asked(state=RequestState.RUNNING)
    return situation(seen(DB_B, verified=verified, report_age_s=60.0), requests=(one,), **changes)


def test_its_end_is_what_the_standbys_agent_says_however_long_ago():
    found = answered(running())
    assert (found.state, found.verified) == (RequestState.DONE, ENDED)
    assert "1 differences: row shop.acct (id=2): bal=150 on the primary, bal=207 on the standby" in found.answer
    assert answered(running(EQUAL)).answer == "3 of 3 tables, 900 rows: equal"
    failed = replace(EQUAL, outcome=Outcome.FAILED, why="shop.x: neither server has such a table")
    assert (answered(running(failed)).state, answered(running(failed)).answer) == (RequestState.FAILED, failed.why)


def test_it_goes_on_while_another_one_has_ended_and_under_another_leader():
    assert answers(running(replace(ENDED, id="return-42"), term=13)) == ()


def test_a_failover_ends_it_by_name():
    found = answered(running(replace(ENDED, id="r0"), epoch=EPOCH + 1, primary=DB_B))
    assert found.state is RequestState.FAILED
    assert found.answer == "db-b became primary in epoch 8 before it had ended: kembar verify begins anew"


def test_a_switchover_need_not_wait_for_it():
    verifying = asked(id="r0", state=RequestState.RUNNING)
    s = situation(requests=(verifying, request()))
    assert admit(request(), s).admitted


def test_what_was_not_compared_is_part_of_the_answer():
    partly = replace(EQUAL, skipped=("shop.big: it has no primary key",))
    assert summary(partly) == "2 of 3 tables, 900 rows: equal; not compared: shop.big: it has no primary key"
    assert partly.share_percent == 66.7


# what a difference means


def test_a_difference_takes_the_certificate_and_none_is_given_while_it_lasts():
    s = situation(seen(DB_B, differing=(ROW,)))
    assert decide(s).rule is not None and decide(s).rule.id == "U3"  # type: ignore[union-attr]
    after = situation(seen(DB_B, differing=(ROW,)), promotable=None)
    assert decide(after).rule is None and analyze(after) is Finding.STANDBY_DIFFERS
    assert decide(situation(promotable=None)).rule.id == "U2"  # type: ignore[union-attr]


@pytest.mark.parametrize("age_s", [0.1, 60.0])
def test_the_wait_names_the_row_and_the_command_that_ends_it(age_s: float):
    other = replace(ROW, key="id=3")
    said = waiting(situation(seen(DB_B, differing=(ROW, other), report_age_s=age_s), promotable=None))
    assert "kembar rejoin db-b --path clone --reason TEXT" in said
    assert str(ROW) in said and "and 1 more" in said


def test_an_account_that_differs_is_told_and_speaks_against_nobody():
    """Each server may have been given it by its own CREATE USER, with a salt of its own."""
    assert against((Difference(ACCOUNT, "root@localhost"), ROW)) == (ROW,)


# what is due on the node


def standing() -> Sight:
    cluster = Cluster(7, 42, DB_B, Mode.SYNC, Phase.STEADY)
    return sight(Role.PRIMARY, cluster=cluster, goal=goal_for(DB_A, cluster))


def test_what_operators_ask_for_comes_before_what_a_return_leaves_to_do():
    closed = replace(RETURN, stage=Stage.CLOSED)
    standby = replace(standing(), reconcile=replace(closed, node=DB_A, epoch=7))
    one = asked(state=RequestState.RUNNING, epoch=standby.goal.epoch, to=standby.node, tables=("shop.a",))
    found = due(standby, [one])
    assert [(each.id, each.tables, each.awaited) for each in found] == [
        ("r1", ("shop.a",), True),
        ("return-42", (), False),
    ]


NOT_OURS: dict[str, dict[str, Any]] = {
    "not yet admitted": {"state": RequestState.REQUESTED},
    "ended": {"state": RequestState.DONE},
    "of another epoch": {"epoch": 0},
    "of the other node": {"to": "db-x"},
    "of another kind": {"kind": Kind.SWITCHOVER},
}


@pytest.mark.parametrize("changes", NOT_OURS.values(), ids=NOT_OURS)
def test_what_is_not_due(changes: dict[str, Any]):
    standby = standing()
    one = asked(state=RequestState.RUNNING, epoch=standby.goal.epoch, to=standby.node)
    assert due(standby, [one]) != ()
    assert due(standby, [replace(one, **changes)]) == ()
    assert due(sight(Role.PRIMARY), [one]) == ()


def test_one_that_came_back_clean_is_compared_too_but_not_after_a_planned_switchover():
    standby = standing()

    def fenced(how: str, cause: str = "", **changes: Any) -> Cluster:
        return replace(standby.cluster, fence=Fence(standby.node, 7, how), cause=cause)

    epoch = standby.goal.epoch
    for cluster in (fenced("waited"), fenced("released"), fenced("waited", "forced by r1")):
        found = due(replace(standby, cluster=cluster), ())
        assert [one.id for one in found] == [f"return-of-epoch-{epoch}"]
    assert due(replace(standby, cluster=fenced("released", "r1")), ()) == ()
    assert due(standby, ()) == ()
    opened = replace(RETURN, node=standby.node, epoch=epoch)
    assert due(replace(standby, cluster=fenced("waited"), reconcile=opened), ()) == ()


def test_the_thread_ends_though_it_is_told_to_just_before_it_waits(tmp_path: Path) -> None:
    one = Verifier(SweptFolder(tmp_path), unasked, unasked, str)

    class Late(threading.Event):
        def clear(self) -> None:
            one.stop()
            super().clear()

    one._wake = Late()
    thread = threading.Thread(target=one.run, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


def unasked(*_: object) -> Any:
    raise AssertionError("nothing is due")
