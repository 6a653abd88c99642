"""What the policy makes of a transaction: all of it or nothing, and nothing that a rule does not name."""

from __future__ import annotations

from itertools import product

import pytest

from agents.binlog.images import Image, Operation, RowChange
from agents.binlog.rows import NO_FOREIGN_KEYS
from agents.binlog.table import Column, Table, Type
from agents.reconcile.judging import Footprint, Ruling, footprint, rule
from agents.reconcile.planning import Plan, plan
from orchestrator.core.conflicts import Conflict, How, allowed
from orchestrator.core.mergepolicy import MergePolicy
from orchestrator.core.tablerules import RowPolicy, TableRule

NAMES = ("i", "v", "w")
COLUMNS = tuple(Column(name, Type.LONG, 4, 0, nullable=False) for name in NAMES)
T = Table(5, "s", "t", COLUMNS, (0,), key_of_parts=False, named=True)
BARE = Table(7, "s", "bare", COLUMNS, (), key_of_parts=False, named=True)
OWN = Table(8, "kembar", "quarantine", COLUMNS, (0,), key_of_parts=False, named=True)
BEAT = Table(9, "kembar", "heartbeat", COLUMNS, (0,), key_of_parts=False, named=True)
Row = tuple[int, int, int]
TEXTS = {
    How.QUARANTINE: "quarantine", How.DISCARD: "discard", How.SKIP: "skip", How.APPLY: "apply",
    How.LATEST_WINS: "latest_wins(v)", How.MAX: "max(v)", How.MIN: "min(v)", How.DELTA: "delta(v)",
}  # fmt: skip


def image(row: Row, table: Table) -> Image:
    return Image(table, tuple(value.to_bytes(4, "little") for value in row))


def change(before: Row | None, after: Row | None, table: Table = T, flags: int = 0) -> RowChange:
    operation = Operation.INSERT if before is None else Operation.DELETE if after is None else Operation.UPDATE
    images = [None if row is None else image(row, table) for row in (before, after)]
    return RowChange(table, operation, flags, images[0], images[1])


def planned(policy: MergePolicy, changes: list[RowChange], *present: Row) -> Plan:
    found = footprint(changes)
    return plan(rulings(found, {row[0]: row for row in present}), found, policy)


def rulings(found: Footprint, rows: dict[int, Row]) -> list[Ruling]:
    ruled = []
    for touched in found.ordered():
        row = rows.get(int(touched.condition.rpartition(" ")[2]))
        ruled.append(rule(touched, None if row is None else image(row, touched.table).compared(), ()))
    return ruled


def rules(*given: tuple[str, str]) -> MergePolicy:
    return MergePolicy(tables=tuple(TableRule(match, policy=policy) for match, policy in given))


# Each conflict of one row: the errant change, and the primary's row.
CONFLICTS = {
    Conflict.INSERT_EXISTS: (change(None, (1, 5, 5)), [(1, 6, 5)]),
    Conflict.UPDATE_DIFFERS: (change((1, 5, 5), (1, 7, 5)), [(1, 6, 5)]),
    Conflict.UPDATE_MISSING: (change((1, 5, 5), (1, 7, 5)), []),
    Conflict.DELETE_DIFFERS: (change((1, 5, 5), None), [(1, 6, 5)]),
}


@pytest.mark.parametrize("conflict", CONFLICTS)
@pytest.mark.parametrize("how", list(How))
def test_a_row_is_settled_by_an_allowed_policy_alone(conflict: Conflict, how: How) -> None:
    one, present = CONFLICTS[conflict]
    found = planned(rules(("s.t", TEXTS[how])), [one], *present)
    if how in (How.QUARANTINE, How.DISCARD):
        assert found.stop is not None and (found.stop.how, found.stop.conflict) == (how, conflict)
    elif how in allowed(conflict):
        assert found.stop is None
        (wish,) = found.wishes.values()
        assert (wish.conflict, wish.policy.how, wish.text) == (conflict, how, TEXTS[how])
    else:
        assert found.stop is not None and found.stop.how is How.QUARANTINE
        assert TEXTS[how] in found.stop.detail and conflict in found.stop.detail
    assert not found.identical


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_without_a_policy_each_is_for_a_person(conflict: Conflict) -> None:
    one, present = CONFLICTS[conflict]
    found = planned(MergePolicy(), [one], *present)
    assert found.stop is not None and (found.stop.how, found.stop.conflict) == (How.QUARANTINE, conflict)


