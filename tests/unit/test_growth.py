"""Growth of a process from its samples, and what is left of a lease: numbers in, numbers out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.growth import Sample, growth, slope
from lab.soak import FAILS, failed
from orchestrator.core.lease import Margins
from orchestrator.core.model import FAST

A_S = FAST.timing.authorised_s


def samples(*rss_mb: float, every_s: float = 5.0) -> list[Sample]:
    return [Sample(100.0 + number * every_s, rss, 10 + number, 7) for number, rss in enumerate(rss_mb)]


def test_what_stays_does_not_grow():
    found = growth(samples(40.0, 40.0, 40.0))
    assert found["rss_mb"] == {"first": 40.0, "last": 40.0, "growth": 0.0, "growth_percent": 0.0, "per_hour": 0.0}
    assert found["fds"] == {"first": 10, "last": 12, "growth": 2}
    assert found["threads"]["growth"] == 0


def test_a_leak_shows_in_megabytes_in_percent_and_per_hour():
    found = growth(samples(40.0, 40.1, 40.2, 40.3))["rss_mb"]
    assert (found["growth"], found["growth_percent"]) == (0.3, 0.75)
    assert found["per_hour"] == pytest.approx(0.1 / 5.0 * 3600)


def test_one_sample_has_no_slope():
    assert growth(samples(40.0))["rss_mb"]["per_hour"] == 0.0


@given(st.floats(-5, 5), st.floats(-100, 100), st.lists(st.integers(0, 1000), min_size=2, max_size=20, unique=True))
def test_the_slope_of_a_straight_line_is_its_own(rise, base, moments):
    assert slope([(x, base + rise * x) for x in moments]) == pytest.approx(rise, abs=1e-6)


def test_a_leak_in_a_noisy_series_is_not_judged_by_its_ends():
    """The last sample may stand in a dip."""
    assert slope([(0, 0.0), (1, 1.2), (2, 1.9), (3, 3.1), (4, 0.5)]) > 0


def test_margins_count_by_tenths_of_what_is_authorised():
    found = Margins()
    for left_s in (A_S, 0.95 * A_S, 0.55 * A_S, 0.04 * A_S, -0.2):
        found = found.noting(left_s, FAST.timing)
    assert found.tenths == (2, 0, 0, 0, 0, 1, 0, 0, 0, 2)
    assert (found.renewals, found.smallest_ms) == (5, -200.0)


@given(st.lists(st.floats(-10, 10), max_size=30))
def test_every_renewal_is_counted_once(lefts):
    found = Margins()
    for left_s in lefts:
        found = found.noting(left_s, FAST.timing)
    assert sum(found.tenths) == found.renewals == len(lefts)


def test_whatever_must_not_happen_without_a_fault_fails_a_soak():
    well = {"failovers": 0, "lost": 0, "duplicates": 0, "two_answerers": 0, "violations": [], "ended": []}
    assert not failed(well)
    for name in FAILS:
        assert failed(well | {name: ["agent-db-a"] if isinstance(well[name], list) else 1})
