"""The record of a return: each stage follows from facts, nothing is skipped, and what cannot go on says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.gtid import GtidSet
from orchestrator.core.mergepolicy import Approval, Automation, Cloning, Limits, MergePolicy
from orchestrator.core.model import Mode, Phase, Policy
from orchestrator.core.reconcile import Facts, Merge, Reconcile, advance, held
from orchestrator.core.reconciling import unsettled, wanted
from orchestrator.core.returning import Merging, Returning, Rung, Stage
from orchestrator.core.rules import decide, waiting
from orchestrator.core.situation import Sighting, Situation
from orchestrator.core.unreadable import Record, Unreadable
from tests.builders import DB_A, DB_B, EPOCH, NOW, UUID_A, rejoining, seen, situation

ERRANT, UUID_B = f"{UUID_A}:101-103", "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"
NEW = Reconcile(42, EPOCH, DB_B, Rung.REWIND, Stage.DETECT, errant=ERRANT)
REWIND = (Stage.DETECT, Stage.BUNDLE, Stage.REWIND, Stage.REJOIN, Stage.VERIFY, Stage.CLOSED)
MERGED = Merging(42, "s1", done=True, verdicts={"merged": 2, "quarantined": 1})


def facts(returning: Returning | None = None, merging: Merging | None = None, **changes: Any) -> Facts:
    base = Facts(EPOCH, returning, merging, False, GtidSet.parse(f"{UUID_A}:1-103"), False, MergePolicy())
    return replace(base, **changes)


def returned(stage: Stage, **changes: Any) -> Returning:
    return replace(Returning(42, stage, sums="s1", errant=ERRANT, transactions=3), **changes)


def test_a_rewind_goes_through_every_stage_and_closes():
    record, stages = NEW, [NEW.stage]
    while record.open:
        after = advance(record, facts(returned(record.stage), MERGED, replicates=True))
        assert after != record, record
        if after.stage is not record.stage:
            stages.append(after.stage)
        record = after
    assert tuple(stages) == REWIND
    assert (record.merge, record.verdicts) == (Merge.DONE, MERGED.verdicts)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (NEW, facts()),
        (NEW, facts(returned(Stage.DETECT, id=41))),  # of an earlier record
        (replace(NEW, stage=Stage.BUNDLE), facts(returned(Stage.BUNDLE))),  # the evidence is on one host only
        (replace(NEW, stage=Stage.BUNDLE), facts(returned(Stage.BUNDLE), Merging(42, "other"))),
        (replace(NEW, stage=Stage.REWIND), facts(returned(Stage.BUNDLE))),
        (replace(NEW, stage=Stage.REJOIN), facts(returned(Stage.REWIND))),
        (replace(NEW, stage=Stage.VERIFY), facts(returned(Stage.VERIFY), Merging(42, "s1"))),  # still merging
        (
            replace(NEW, stage=Stage.VERIFY, merge=Merge.DONE),  # numbers of errant ones are nowhere on it
            facts(returned(Stage.VERIFY), executed=GtidSet.parse(f"{UUID_A}:1-100")),
        ),
    ],
)
def test_nothing_goes_on_before_its_facts_are_there(record, said):
    assert advance(record, said).stage is record.stage


def test_what_the_log_does_not_allow_leads_to_a_clone_with_the_reason():
    why = ("truncate: started since", f"rewind: {UUID_A}:102 is DDL (ddl)")
    record = advance(NEW, facts(returned(Stage.DETECT, rung=Rung.CLONE, reasons=why, sums="")))
    assert (record.rung, record.stage, record.reasons) == (Rung.CLONE, Stage.BUNDLE, why)


def test_a_rung_that_fails_leads_to_the_next_and_the_last_one_stops():
    rewinding = replace(NEW, stage=Stage.REWIND, sums="s1")
    cloning = advance(rewinding, facts(returned(Stage.BUNDLE, refusal="rewind_mismatch at 102")))
    assert (cloning.rung, cloning.stage) == (Rung.CLONE, Stage.CLONE)
    assert cloning.reasons == ("rewind: rewind_mismatch at 102",)
    stopped = advance(cloning, facts(returned(Stage.BUNDLE, rung=Rung.CLONE, refusal="no space")))
    assert (stopped.stage, stopped.stopped) == (Stage.STOPPED, "no space")
    assert advance(stopped, facts(returned(Stage.BUNDLE))) == stopped


STOPPED = replace(NEW, rung=Rung.CLONE, stage=Stage.STOPPED, sums="s1", merge=Merge.DONE, server="first")
WITHOUT = GtidSet.parse(f"{UUID_A}:1-100")


@pytest.mark.parametrize(
    ("record", "said", "ends"),
    [
        # The merge has used the numbers up on the primary: the sets are equal, the rows are not.
        (STOPPED, {"server": "first"}, False),
        (STOPPED, {"server": ""}, False),
        (STOPPED, {"server": "second"}, True),
        (STOPPED, {"server": "first", "executed": WITHOUT}, True),
        (STOPPED, {"server": "second", "nothing_errant": False}, False),
        (replace(STOPPED, merge=Merge.WAITING), {"server": "second"}, False),  # it would never be taken in
        (replace(STOPPED, merge=Merge.UNKNOWN, sums=""), {"server": "second"}, True),  # there is nothing to take in
    ],
)
def test_one_that_stopped_ends_when_its_server_was_made_anew_and_all_is_taken_in(record, said, ends):
    assert advance(record, facts(**{"nothing_errant": True, **said})).open == (not ends)


def test_the_server_that_returns_is_noted_before_anything_is_replaced():
    """A record may be opened before the node's server answers."""
    assert advance(NEW, facts(server="first")).server == "first"
    noted = replace(NEW, server="first")
    assert advance(noted, facts(server="second")).server == "first"
    assert advance(replace(NEW, stage=Stage.CLONE), facts(server="second")).server == ""