@pytest.mark.parametrize(("first", "second"), list(product(["skip", "discard", "quarantine"], repeat=2)))
def test_the_worst_row_decides_for_all(first: str, second: str) -> None:
    other = Table(6, "s", "u", COLUMNS, (0,), key_of_parts=False, named=True)
    changes = [change((1, 5, 5), (1, 7, 5)), change((2, 5, 5), (2, 7, 5), other)]
    found = planned(rules(("s.t", first), ("s.u", second)), changes, (1, 6, 5), (2, 6, 5))
    worst = next((how for how in (How.QUARANTINE, How.DISCARD) if how in (first, second)), None)
    assert (found.stop.how if found.stop else None) == worst


def test_rows_without_a_conflict_are_changed_beside_those_that_a_policy_settles() -> None:
    changes = [change((1, 5, 5), (1, 7, 5)), change((2, 5, 5), (2, 7, 5)), change((3, 5, 5), (3, 7, 5))]
    found = planned(rules(("s.t", "skip")), changes, (1, 6, 5), (2, 5, 5), (3, 7, 5))
    keys = [touched.key for touched in footprint(changes).ordered()]
    assert (set(found.wishes), found.left) == ({keys[0]}, {keys[2]})


def test_a_row_that_is_there_already_needs_no_policy() -> None:
    for how in How:
        assert planned(rules(("s.t", TEXTS[how])), [change((1, 5, 5), (1, 7, 5))], (1, 7, 5)).identical
        assert planned(rules(("s.t", TEXTS[how])), [change((1, 5, 5), None)]).identical


def test_rows_without_a_key_are_not_there_already_because_the_others_are() -> None:
    """They are in no key's footprint, and would be lost with the number that is used up."""
    changes = [change((1, 5, 5), (1, 7, 5)), change(None, (9, 9, 9), BARE)]
    assert not planned(MergePolicy(), changes, (1, 7, 5)).identical


def test_a_row_that_came_and_went_within_the_transaction_takes_nothing_with_it() -> None:
    changes = [change(None, (1, 5, 5)), change((1, 5, 5), None)]
    for how in allowed(Conflict.INSERT_EXISTS):
        found = planned(rules(("s.t", TEXTS[how])), changes, (1, 9, 9))
        assert found.stop is not None or [wish.policy.how for wish in found.wishes.values()] == [How.SKIP]


@pytest.mark.parametrize("how", [How.APPLY, How.LATEST_WINS, How.DELTA, How.SKIP])
def test_a_row_that_went_to_another_key_is_skipped_at_both_or_for_a_person(how: How) -> None:
    found = planned(rules(("s.t", TEXTS[how])), [change((1, 5, 5), (2, 5, 5))], (1, 6, 5))
    if how is How.SKIP:
        assert found.stop is None and len(found.wishes) == 2
    else:
        assert found.stop is not None and found.stop.how is How.QUARANTINE


def test_columns_have_policies_of_their_own() -> None:
    (wish,) = planned(
        rules(("s.t.V", "delta(v)"), ("s.t.i", "skip"), ("s.t", "skip")),
        [change((1, 5, 5), (1, 7, 6))],
        (1, 6, 5),
    ).wishes.values()
    assert wish.by_columns
    assert (wish.of("v"), wish.of("w")) == (RowPolicy(How.DELTA, ("v",)), RowPolicy(How.SKIP))
    assert wish.text == "v: delta(v), skip"  # i was not changed


