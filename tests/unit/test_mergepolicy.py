"""Which policy settles which conflict where: every small combination, and every mistake by its place and value."""

from __future__ import annotations

import json
from itertools import permutations, product
from typing import Any

import pytest

from orchestrator.core.conflicts import ALLOWED, HARMLESS, Conflict, How, allowed
from orchestrator.core.mergepolicy import Approval, Limits, Merged, MergePolicy
from orchestrator.core.model import Policy
from orchestrator.core.tablerules import RowPolicy, TableRule
from orchestrator.core.wire import WireWrong, decode, encode, plain

# How each may be written, and whether a column alone may have it.
FORMS = {
    How.QUARANTINE: ("quarantine", True),
    How.DISCARD: ("discard", False),
    How.SKIP: ("skip", True),
    How.APPLY: ("apply", True),
    How.LATEST_WINS: ("latest_wins(c)", True),
    How.MAX: ("max(c)", True),
    How.MIN: ("min(c)", True),
    How.DELTA: ("delta(c)", True),
}
TABLE_OF_CONFLICTS = {
    "insert_exists": "skip apply latest_wins max min",
    "update_differs": "skip apply latest_wins max min delta",
    "update_missing": "skip apply",
    "delete_differs": "skip apply",
    "unique_exists": "skip",
    "fk_parent_missing": "skip",
    "fk_children_exist": "skip",
    "checks_were_off": "apply",
    "no_primary_key": "skip",
}
# The less specific first.
PLACES = ("*.*", "shop.*", "shop.stock")


def policy(*rules: TableRule, **more: Any) -> MergePolicy:
    return MergePolicy(tables=rules, **more)


def test_the_words_of_a_policy_are_all_there():
    assert set(FORMS) == set(How)
    for how, (text, _) in FORMS.items():
        assert (RowPolicy.parse(text).how, str(RowPolicy.parse(text))) == (how, text)
    assert RowPolicy.parse("delta(a, b)").columns == ("a", "b")


@pytest.mark.parametrize("conflict", list(Conflict))
@pytest.mark.parametrize("how", list(How))
def test_what_settles_which_conflict_is_the_table(conflict: Conflict, how: How):
    always = {"quarantine"} | ({"discard"} if conflict in ALLOWED else set())
    expected = how in always | set(TABLE_OF_CONFLICTS.get(conflict, "").split())
    assert (how in allowed(conflict)) == expected
    found = policy(TableRule("shop.stock", policy=FORMS[how][0])).for_row("shop", "stock", conflict)
    assert (found.policy.how, bool(found.why)) == (how if expected else How.QUARANTINE, not expected)
    if found.why:
        assert FORMS[how][0] in found.why and "shop.stock" in found.why and conflict in found.why


def test_a_policy_for_one_conflict_that_it_cannot_settle_is_a_mistake():
    for conflict, (how, (text, _)) in product(Conflict, FORMS.items()):
        if how in allowed(conflict):
            TableRule("shop.stock", conflict, text)
        else:
            with pytest.raises(ValueError, match=f"settles no {conflict}"):
                TableRule("shop.stock", conflict, text)


def test_the_most_specific_wins_in_whatever_order_they_stand():
    """Every subset of places with and without a type, each with a policy that tells them apart."""
    kinds = [(place, typed) for place in PLACES for typed in (None, Conflict.UPDATE_DIFFERS)]
    texts = dict(zip(kinds, ("skip", "apply", "max(c)", "min(c)", "latest_wins(c)", "delta(c)"), strict=True))
    for chosen in product((False, True), repeat=len(kinds)):
        present = [kind for kind, there in zip(kinds, chosen, strict=True) if there]
        rules = [TableRule(place, typed, texts[place, typed]) for place, typed in present]
        winner = texts[present[-1]] if present else "quarantine"  # kinds are in the order of their rank
        for order in (rules, rules[::-1]):
            assert str(policy(*order).for_row("shop", "stock", Conflict.UPDATE_DIFFERS).policy) == winner
    for order in permutations([TableRule(place, policy=texts[place, None]) for place in PLACES]):
        assert str(policy(*order).for_row("shop", "other", Conflict.UPDATE_DIFFERS).policy) == "max(c)"
        assert str(policy(*order).for_row("other", "stock", Conflict.UPDATE_DIFFERS).policy) == "skip"