def test_the_merge_of_one_that_stopped_goes_on():
    stopped = replace(STOPPED, merge=Merge.WAITING, approved=True)
    running = advance(stopped, facts(merging=Merging(42, "s1")))
    assert (running.stage, running.merge) == (Stage.STOPPED, Merge.RUNNING)
    assert advance(running, facts(merging=MERGED)).verdicts == MERGED.verdicts


def test_what_became_of_each_is_known_though_the_primarys_agent_was_started_anew():
    done = advance(replace(NEW, stage=Stage.VERIFY, sums="s1"), facts(merging=MERGED))
    assert advance(done, facts(merging=Merging(42, "s1"))).verdicts == MERGED.verdicts


def test_rows_are_half_changed_from_the_first_that_may_be_until_all_are_or_none_is_left():
    record, begun = replace(NEW, stage=Stage.BUNDLE), []
    while record.open:
        begun.append((record.stage, record.changed))
        record = advance(record, facts(returned(record.stage), MERGED, replicates=True))
    assert [stage for stage, changed in begun if changed] == [Stage.REWIND]
    failed = advance(
        replace(NEW, stage=Stage.REWIND, changed=True, sums="s1"), facts(returned(Stage.BUNDLE, refusal="x"))
    )
    assert failed.changed
    assert not advance(failed, facts(returned(Stage.CLONE, rung=Rung.CLONE))).changed


def test_what_one_rung_said_stops_no_other():
    """The node's agent repeats it until it has begun with the next."""
    cloning = replace(NEW, rung=Rung.CLONE, stage=Stage.CLONE, sums="s1")
    stale = returned(Stage.BUNDLE, rung=Rung.REWIND, refusal="rewind_mismatch at 102")
    assert advance(cloning, facts(stale)) == replace(cloning, transactions=3)


def test_more_than_the_limits_waits_for_a_person():
    bundle = replace(NEW, stage=Stage.BUNDLE)
    many = returned(Stage.BUNDLE, transactions=10_001)
    record = advance(bundle, facts(many, Merging(42, "s1")))
    assert (record.merge, record.stage) == (Merge.WAITING, Stage.REWIND)
    assert advance(replace(record, approved=True), facts(many, Merging(42, "s1"))).merge is Merge.RUNNING


WHOLE = Merging(42, "s1")


@pytest.mark.parametrize(
    ("policy", "counts", "why"),
    [
        (MergePolicy(), {"transactions": 10_001}, "10001 transactions are more than the limit of 10000"),
        (MergePolicy(limits=Limits(rows=5)), {"rows": 6}, "6 rows are more than the limit of 5"),
        (MergePolicy(), {"log_mib": 2000}, "2000 MiB of binary log are more than the limit of 1024"),
        (MergePolicy(approval=Approval.ALWAYS), {}, "reconcile.approval is always"),
        (MergePolicy(mode=Automation.PLAN_ONLY), {}, "reconcile.mode is plan_only"),
    ],
)
def test_a_merge_waits_with_its_reason_until_it_is_approved(policy, counts, why):
    told = facts(returned(Stage.BUNDLE, **counts), WHOLE, policy=policy)
    waiting_one = advance(replace(NEW, stage=Stage.BUNDLE), told)
    assert (waiting_one.merge, waiting_one.waits) == (Merge.WAITING, why)
    approved = advance(replace(waiting_one, approved=True), told)
    assert (approved.merge, approved.waits) == (Merge.RUNNING, "")
    never = advance(waiting_one, replace(told, policy=MergePolicy(approval=Approval.NEVER)))
    assert never.merge is Merge.RUNNING


