"""What is kept for the charts: one sample a second, nothing of what was not heard, and the time around incidents."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from browsing import browsing
from carrier import WALL_S, Carrier
from pairs import DB_A, DB_B, FAILOVER, PRIMARY, STANDBY, UUID, aged, healthy, with_reports

from monitoring.backend import utc
from monitoring.samples import AROUND_S, BUCKET_S, INCIDENTS_KEPT, KEPT_S, LAG, WRITES, Samples
from monitoring.sampling import Sampler


def at(second: int, transactions: int = 120, **changes):
    """The pair at a second, with reports that have just come."""
    reports = {DB_A: aged(replace(PRIMARY, executed=f"{UUID}:1-{transactions}"), 0.0), DB_B: aged(STANDBY, 0.0)}
    return healthy(**{"taken": float(second), "reports": reports, **changes})


def test_writes_are_the_transactions_from_report_to_report():
    samples = Samples()
    for second, transactions in ((1, 100), (2, 150), (3, 150), (4, 350)):
        samples.take(at(second, transactions), 0.0, second)
    assert samples.line(DB_A, WRITES, 5, 5, 1).values == (None, None, 50.0, 0.0, 200.0)


def test_as_long_as_no_other_report_has_come_the_last_rate_holds():
    samples = Samples()
    for second, transactions in ((1, 100), (2, 150)):
        samples.take(at(second, transactions), 0.0, second)
    later = at(3, 150)
    aged_by_one = {node: replace(one, age_s=1.0) for node, one in later.reports.items()}
    samples.take(replace(later, reports=aged_by_one), 0.0, 3)
    assert samples.line(DB_A, WRITES, 4, 2, 1).values == (50.0, 50.0)


def test_another_life_and_a_smaller_set_begin_anew():
    samples = Samples()
    samples.take(at(1, 100), 0.0, 1)
    samples.take(at(2, 50), 0.0, 2)
    samples.take(with_reports({"incarnation": "db-a/2", "executed": f"{UUID}:1-90"}, taken=3.0), 0.0, 3)
    assert samples.line(DB_A, WRITES, 4, 3, 1).values == (None, None, None)
    samples.take(with_reports({"executed": "nonsense"}, taken=4.0), 0.0, 4)
    assert samples.line(DB_A, WRITES, 5, 1, 1).values == (None,)


def test_lag_is_that_of_a_standby_that_is_connected_and_heard():
    samples = Samples()
    samples.take(at(1), 0.0, 1)
    samples.take(at(2), 30.0, 2)
    samples.take(with_reports(standby={"receiver_connected": False}, taken=3.0), 0.0, 3)
    assert samples.line(DB_B, LAG, 4, 3, 1).values == (0.1, None, None)
    assert samples.line(DB_A, LAG, 4, 3, 1).values == (None, None, None)


def test_a_sparkline_is_the_largest_of_each_bucket_and_ends_with_a_whole_one():
    samples = Samples()
    for second in range(995, 1003):
        samples.take(with_lag(second, second / 1000), 0.0, second)
    line = samples.sparkline(DB_B, LAG, 1003, "x").lines[0]
    assert len(line.values) == KEPT_S // BUCKET_S
    assert line.values[-1] == 0.999, "those of the present bucket come with the next"
    assert line.values[-2] is None


def with_lag(second: int, lag_s: float):
    return with_reports(standby={"received_age_s": lag_s}, taken=float(second))


def test_a_quarter_of_an_hour_is_kept():
    samples = Samples()
    for second in range(KEPT_S + 50):
        samples.take(with_lag(second, 1.0), 0.0, second)
    assert samples.line(DB_B, LAG, KEPT_S + 50, KEPT_S + 50, 1).values.count(1.0) == KEPT_S


def test_an_incident_keeps_its_own_time():
    samples = Samples()
    for second in range(600):
        samples.take(with_lag(second, second / 100), 0.0, second)
    samples.keep(at(600), 7, 400, 10, "x")
    lag, writes = samples.kept(7)
    by_node = {line.name: line.values for line in lag.lines}
    assert (len(by_node["db-b"]), by_node["db-b"][0], by_node["db-b"][-1]) == (250, 2.7, 5.19)
    assert writes.unit == "/s" and samples.kept(8) == ()
    for incident in range(100, 100 + INCIDENTS_KEPT):
        samples.keep(at(600), incident, 400, 10, "x")
    assert samples.kept(7) == ()


def test_the_sampler_keeps_an_incident_once_its_time_is_over():
    carrier, sampler = Carrier(now_s=1000.0), Sampler()

    def ended(ago_s: float, **more):
        began = utc(WALL_S - ago_s - FAILOVER.total_ms / 1000)
        carrier.snapshot = at(1000, incidents=(replace(FAILOVER, **{"began": began, **more}),))
        sampler.take(carrier.backend())
        return sampler.samples["shop"].kept(FAILOVER.id)

    assert not ended(AROUND_S - 1)
    assert not ended(AROUND_S + 1, outcome="running")
    assert not ended(AROUND_S + 1, began="yesterday")
    assert [one.id for one in ended(AROUND_S + 1)] == ["incident-lag", "incident-writes"]


def test_an_incident_that_has_just_ended_shows_what_there_is_until_now():
    carrier, sampler = Carrier(now_s=1000.0), Sampler()
    carrier.snapshot = at(1000)
    sampler.take(carrier.backend())
    recent = replace(FAILOVER, began=utc(WALL_S - 5))
    drawn = sampler.charts_of(carrier.backend(), carrier.snapshot, recent)
    assert 'id="incident-lag"' in drawn and "db-b not measured, at most 0.1 s" in drawn
    assert sampler.charts_of(carrier.backend(), carrier.snapshot, FAILOVER) == "", "that was days ago"


def test_charts_are_drawn_once_for_each_bucket():
    carrier, sampler = Carrier(now_s=1000.0), Sampler()
    backend = carrier.backend()
    first = sampler.charts(backend, carrier.snapshot)
    carrier.now_s = 1004.9
    assert sampler.charts(backend, carrier.snapshot) is first
    carrier.now_s = 1005.0
    assert sampler.charts(backend, carrier.snapshot) is not first


def test_a_sample_is_taken_as_long_as_the_server_runs():
    carrier = Carrier()

    async def talk(browser):
        sampler = next(value for key, value in browser.app.items() if isinstance(value, Sampler))
        async with asyncio.timeout(10):
            while not sampler.samples:
                await asyncio.sleep(0.01)
        return sampler.samples["shop"].line(DB_B, LAG, 101, 1, 1).values

    assert browsing(carrier, talk) == (0.1,)
