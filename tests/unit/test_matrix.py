"""The fault matrix's own judgement: what it adds up, and what it takes for a broken line of history."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.checkers import kept
from lab.matrix import table
from lab.matrix.row import Outcome, Priority, Row, Scenario
from lab.matrix.runner import result, text
from lab.recordlog import RecordLog, broken_lines_of_history, rules
from orchestrator.core.errors import Refused


def record(epoch: int, seq: int, primary: str = "db-a") -> dict[str, object]:
    return {"epoch": epoch, "seq": seq, "primary": primary}


def test_an_epoch_that_grows_with_its_primary_is_one_line():
    assert broken_lines_of_history([record(1, 3), record(2, 4, "db-b"), record(2, 5, "db-b")]) == []


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([record(2, 4), record(1, 5)], "2.4 was followed by 1.5"),
        ([record(1, 3), record(1, 3)], "1.3 was followed by 1.3"),
        ([record(1, 3), record(1, 4, "db-b")], "epoch 1 had two primaries: db-a, db-b"),
    ],
)
def test_a_record_that_goes_back_or_forks_is_told(records, said):
    assert broken_lines_of_history(records) == [said]


def test_a_rule_whose_record_was_replaced_unseen_is_in_the_event_log():
    seen = [record(2, 5) | {"rule": "F3"}, record(2, 6) | {"rule": "R1"}]
    told = [{"seq": 7, "rule": "U2"}, {"seq": 4, "rule": ""}, {"seq": 4, "rule": "F5"}, {"seq": 3, "rule": "S1"}]
    assert rules(seen, 3, lambda: told) == ["F5", "F3", "R1"]
    assert rules(seen, 3, list) == ["F3", "R1"]  # not written yet
    assert rules([], 3, lambda: told) == []


def test_the_event_log_is_not_asked_while_every_record_was_seen():
    def never() -> list[dict[str, object]]:
        raise AssertionError("asked for nothing")

    assert rules([record(2, 4) | {"rule": "F5"}, record(2, 5) | {"rule": "F3"}], 3, never) == ["F5", "F3"]


def test_a_row_that_was_not_run_counts_for_nothing_else():
    scenarios = [
        Scenario(1, "one", Priority.P0, Outcome.PASSED, acknowledged=5),
        Scenario(2, "two", Priority.P0, Outcome.FAILED, lost=1, two_answerers=2),
        Scenario(3, "three", Priority.P1, Outcome.NOT_RUN),
    ]
    found = result("fast", scenarios)
    assert (found["passed"], found["failed"], found["not_run"]) == (1, 1, 1)
    assert (found["acknowledged"], found["lost"], found["two_answerers"]) == (5, 1, 2)
    assert [one["outcome"] for one in found["scenarios"]] == ["passed", "failed", "not run"]
    assert text(found)[-1].startswith("passed 1  failed 1  not_run 1")


def test_the_log_is_read_on_from_where_it_was_and_never_half_a_line(tmp_path: Path):
    file = tmp_path / "log"
    log = RecordLog(file)
    assert log.records() == []
    file.write_text('{"epoch": 1}\n{"epo')
    assert log.records() == [{"epoch": 1}]
    file.write_text('{"epoch": 1}\n{"epoch": 2}\n')
    assert log.records() == [{"epoch": 1}, {"epoch": 2}]


def test_every_row_has_a_name_of_its_own_and_says_what_it_does():
    rows = (*table.ROWS, *table.NOT_RUN)
    names = [row.name for row in rows]
    assert len(names) == len(set(names))
    for row in rows:
        assert 1 <= row.number <= 66 and row.expected and re.match(r"\S", row.name)
        assert row.injected if isinstance(row, Row) else row.reason


def test_rows_are_chosen_by_priority_and_number():
    rows, not_run = table.chosen("P0", {1})
    assert rows and {(row.number, row.priority) for row in rows} == {(1, Priority.P0)}
    assert all(row.number == 1 for row in not_run)
    everything, nothing = table.chosen(None, ())
    assert (len(everything), len(nothing)) == (len(table.ROWS), len(table.NOT_RUN))


def test_the_rows_of_a_return_have_a_name_together():
    rows, _ = table.chosen(None, table.GROUPS["rejoin"])
    assert {"left behind", "return", "unacknowledged DDL and CREATE USER"} <= {
        re.split("[:,]", row.name)[0] for row in rows
    }
    assert {row.number for row in rows if row.number <= 50} == {39}  # a copy that is interrupted


@pytest.mark.parametrize(
    ("stored", "entries", "evidence", "lost"),
    [
        ({"one", "two"}, "", (), []),
        ({"one"}, '{"note": "two"}', (), []),
        ({"one"}, '{"note": "two-and-more"}', (), ["two"]),
        ({"one"}, '{"rows": []}', ("two",), []),
        ({"one"}, "", ("two",), ["two"]),  # on disk, but nobody is told of it
    ],
)
def test_what_was_left_behind_is_lost_unless_merged_or_kept_by_its_value(stored, entries, evidence, lost):
    found = list(kept.check({"one", "two"}, stored, entries, evidence))
    assert [one.split("'")[1] for one in found] == lost


def test_numbers_that_no_row_has_are_refused_with_those_that_there_are():
    with pytest.raises(Refused, match=r"no row 999 of priority any: there are 1, 2, 3,"):
        table.chosen(None, {999})