def test_a_merge_that_stopped_in_the_middle_waits_with_what_its_agent_said():
    running = replace(NEW, stage=Stage.REJOIN, sums="s1", merge=Merge.RUNNING)
    tripped = replace(WHOLE, refusal="5 of 20 transactions are quarantined, more than 10 %")
    record = advance(running, facts(returned(Stage.REWIND), tripped))
    assert (record.merge, record.waits) == (Merge.WAITING, tripped.refusal)
    assert tripped.refusal in waiting(returning_pair(record))
    assert "kembar reconcile apply 42 --reason" in waiting(returning_pair(record))
    assert advance(replace(record, approved=True), facts(returned(Stage.REWIND), tripped)).merge is Merge.RUNNING


@pytest.mark.parametrize(
    ("policy", "record", "ends"),
    [
        (MergePolicy(mode=Automation.OFF), NEW, "kembar config set --file FILE --reason TEXT, with mode: auto"),
        (
            MergePolicy(mode=Automation.OFF),
            replace(NEW, stage=Stage.BUNDLE, approved=True),
            "kembar config set --file FILE --reason TEXT, with mode: auto",
        ),
        (MergePolicy(mode=Automation.PLAN_ONLY), replace(NEW, stage=Stage.BUNDLE), "kembar reconcile apply 42"),
        (
            MergePolicy(clone=Cloning(allowed=False)),
            replace(NEW, stage=Stage.BUNDLE, rung=Rung.CLONE, approved=True),
            "kembar config set --file FILE --reason TEXT, with clone: {allowed: true}",
        ),
    ],
)
def test_a_return_that_may_go_no_further_says_which_setting_holds_it_and_what_ends_that(policy, record, ends):
    told = facts(returned(record.stage), WHOLE, policy=policy)
    stays = advance(record, told)
    assert stays.stage is record.stage
    assert advance(stays, replace(told, policy=MergePolicy())).stage is not record.stage
    said = waiting(replace(returning_pair(stays), policy=Policy(reconcile=policy)))
    assert held(stays, policy) in said and ends in said


def test_no_setting_holds_a_node_that_is_half_repaired():
    rewinding = replace(NEW, stage=Stage.REWIND, sums="s1")
    off = facts(returned(Stage.REWIND), WHOLE, policy=MergePolicy(mode=Automation.OFF))
    after = advance(rewinding, off)
    assert (after.stage, after.merge, after.waits) == (Stage.REJOIN, Merge.WAITING, "reconcile.mode is off")


def test_a_clone_that_is_not_allowed_is_not_begun_when_a_rung_fails():
    rewinding = replace(NEW, stage=Stage.REWIND, sums="s1")
    forbidden = MergePolicy(clone=Cloning(allowed=False))
    record = advance(rewinding, facts(returned(Stage.BUNDLE, refusal="rewind_mismatch at 102"), policy=forbidden))
    assert (record.rung, record.stage) == (Rung.CLONE, Stage.BUNDLE)
    assert held(record, forbidden) == "reconcile.clone.allowed is false"


def test_nothing_goes_on_by_a_policy_that_cannot_be_read():
    """It may say that nothing may: what is followed meanwhile may be the built-in one."""
    s = returning_pair(replace(NEW, epoch=1), errant=ERRANT)
    assert wanted(s) != replace(NEW, epoch=1)  # of another epoch
    broken = Unreadable(Record.POLICY, "/kembar/shop/policy", "not JSON")
    assert wanted(replace(s, unreadable=(broken,))) == replace(NEW, epoch=1)


def test_another_epoch_voids_it():
    assert not advance(NEW, facts(epoch=EPOCH + 1)).open


def test_what_is_not_errant_any_more_needs_no_return():
    assert not advance(NEW, facts(returned(Stage.DETECT, errant="", sums=""))).open


def test_the_rewind_goes_on_without_a_primary_that_had_its_copy_once():
    bundle = replace(NEW, stage=Stage.BUNDLE, sums="s1", merge=Merge.RUNNING)
    assert advance(bundle, facts(returned(Stage.BUNDLE))).stage is Stage.REWIND