@pytest.mark.parametrize(
    ("given", "changed", "stop"),
    [
        ([("s.t.v", "delta(v)")], (1, 7, 5), None),
        ([("s.t.v", "delta(v)")], (1, 7, 6), None),  # whether w may be changed, the primary's row tells
        ([("s.t.v", "quarantine"), ("s.t", "apply")], (1, 7, 5), How.QUARANTINE),
        ([("s.t.v", "quarantine"), ("s.t", "apply")], (1, 5, 6), None),  # v was not changed
        ([("s.t.v", "delta(v)"), ("s.t", "discard")], (1, 7, 5), None),
        ([("s.t.v", "delta(v)"), ("s.t", "discard")], (1, 7, 6), How.DISCARD),
    ],
)
def test_a_column_wins_over_its_table(given: list[tuple[str, str]], changed: Row, stop: How | None) -> None:
    found = planned(rules(*given), [change((1, 5, 5), changed)], (1, 6, 4))
    assert (found.stop.how if found.stop else None) == stop


def test_of_columns_that_nobody_speaks_of_a_rule_for_the_table_may_ask_for_a_person() -> None:
    one, present = change((1, 5, 5), (1, 7, 6)), (1, 6, 5)
    (open_one,) = planned(rules(("s.t.v", "delta(v)")), [one], present).wishes.values()
    (said,) = planned(rules(("s.t.v", "delta(v)"), ("s.t", "quarantine")), [one], present).wishes.values()
    assert (open_one.of("w"), said.of("w")) == (None, RowPolicy())
    (summed,) = planned(rules(("s.t", "delta(v)")), [one], present).wishes.values()
    assert summed.of("w") is None


def test_an_insert_is_not_added_to_a_row_though_one_of_its_columns_asks_for_it() -> None:
    found = planned(rules(("s.t.v", "delta(v)")), [change(None, (1, 5, 5))], (1, 6, 5))
    assert found.stop is not None and "delta(v) of s.t.v settles no insert_exists" in found.stop.detail


def test_checks_that_were_off_and_rows_without_a_key_are_named_where_a_policy_goes_on() -> None:
    off = [change((1, 5, 5), (1, 6, 5), flags=NO_FOREIGN_KEYS)]
    assert planned(rules(("s.t", "apply")), off, (1, 5, 5)).named == ("checks_were_off of s.t: apply",)
    stop = planned(rules(("s.t", "skip")), off, (1, 5, 5)).stop
    assert stop is not None and "skip of s.t settles no checks_were_off" in stop.detail
    bare = [change((1, 5, 5), None, BARE), change(None, (2, 2, 2), BARE)]
    found = planned(rules(("s.*", "skip")), bare)
    assert (found.unkeyed, found.named) == ({"s.bare"}, ("no_primary_key of s.bare: skip",))
    stop = planned(MergePolicy(), bare).stop
    assert stop is not None and stop.conflict is Conflict.NO_PRIMARY_KEY


def test_rows_of_our_own_schema_are_no_conflict_to_anybody() -> None:
    changes = [change((1, 5, 5), (1, 6, 5)), change((2, 5, 5), (2, 6, 5), OWN), change((3, 5, 5), (3, 6, 5), BEAT)]
    found = planned(MergePolicy(), changes, (1, 5, 5), (2, 9, 9), (3, 5, 5))
    assert found.stop is None and not found.wishes
    assert {table for table, _ in found.left} == {"kembar.quarantine", "kembar.heartbeat"}
    merged = planned(MergePolicy(), changes[1:2], (2, 5, 5))  # what was decided there survives
    assert not merged.left and not merged.identical


def test_what_the_server_refused_goes_by_the_policy_for_that() -> None:
    found = footprint([change(None, (1, 5, 5))])
    ruled = rulings(found, {})
    (key,) = found.touched
    refused = {key: Conflict.UNIQUE_EXISTS}
    assert plan(ruled, found, rules(("s.t", "skip")), refused).wishes[key].policy.how is How.SKIP
    stop = plan(ruled, found, rules(("s.t", "apply")), refused).stop
    assert stop is not None and (stop.how, stop.conflict) == (How.QUARANTINE, Conflict.UNIQUE_EXISTS)
