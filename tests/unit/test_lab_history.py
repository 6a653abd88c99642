"""What a client's history proves, by histories written by hand: a judge that finds nothing has to be able to."""

from __future__ import annotations

import pytest

from lab.history import double_answers, duplicates, invented, lost, outage_s, parse, quantiles

HISTORY = parse(
    [
        "ok 1.00 1.01 1 a",
        "ok 1.02 1.03 2 a",
        "unknown 1.04 1.30 3 a",
        "refused 1.31 1.32 4 -",
        "ok 1.50 1.53 5 b",
        "ok 1.54 1.55 6 b",
    ]
)


def test_an_outage_lasts_from_the_last_acknowledgement_to_the_next():
    assert outage_s(HISTORY, struck=1.03) == pytest.approx(0.5)
    assert outage_s(HISTORY, struck=1.53) == pytest.approx(0.02), "what ended before the fault is none of it"


@pytest.mark.parametrize("struck", [0.5, 1.55])
def test_an_outage_without_a_write_on_either_side_was_not_measured(struck):
    with pytest.raises(ValueError, match="before and after"):
        outage_s(HISTORY, struck)


def test_only_what_was_acknowledged_can_be_lost():
    assert lost(HISTORY, [1, 2, 3, 5, 6]) == []
    assert lost(HISTORY, [1, 3, 4, 6]) == [2, 5]


def test_a_value_that_is_there_twice_or_was_never_sent_is_found():
    assert duplicates([1, 2, 2, 3]) == [2]
    assert invented(HISTORY, [1, 3, 7]) == [7]


def test_a_round_in_which_two_answered_is_counted():
    assert double_answers(["1.0 aa", "2.0 aa bb", "3.0"]) == 1


def test_a_line_that_is_none_of_the_meters_is_no_history():
    with pytest.raises(ValueError, match="unpack"):
        parse(["ok 1.00 1.01"])


def test_quantiles_are_values_that_were_measured():
    assert quantiles(range(1, 101)) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert quantiles([7.25]) == {"p50": 7.2, "p95": 7.2, "p99": 7.2, "max": 7.2}