def returning_pair(record: Reconcile | None = None, **standby: Any) -> Situation:
    s = rejoining(seen(DB_B, **{"token": "", "receiver_connected": False, "applier_running": False, **standby}))
    return replace(s, reconcile=Sighting(record, 3, NOW) if record else None)


def test_a_new_epoch_takes_over_what_is_half_done():
    """The merge may have used the numbers up: no set would show that the rows of the standby are others."""
    half = replace(NEW, epoch=EPOCH - 1, stage=Stage.CLONE, rung=Rung.CLONE, sums="s1", merge=Merge.RUNNING)
    s = returning_pair(half)
    assert wanted(s) == replace(half, epoch=EPOCH)
    for record in (
        replace(half, node=DB_A),  # it serves: nothing is to be repaired there
        replace(half, stage=Stage.BUNDLE, merge=Merge.UNKNOWN),  # nothing was begun: all shows in the sets
    ):
        void = wanted(returning_pair(record))
        assert void is not None and not void.open


def test_nothing_is_opened_for_what_the_primary_has_by_now_or_gave_the_number_to():
    """Its last judgement, and its last report, may be older than what it has taken in, and what has come from it."""
    own = {"identity": {"server_uuid": UUID_A}, "executed": f"{UUID_A}:1-100,{UUID_B}:1"}
    s = returning_pair(errant=f"{UUID_A}:101-103,{UUID_B}:1")
    primary = replace(s.reports[DB_A], value=seen(DB_A, peer_errant=f"{UUID_B}:1", **own).report)
    assert wanted(replace(s, reports={**s.reports, DB_A: primary})) is None
    later = replace(s.reports[DB_B], value=replace(s.reports[DB_B].value, errant=f"{UUID_B}:1-2"))
    record = wanted(replace(s, reports={DB_A: primary, DB_B: later}))
    assert record is not None and record.errant == f"{UUID_B}:2"


def test_what_the_primary_has_just_taken_in_is_errant_no_more():
    """Its report may name the set from before the merge that it says is done, and the standby has it from there."""
    merged = replace(NEW, stage=Stage.VERIFY, sums="s1", merge=Merge.DONE, transactions=3)
    for record in (merged, replace(merged, stage=Stage.CLOSED)):
        assert wanted(returning_pair(record, errant=ERRANT, returning=returned(Stage.REWIND))) == record
    elsewhere = wanted(returning_pair(replace(merged, stage=Stage.CLOSED, epoch=EPOCH - 1), errant=ERRANT))
    assert elsewhere is not None and elsewhere.errant == ERRANT, "the primary of another epoch took it in"


def test_what_somebody_writes_there_meanwhile_is_a_return_of_its_own():
    """Once all that the first was about is settled; until then the node waits with it."""
    later = f"{UUID_A}:104"
    waiting = replace(NEW, stage=Stage.REJOIN, sums="s1", merge=Merge.WAITING)
    assert advance(waiting, facts(returned(Stage.REWIND), errant=later)).open
    over = advance(replace(waiting, merge=Merge.DONE), facts(returned(Stage.REWIND), errant=later))
    assert not over.open and later in over.stopped
    said = returned(Stage.REWIND, owed=True)
    next_one = wanted(returning_pair(over, errant=later, returning=said))
    assert next_one is not None
    assert (next_one.id, next_one.stage, next_one.errant) == (43, Stage.DETECT, later)
    again = wanted(returning_pair(over, returning=said))
    assert again is not None and again.id == 42  # nothing new: it is brought to its end


def test_what_nobody_had_begun_with_is_begun_anew_with_all_that_there_is():
    closed = replace(NEW, stage=Stage.CLOSED, sums="s1")
    said = returned(Stage.BUNDLE, owed=True)
    record = wanted(returning_pair(closed, errant=f"{UUID_A}:101-104", returning=said))
    assert record is not None and (record.id, record.stage) == (43, Stage.DETECT)
    half = wanted(returning_pair(closed, errant=ERRANT, returning=replace(said, rewinding=True)))
    assert half is not None and (half.id, half.stage) == (42, Stage.BUNDLE)


OWING = Returning(
    7, Stage.BUNDLE, sums="s7", errant=ERRANT, transactions=3, owed=True, acknowledged=False, server="b", evidence="4"
)