def test_a_rule_for_another_conflict_does_not_count():
    rules = policy(TableRule("shop.stock", Conflict.UNIQUE_EXISTS, "skip"), TableRule("shop.*", policy="apply"))
    assert rules.for_row("shop", "stock", Conflict.UPDATE_DIFFERS).policy.how is How.APPLY
    assert rules.for_row("shop", "stock", Conflict.UNIQUE_EXISTS).policy.how is How.SKIP


def test_a_less_specific_rule_does_not_stand_in_for_one_that_is_not_allowed():
    rules = policy(TableRule("shop.stock", policy="delta(c)"), TableRule("shop.*", policy="skip"))
    found = rules.for_row("shop", "stock", Conflict.DELETE_DIFFERS)
    assert (found.policy.how, found.why) == (How.QUARANTINE, "delta(c) of shop.stock settles no delete_differs")


def test_a_column_has_its_own_policy_whatever_the_case_of_its_name():
    rules = policy(TableRule("shop.stock.Qty", policy="delta(qty)"), TableRule("shop.stock", policy="skip"))
    found = rules.for_column("shop", "stock", "QTY", Conflict.UPDATE_DIFFERS)
    assert found is not None and found.policy.how is How.DELTA
    assert rules.for_column("shop", "stock", "note", Conflict.UPDATE_DIFFERS) is None
    assert rules.for_column("shop", "other", "qty", Conflict.UPDATE_DIFFERS) is None
    assert rules.for_row("shop", "stock", Conflict.UPDATE_DIFFERS).policy.how is How.SKIP


def test_what_nobody_merges():
    flagged = policy(TableRule("ledger.*", always_quarantine=True), TableRule("ledger.log", policy="skip"))
    assert flagged.keeps("ledger", "log") == "ledger.* has always_quarantine"
    assert flagged.keeps("shop", "log") == ""
    assert policy(merge=Merged.OFF).keeps("shop", "t") == "reconcile.merge is off"
    assert [bool(MergePolicy().keeps(schema, "t")) for schema in ("mysql", "sys", "shop", "kembar")] == [1, 1, 0, 0]


