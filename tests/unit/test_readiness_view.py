"""Readiness in words, the same on page, status and API; and what a snapshot carries of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from carrier import Carrier
from pairs import READY, healthy
from test_api import SHOP, one
from test_bad_records import PATHS, Deciding
from test_cli import run
from test_totals import incident
from told import TOTALS

from builders import DB_A, seen, situation  # isort: skip
from monitoring.readiness_view import readiness_view
from monitoring.rendering import ENVIRONMENT
from orchestrator.core.history import Recent
from orchestrator.core.readiness import Readiness
from orchestrator.core.wire import encode

NO = Readiness(
    "db-b", False, ("mode ASYNC", "not certified"), loss_transactions=118, loss_as_of_s=0.3, silent_ms=2440.0
)
WORDS = {
    "safe": (
        READY,
        "yes, db-b is promotable; no acknowledged transaction would be lost; "
        "writes out about 96 ms if mysqld exits (the last 3), 2.5 s if its host falls silent",
    ),
    "held": (
        replace(READY, held="paused", exited_ms=None, measured=0),
        "yes, db-b is promotable, but paused: it would not begin by itself; "
        "no acknowledged transaction would be lost; writes out about 2.5 s if its host falls silent",
    ),
    "with a backlog": (
        replace(READY, backlog_transactions=1, measured=1),
        "yes, db-b is promotable; no acknowledged transaction would be lost; writes out about 96 ms if mysqld exits "
        "(the last one), 2.5 s if its host falls silent, after 1 transaction of backlog",
    ),
    "not promotable": (
        NO,
        "no, db-b is not promotable: mode ASYNC, not certified; "
        "forced, it would lose 118 transactions and what came in the last 0.8 s",
    ),
    "at an unknown price": (
        replace(NO, because=("not heard",), loss_transactions=None),
        "no, db-b is not promotable: not heard; what would be lost is not known",
    ),
    "unknown": (Readiness("db-b", because=("no node is heard",)), "not known: no node is heard"),
}


@pytest.mark.parametrize(("found", "text"), WORDS.values(), ids=WORDS)
def test_in_words(found, text):
    assert readiness_view(healthy(readiness=found), 0.5)["text"] == text


def test_what_may_be_long_past_is_not_called_safe():
    for snapshot, elapsed_s in ((healthy(), 30.0), (healthy(connected=False), 0.0)):
        shown = readiness_view(snapshot, elapsed_s)
        assert (shown["ready"], shown["promotable"], shown["text"]) == (False, None, "not known: no fresh data")


def test_the_share_says_of_which_time():
    shown = readiness_view(healthy(totals=TOTALS), 0.0)
    assert (shown["share"], shown["share_of_s"]) == (0.9, 3600.0)
    assert shown["text"].endswith("; safe in 90.00 % of the 1.0 h watched in the last day")


def test_the_api_gives_it_by_itself_and_with_the_cluster():
    status, _, body = one(Carrier(), "GET", f"{SHOP}/readiness", "vera")
    assert (status, body["ready"], body["automatic"], body["loss_transactions"]) == (200, True, True, 0)
    assert body == one(Carrier(), "GET", SHOP, "vera")[2]["readiness"]
    assert one(Carrier(), "GET", f"{SHOP}/readiness")[0] == 401


def test_status_and_page_show_the_same_sentence(tmp_path):
    carrier = Carrier(healthy(readiness=NO))
    text = readiness_view(carrier.snapshot, 0.0)["text"]
    row = next(line for line in run(carrier, tmp_path, "status").stdout.splitlines() if line.startswith("ready"))
    assert row.split(maxsplit=1)[1] == text
    page = one(carrier, "GET", "/c/shop", "vera")[2]
    assert ENVIRONMENT.from_string("{{ text }}").render(text=text) in page


def test_a_snapshot_carries_what_was_judged_counted_and_compared_by_its_clock():
    deciding = Deciding(situation(seen(DB_A, wall_s=3.5)))
    deciding.put(PATHS.recent, encode(Recent(incidents=(incident(7),))))
    beside = deciding.seen[PATHS.recent]
    deciding.seen[PATHS.totals] = replace(beside, stored=replace(beside.stored, data=encode(TOTALS)))
    deciding.tick()
    shown = deciding.shown()
    assert (shown.readiness.ready, shown.readiness.exited_ms) == (True, 96.0)
    assert shown.totals == TOTALS
    stored = deciding.seen[PATHS.report(DB_A)].stored
    assert shown.clock_offsets_s == {DB_A: round(3.5 - stored.modified_ms / 1000, 3)}