def test_a_return_whose_record_was_lost_is_opened_again_under_its_number():
    """Though nothing is errant any more: the primary has used the numbers up meanwhile."""
    record = wanted(returning_pair(returning=OWING))
    assert record == Reconcile(
        7, EPOCH, DB_B, Rung.REWIND, Stage.BUNDLE, errant=ERRANT, sums="s7", transactions=3, server="b", evidence="4"
    )
    closed = replace(NEW, id=7, stage=Stage.CLOSED)
    assert wanted(returning_pair(closed, returning=OWING)) == record


def test_no_number_is_given_twice_though_zookeeper_forgot_it():
    said = Returning(99, Stage.VERIFY, errant=ERRANT)
    record = wanted(returning_pair(errant=ERRANT, returning=said))
    assert record is not None and record.id == 100


def test_a_node_that_owes_is_not_certified_whatever_the_record_says():
    standby = returning_pair(returning=OWING).reports[DB_B].value
    assert unsettled(None, standby, f"{UUID_A}:1-103")
    assert not unsettled(None, replace(standby, returning=replace(OWING, owed=False)), f"{UUID_A}:1-103")


def test_a_return_of_the_node_that_was_forced_ends_once_it_has_opened():
    """Until then the power may go back to the other, and the return goes on."""
    mine = replace(NEW, node=DB_A, epoch=EPOCH - 1)
    s = returning_pair(mine)
    assert wanted(replace(s, cluster=replace(s.cluster, phase=Phase.FENCING))) == mine
    ended = wanted(s)
    assert ended is not None and not ended.open


def test_it_is_opened_once_for_what_only_the_returning_node_has():
    record = wanted(returning_pair(errant=ERRANT))
    assert record is not None
    assert (record.node, record.rung, record.stage, record.errant) == (DB_B, Rung.REWIND, Stage.DETECT, ERRANT)
    assert record.acknowledged  # nobody was named heir: it was forced, or lost its copy in ASYNC
    assert wanted(returning_pair(record, errant=ERRANT)) == record


def test_nothing_is_opened_for_a_clean_return_or_before_the_primary_is_open():
    assert wanted(returning_pair()) is None
    fenced = replace(returning_pair(errant=ERRANT), cluster=replace(returning_pair().cluster, phase=Phase.PROMOTING))
    assert wanted(fenced) is None


def test_what_was_cut_is_used_up_before_its_node_is_certified():
    """Else it would give the same numbers to other transactions, once it is primary again."""
    s = returning_pair(cut=f"{UUID_A}:101", cut_in=EPOCH - 1)
    record = wanted(s)
    assert record is not None and (record.rung, record.stage) == (Rung.TRUNCATE, Stage.BUNDLE)
    assert record.evidence == str(EPOCH - 1), "where it was kept, though another epoch began since"
    standby = s.reports[DB_B].value
    assert unsettled(None, standby, f"{UUID_A}:1-100")
    assert not unsettled(None, standby, f"{UUID_A}:1-101")
    assert unsettled(record, standby, f"{UUID_A}:1-101")
    assert not unsettled(replace(record, stage=Stage.CLOSED), standby, f"{UUID_A}:1-101")


def test_what_was_cut_and_is_committed_all_the_same_needs_a_copy():
    """Somebody else acknowledged it, so clients may have been told; no log of its node has it any more."""
    cut = f"{UUID_A}:101-104"
    record = wanted(returning_pair(cut=cut, cut_in=EPOCH - 1, errant=f"{UUID_A}:101-103"))
    assert record is not None and (record.rung, record.stage, record.errant) == (Rung.CLONE, Stage.BUNDLE, cut)
    assert record.acknowledged and record.evidence == str(EPOCH - 1) and "committed" in record.reasons[0]


def test_nobody_says_that_a_cut_is_whole_before_its_server_has_spoken():
    assert wanted(returning_pair(cut=f"{UUID_A}:101", cut_in=EPOCH - 1, executed="")) is None


def test_no_certificate_while_a_return_is_open():
    ready = situation(mode=Mode.ASYNC, promotable=None)
    rule = decide(ready).rule
    assert rule is not None and rule.id == "U2"
    under_way = replace(ready, reconcile=Sighting(replace(NEW, stage=Stage.VERIFY), 3, NOW))
    assert decide(under_way).rule is None
    assert "for db-b to return: rewind, verify" in waiting(under_way)


def test_the_return_of_the_node_that_serves_now_blocks_nobody():
    ready = situation(mode=Mode.ASYNC, promotable=None)
    other = replace(ready, reconcile=Sighting(replace(NEW, node=DB_A), 3, NOW))
    rule = decide(other).rule
    assert rule is not None and rule.id == "U2"