WRONG = {
    "shop": ({"match": "shop", "policy": "skip"}, "match='shop': expected schema.table"),
    "a star for a schema": ({"match": "*.t", "policy": "skip"}, r"match='\*.t': expected schema.table"),
    "a star for a column": ({"match": "s.t.*", "policy": "skip"}, "expected schema.table"),
    "a star before a column": ({"match": "s.*.c", "policy": "skip"}, "expected schema.table"),
    "four parts": ({"match": "a.b.c.d", "policy": "skip"}, "expected schema.table"),
    "an empty part": ({"match": "a.", "policy": "skip"}, "expected schema.table"),
    "a schema of ours": ({"match": "kembar.*", "policy": "skip"}, "match='kembar.*': expected another schema"),
    "no policy": ({"match": "s.t"}, "policy='': expected quarantine, discard"),
    "another word": ({"match": "s.t", "policy": "newest(c)"}, r"policy='newest\(c\)': expected quarantine"),
    "no column": ({"match": "s.t", "policy": "delta()"}, r"policy='delta\(\)': expected"),
    "no brackets": ({"match": "s.t", "policy": "max"}, "policy='max': expected"),
    "two columns": ({"match": "s.t", "policy": "max(a, b)"}, "expected"),
    "a column for skip": ({"match": "s.t", "policy": "skip(a)"}, "expected"),
    "a column twice": ({"match": "s.t", "policy": "delta(a, A)"}, "expected each column once"),
    "discard of a column": ({"match": "s.t.c", "policy": "discard"}, "expected a policy for one column"),
    "another column": ({"match": "s.t.c", "policy": "max(d)"}, "expected the column c"),
    "a flag and a policy": ({"match": "s.t", "policy": "skip", "always_quarantine": True}, "always_quarantine alone"),
    "a flag for a column": ({"match": "s.t.c", "always_quarantine": True}, "always_quarantine alone"),
    "another conflict": ({"match": "s.t", "type": "odd", "policy": "skip"}, "type: 'odd' is none of identical"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_told_with_its_place_and_what_was_expected(name: str):
    rule, said = WRONG[name]
    data = {**plain(Policy()), "format": 1}
    data["reconcile"] = {**data["reconcile"], "tables": [{"match": "s.u", "policy": "apply"}, rule]}
    with pytest.raises(WireWrong, match=r"Policy\.reconcile\.tables\[1\].*" + said):
        decode(Policy, _json(data))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"mode": "later"}, "Policy.reconcile.mode: 'later' is none of auto, plan_only, off"),
        ({"limits": {"quarantine_percent": 101}}, "Policy.reconcile.limits: quarantine_percent=101: expected 0 to 100"),
        ({"limits": {"rows": -1}}, "Policy.reconcile.limits: rows=-1: expected 0 to"),
        ({"evidence": {"keep_days": "x"}}, "Policy.reconcile.evidence.keep_days: expected int, got 'x'"),
        ({"clone": {"allowed": 1}}, "Policy.reconcile.clone.allowed: expected bool, got 1"),
        (
            {"tables": [{"match": "s.t", "policy": "skip"}, {"match": "s.t", "policy": "apply"}]},
            "Policy.reconcile: tables[1]: match='s.t': expected once, it is in tables[0] too",
        ),
    ],
)
def test_a_wrong_setting_is_told_with_its_place(section: dict[str, Any], said: str):
    with pytest.raises(WireWrong) as wrong:
        decode(Policy, _json({"format": 1, "reconcile": section}))
    assert said in str(wrong.value)


def test_a_record_of_before_has_what_was_done_then():
    old = {key: value for key, value in plain(Policy()).items() if key != "reconcile"}
    assert decode(Policy, _json({"format": 1, **old})).reconcile == MergePolicy()


def test_a_record_comes_back_as_it_was():
    whole = Policy(
        reconcile=policy(
            TableRule("shop.stock", policy="delta(qty)"),
            TableRule("shop.stock", Conflict.UNIQUE_EXISTS, "skip"),
            TableRule("ledger.*", always_quarantine=True),
            limits=Limits(rows=5),
            approval=Approval.ALWAYS,
        )
    )
    assert decode(Policy, encode(whole)) == whole


@pytest.mark.parametrize(
    ("approval", "size", "said"),
    [
        (Approval.OVER_LIMITS, (10_000, 1_000_000, 1024), ""),
        (Approval.OVER_LIMITS, (10_001, 0, 0), "10001 transactions are more than the limit of 10000"),
        (Approval.OVER_LIMITS, (0, 1_000_001, 0), "1000001 rows are more than the limit of 1000000"),
        (Approval.OVER_LIMITS, (0, 0, 1025), "1025 MiB of binary log are more than the limit of 1024"),
        (Approval.ALWAYS, (1, 1, 0), "reconcile.approval is always"),
        (Approval.NEVER, (10**9, 10**9, 10**9), ""),
    ],
)
def test_when_a_merge_waits_before_it_begins(approval: Approval, size: tuple[int, int, int], said: str):
    assert policy(approval=approval).waits(*size) == said


def test_a_share_of_quarantined_ones_stops_a_merge_from_twenty_on():
    for judged, quarantined in product(range(60), repeat=2):
        stops = judged >= 20 and quarantined / judged > 0.1
        assert bool(MergePolicy().tripped(quarantined, judged)) == stops
    assert policy(approval=Approval.NEVER).tripped(60, 60) == ""
    assert policy(limits=Limits(quarantine_percent=100)).tripped(60, 60) == ""
    assert MergePolicy().tripped(5, 20) == "5 of 20 transactions are quarantined, more than 10 %"


def test_what_is_harmless_needs_no_policy():
    assert not HARMLESS & set(ALLOWED)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()
