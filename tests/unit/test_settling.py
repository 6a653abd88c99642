"""What persons ask about a return: what is admitted, what follows from it, and what is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.admission import admit
from orchestrator.core.answers import answers
from orchestrator.core.kept import Choice, KeptRow, KeptTransaction, Open, Settlement, Settlements
from orchestrator.core.model import Mode, Phase
from orchestrator.core.reconcile import Merge, Reconcile
from orchestrator.core.requests import CHOICES, OF_RETURNS, Kind, RejoinPath, Request, RequestState
from orchestrator.core.returning import Ended, Outcome, Rung, Stage
from orchestrator.core.rules import decide
from orchestrator.core.settling import step
from orchestrator.core.situation import Sighting, Situation
from orchestrator.core.unreadable import Record, Unreadable
from orchestrator.core.wire import decode, encode
from tests.builders import DB_A, DB_B, EPOCH, NOW, UUID_A, seen, situation

FIRST, SECOND = f"{UUID_A}:34", f"{UUID_A}:37"
ROW = KeptRow("shop.acct", "update", "update_differs", "`id` = 2", {"id": "2", "bal": "200"}, {"id": "2", "bal": "207"})
OPEN = Open(
    2,
    (
        KeptTransaction(7, FIRST, "update_differs", seen="v1", row_count=1, rows=(ROW,)),
        KeptTransaction(7, SECOND, "depends_on_quarantined", seen="v2", after=(FIRST,), row_count=1, rows=(ROW,)),
    ),
)
DISCARD = Request("r1", Kind.RECONCILE_DISCARD, DB_B, "known", "olga", EPOCH, returning=7, gtid=FIRST, seen="v1")
APPLY = replace(DISCARD, id="r2", kind=Kind.RECONCILE_APPLY)
APPROVE = Request("r3", Kind.RECONCILE_APPROVE, DB_B, "seen", "olga", EPOCH, returning=7)
REJOIN = Request("r4", Kind.REJOIN, DB_B, "disk replaced", "olga", EPOCH)
WAITING = Reconcile(7, EPOCH, DB_B, Rung.REWIND, Stage.REJOIN, Merge.WAITING, sums="s")
STOPPED = replace(WAITING, rung=Rung.CLONE, stage=Stage.STOPPED, stopped="no space", merge=Merge.DONE)


def pair(*requests: Request, record: Reconcile | None = None, **changes: Any) -> Situation:
    s = situation(*changes.pop("nodes", ()), requests=requests, **{"kept": OPEN, **changes})
    return replace(s, reconcile=Sighting(record, 3, NOW) if record else None)


def failed(request: Request, s: Situation) -> list[str]:
    return [check.partition(":")[0] for check in admit(request, s).failed]


def uncertified() -> dict[str, Any]:
    return {"mode": Mode.ASYNC, "promotable": None}


def test_a_choice_is_given_to_the_primary_and_answered_with_what_it_says() -> None:
    s = pair(DISCARD)
    begun = step(s)
    ((answer,),) = (begun.answers,)
    assert answer.request == replace(DISCARD, state=RequestState.RUNNING)
    made = Settlement("r1", Choice.DISCARD, 7, FIRST, "v1", "olga", "known")
    assert begun.settlements == Settlements((made,))

    running = pair(answer.request, settlements=Sighting(Settlements((made,)), 1, NOW))
    assert step(running).empty, "nothing is written twice"
    told = Outcome("r1", Ended.DONE, "it is discarded")
    ended = step(
        replace(running, reports={**running.reports, DB_A: Sighting(seen(DB_A, settled=(told,)).report, 1, NOW)})
    )
    assert [(a.request.state, a.request.answer) for a in ended.answers] == [(RequestState.DONE, "it is discarded")]
    assert ended.settlements == Settlements()


def test_what_was_lost_of_the_decisions_is_made_again_from_the_requests() -> None:
    running = replace(DISCARD, state=RequestState.RUNNING)
    begun = step(pair(running))
    assert begun.answers == () and begun.settlements is not None
    assert [one.request for one in begun.settlements.pending] == ["r1"]


def test_choices_that_do_not_fit_into_one_record_are_carried_out_one_after_the_other() -> None:
    """Each is as large as a request may be: nobody could read both together."""
    edits = {"1": {"bal": "щ" * 30_000}}
    both = [replace(APPLY, id=f"r{n}", gtid=gtid, edits=edits) for n, gtid in enumerate((FIRST, SECOND))]
    open_ = Open(2, tuple(replace(one, after=(), seen="v1") for one in OPEN.transactions))
    begun = step(pair(*both, kept=open_))
    assert [answer.request.id for answer in begun.answers] == ["r0"]
    assert begun.settlements is not None and decode(Settlements, encode(begun.settlements)) == begun.settlements


def test_decisions_that_cannot_be_read_are_written_anew() -> None:
    assert step(pair(unreadable=(Unreadable(Record.DECISIONS, "/d", "JSON"),))).settlements == Settlements()


@pytest.mark.parametrize("who", ["a former primary", "an agent of another epoch"])
def test_only_the_primary_of_this_epoch_answers(who: str) -> None:
    """What an earlier one did may not have come over: the present one then does it."""
    told = Outcome("r1", Ended.DONE, "done")
    node = seen(DB_B, settled=(told,)) if who == "a former primary" else seen(DB_A, settled=(told,), epoch=EPOCH - 1)
    assert step(pair(replace(DISCARD, state=RequestState.RUNNING), nodes=(node,))).answers == ()


def test_a_choice_that_was_admitted_goes_on_in_the_next_epoch() -> None:
    running = replace(DISCARD, state=RequestState.RUNNING, epoch=EPOCH - 1)
    told = Outcome("r1", Ended.DONE, "done")
    ((answer,),) = (step(pair(running, nodes=(seen(DB_A, settled=(told,)),))).answers,)
    assert answer.request.state is RequestState.DONE


REFUSED = {
    "of an earlier epoch": (replace(DISCARD, epoch=EPOCH - 1), {}, "epoch"),
    "of a transaction that is not open": (replace(DISCARD, gtid=f"{UUID_A}:9"), {}, "open"),
    "of another version": (replace(DISCARD, seen="v0"), {}, "version"),
    "before the one that it follows": (replace(DISCARD, gtid=SECOND, seen="v2"), {}, "order"),
    "while nobody serves": (DISCARD, {"nodes": (seen(DB_A, gate_open=False),)}, "primary"),
    "while a failover is under way": (DISCARD, {"phase": Phase.PROMOTING}, "phase"),
    "of a record that cannot be read": (DISCARD, {"unreadable": (Unreadable(Record.OPEN, "/o", "JSON"),)}, "records"),
    "with a row that is not there": (replace(APPLY, edits={"2": {}}), {}, "edits"),
    "with a column that is not there": (replace(APPLY, edits={"1": {"ball": "1"}}), {}, "edits"),
    "of an approval that nobody waits for": (APPROVE, {"record": replace(WAITING, merge=Merge.RUNNING)}, "waiting"),
    "of another return": (replace(APPROVE, returning=6), {"record": WAITING}, "return"),
    "of the primary": (replace(REJOIN, to=DB_A), {"record": STOPPED, **uncertified()}, "target"),
    "of a return that goes on": (REJOIN, {"record": replace(STOPPED, stage=Stage.REWIND), **uncertified()}, "return"),
    "of a node whose return did not stop": (REJOIN, uncertified(), "return"),
    "of a node that is certified": (replace(REJOIN, path=RejoinPath.CLONE), {}, "certified"),
    "of a node that is not heard": (REJOIN, {"record": STOPPED, "nodes": (seen(DB_B, report_age_s=60.0),)}, "heard"),
}


@pytest.mark.parametrize(("request_", "changes", "check"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_by_name(request_: Request, changes: dict[str, Any], check: str) -> None:
    s = pair(request_, **changes)
    assert check in failed(request_, s)
    ((answer,),) = (step(s).answers,)
    assert answer.request.state is RequestState.REFUSED and answer.request.failed_checks
    assert step(s).settlements is None


def test_two_persons_one_choice() -> None:
    other = replace(APPLY, state=RequestState.RUNNING, actor="adam")
    assert failed(DISCARD, pair(DISCARD, other)) == ["undecided"]


def test_what_has_no_rows_can_only_be_discarded() -> None:
    barred = Open(1, (replace(OPEN.transactions[0], bar="it is a statement (CREATE TABLE)", seen=""),))
    assert failed(replace(APPLY, seen=""), pair(APPLY, kept=barred)) == ["applicable"]
    assert admit(replace(DISCARD, seen=""), pair(DISCARD, kept=barred)).admitted


def test_a_pause_holds_up_no_choice() -> None:
    assert admit(DISCARD, replace(pair(DISCARD), paused=True)).admitted


def test_an_approval_lets_the_merge_go_on() -> None:
    made = step(pair(APPROVE, record=WAITING))
    assert [one.request.state for one in made.answers] == [RequestState.DONE]
    assert made.record == replace(WAITING, approved=True)


def test_a_return_that_stopped_goes_on_with_what_is_kept() -> None:
    made = step(pair(REJOIN, record=STOPPED, **uncertified()))
    assert [one.request.state for one in made.answers] == [RequestState.DONE]
    record = made.record
    assert record is not None and record.open and not record.stopped
    assert (record.id, record.attempt, record.rung, record.stage) == (7, 1, Rung.CLONE, Stage.CLONE)


def test_a_standby_is_made_anew_where_somebody_asks_for_it() -> None:
    made = step(pair(replace(REJOIN, path=RejoinPath.CLONE), **uncertified()))
    record = made.record
    assert record is not None
    assert (record.node, record.rung, record.stage) == (DB_B, Rung.CLONE, Stage.BUNDLE)
    assert "olga" in record.reasons[0] and "disk replaced" in record.reasons[0]


def test_two_that_change_the_record_do_so_one_after_the_other() -> None:
    made = step(pair(REJOIN, replace(REJOIN, id="r5"), record=STOPPED, **uncertified()))
    assert [one.request.id for one in made.answers] == ["r4"]


@pytest.mark.parametrize("kind", sorted(OF_RETURNS))
def test_no_rule_and_no_other_answer_touches_them(kind: Kind) -> None:
    """Refused or not: the loop that decides failovers does not look at them."""
    s = pair(replace(DISCARD, kind=kind, epoch=EPOCH - 1))
    assert answers(s) == ()
    assert decide(s).rule is None
    assert (kind in CHOICES) == kind.startswith(("reconcile_apply", "reconcile_discard"))
