"""What the lab reads from the records of a return, and the table that only makes a database large."""

from __future__ import annotations

import re

import pytest

from lab import ballast
from lab.returns import durations, last_return, verdicts


def version(at: float, stage: str, merge: str = "unknown", number: int = 7) -> dict[str, object]:
    return {"at": at, "id": number, "stage": stage, "merge": merge, "verdicts": {"merged": 3}}


REWIND = [
    version(11.0, "detect"),
    version(11.5, "bundle"),
    version(12.0, "rewind", "running"),
    version(12.2, "rewind", "done"),
    version(13.0, "rejoin", "done"),
    version(13.5, "verify", "done"),
    version(14.0, "closed", "done"),
]


def test_each_stage_lasts_until_the_next_and_the_merge_beside_them():
    found = durations(REWIND, 10.0, 13.4, 14.25)
    assert found == {
        "start": 1.0, "detect": 0.5, "bundle": 0.5, "rewind": 1.0, "rejoin": 0.5, "verify": 0.5, "certify": 0.25,
        "merge": 0.2,
    }  # fmt: skip
    assert sum(seconds for name, seconds in found.items() if name != "merge") == 4.25


def test_a_return_without_a_record_is_start_and_certificate():
    assert durations([], 10.0, 11.0, 11.5) == {"start": 1.0, "certify": 0.5}


def test_what_came_before_the_server_was_started_is_not_counted():
    """A tail is cut before, and its record may be opened then."""
    found = durations([version(9.0, "bundle"), version(10.5, "rejoin"), version(11.0, "closed")], 10.0, 10.8, 11.5)
    assert found == {"start": 0.0, "bundle": 0.5, "rejoin": 0.5, "certify": 0.5}


def test_only_the_newest_return_counts():
    assert last_return([version(1.0, "closed", number=3), *REWIND], 0.0) == REWIND
    assert last_return(REWIND, 20.0) == []
    assert verdicts(REWIND) == {"merged": 3} and verdicts([]) == {}


@pytest.mark.parametrize("size_mb", [1, 2, 3, 100, 2000])
def test_the_ballast_has_so_many_rows(size_mb: int):
    """Each statement doubles what is there, but for the last."""
    rows = ballast.ROWS_PER_MB
    for statement in ballast.statements(size_mb, "shop"):
        if found := re.search(r"id \+ (\d+), .* <= (\d+)", statement):
            assert int(found[1]) == rows
            rows += min(rows, int(found[2]))
    assert rows == size_mb * ballast.ROWS_PER_MB


def test_no_ballast_is_no_table():
    assert ballast.statements(0, "shop") == ()
