"""An incident in words: what was lost, what is left to do, and a report that nobody's text can turn into markup."""

from __future__ import annotations

import json
from dataclasses import replace

from carrier import Carrier
from kept_pairs import OVER, returned
from pairs import COMPLETED, FAILOVER, SETTLED, healthy
from test_api import SHOP, one

from monitoring.incident_view import incident_view
from monitoring.postmortem import postmortem
from orchestrator.core.history import Event

HOSTILE = "<script>alert(1)</script> | `x` *b* [a](http://evil) \n# title"


def test_what_was_lost_is_said_by_kind():
    shown = {rule: incident_view(healthy(), replace(FAILOVER, rule=rule))["loss"] for rule in ("F5", "F6")}
    assert shown["F5"] == "none that was acknowledged: db-a was certified to hold everything"
    assert shown["F6"].startswith("not proven: orchestrator accepted loss. What db-b alone had acknowledged")
    assert incident_view(healthy(), replace(FAILOVER, kind="switchover", rule="S1"))["loss"].startswith("none: db-a ")


def test_events_of_it_and_beside_it():
    far = Event("mode.async", "2026-11-21T19:10:00.000Z", "warning", "later", 7, 43)
    bad = replace(far, at="yesterday")
    shown = incident_view(healthy(events={411: COMPLETED, 412: SETTLED, 413: far, 414: bad}), FAILOVER)
    assert [one["id"] for one in shown["events"]] == ["000411"]
    assert [one["id"] for one in shown["around"]] == ["000412"]


def test_the_return_of_that_epoch_stands_with_it():
    shown = incident_view(returned(replace(OVER, epoch=7)), FAILOVER)
    assert shown["return"]["node"] == "db-b"
    assert shown["todo"][0]["command"] == "kembar reconcile show 7"
    assert incident_view(returned(replace(OVER, epoch=9)), FAILOVER)["return"] is None


def test_the_api_gives_the_same():
    _, _, body = one(Carrier(), "GET", f"{SHOP}/incidents/7", "vera")
    assert body == json.loads(json.dumps(incident_view(healthy(), FAILOVER)))


def test_a_report_holds_the_whole_incident():
    text = postmortem(incident_view(returned(replace(OVER, epoch=7)), FAILOVER))
    assert text.startswith("# Failover \\#7 of shop: ok\n")
    for line in (
        "- **Trigger**: auto, by orchestrator",
        "- **Writes out**: 96 ms (+100 ms at most)",
        "| promote | +19.0 | 21.0 |",
        "- **Return**: \\#7 of db-b, by rewind, now closed",
    ):
        assert line in text.splitlines()


def test_what_anybody_typed_is_no_markup_in_it():
    shown = incident_view(healthy(), replace(FAILOVER, reason=HOSTILE, outcome="running", steps=()))
    text = postmortem(shown)
    (line,) = [one for one in text.splitlines() if one.startswith("- **Reason**")]
    assert line == (
        "- **Reason**: \\<script\\>alert(1)\\</script\\> \\| \\`x\\` \\*b\\* \\[a\\](http://evil) \\# title"
    )
