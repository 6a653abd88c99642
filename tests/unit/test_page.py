"""The page of a pair: whole without a script, HTML in every state, and whatever stands in a database is text on it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from browsing import PAGE, browsing, logged_in, page_of, parsed, text_of
from carrier import Carrier
from kept_pairs import KEPT, OVER, ROW, returned
from pairs import COMPLETED, DB_A, DB_B, FAILOVER, PRIMARY, STANDBY, STEADY, aged, healthy, with_reports
from test_view import EVERYTHING

from monitoring.blocks import phases
from monitoring.incident_view import incident_view
from monitoring.postmortem import postmortem
from monitoring.view import view
from orchestrator.core.kept import Open
from orchestrator.core.model import HostFacts, Phase
from orchestrator.core.requests import Kind, Request, RequestState

IDS = [
    "verdict",
    "freshness",
    "vip",
    "next",
    "operation",
    "actions",
    "node-db-a",
    "node-db-b",
    "readiness",
    "control",
    "reconcile",
    "events",
    "history",
]
HOSTILE = "</td></table><script>alert(1)</script><img src=x onerror=alert(1)>' \" -->{{ 7*7 }}"


@pytest.mark.parametrize("snapshot", [*EVERYTHING.values(), returned()], ids=[*EVERYTHING, "a return"])
def test_in_every_state_it_is_html_with_every_block(snapshot):
    text = page_of(Carrier(snapshot))
    document = parsed(text)
    present = [one.get("id") for one in document.iter() if one.get("id")]
    assert set(IDS) <= set(present)
    assert len(present) == len(set(present)), "an id is there once"
    assert "style=" not in text and "onclick" not in text
    assert len(text.encode()) <= 100_000


def test_the_verdict_stands_in_title_and_icon_too():
    document = parsed(page_of(Carrier()))
    verdict = "writes OK on db-a (VIP 192.0.2.100), db-b is ready to take over"
    assert document.find(".//title").text == f"[ok] shop: {verdict}"
    (icon,) = [one for one in document.iter("link") if one.get("rel") == "icon"]
    assert icon.get("href").startswith("data:image/svg+xml,")
    assert text_of(document, "verdict") == f"shop ok HEALTHY {verdict}"


def test_without_a_script_it_loads_itself_anew():
    (refresh,) = [one for one in parsed(page_of(Carrier())).iter("meta") if one.get("http-equiv") == "refresh"]
    assert refresh.get("content") == "5"


def test_who_holds_the_vip_is_seen_three_ways():
    host = HostFacts(hardware="02:00:00:00:00:0b")
    snapshot = with_reports(standby={"host": host})
    carrier = Carrier(snapshot, answers_for="02:00:00:00:00:0b")
    shown = text_of(parsed(page_of(carrier)), "vip")
    assert "agents: db-a \N{CHECK MARK} ZooKeeper: db-a \N{CHECK MARK} ARP at witness: db-b differs" in shown
    one_known = Carrier(snapshot, answers_for="02:00:00:00:00:0f")
    assert "ARP at witness: 02:00:00:00:00:0f auto" in text_of(parsed(page_of(one_known)), "vip"), "whose is not known"
    both = with_reports({"host": replace(host, hardware="02:00:00:00:00:0a")}, {"host": host})
    foreign = Carrier(both, answers_for="02:00:00:00:00:0f")
    assert "ARP at witness: 02:00:00:00:00:0f differs" in text_of(parsed(page_of(foreign)), "vip")
    assert "ARP at witness: not seen from here" in text_of(parsed(page_of(Carrier())), "vip")
    disputed = with_reports(standby={"has_address": True, "gate_open": True})
    assert "DISPUTED agents: db-a and db-b differs" in text_of(parsed(page_of(Carrier(disputed))), "vip")


def test_what_is_old_is_grey_and_says_since_when():
    late = Carrier(healthy(reports={DB_A: aged(PRIMARY), DB_B: aged(STANDBY, 12.0)}))
    document = parsed(page_of(late))
    (card,) = [one for one in document.iter("section") if one.get("id") == "node-db-b"]
    assert "stale" in card.get("class") and "STALE 12 s" in text_of(document, "node-db-b")
    assert "db-b STALE 12 s" in text_of(document, "freshness")
    stopped = parsed(page_of(Carrier(now_s=130.0)))
    assert text_of(stopped, "verdict") == "shop ? UNKNOWN unknown since 18:58:34Z: data is not refreshed"
    assert text_of(stopped, "freshness").startswith("STALE 30 s ZooKeeper 30 s")


def test_a_card_opens_to_its_server():
    host = HostFacts(0.42, 61.0, 38.0, 7200.0, "9.7.4", 142, 0, 0.5, 0.6, 8, 64000, 900)
    shown = text_of(parsed(page_of(Carrier(with_reports({"host": host})))), "host-db-a")
    assert shown == (
        "Server load 0.42, 0.50, 0.60 on 8 CPUs memory 61 % of 62.5 GiB disk of data 38 % of 900 MiB MySQL 9.7.4 "
        "connections 142 up 2 h"
    )


def test_an_incident_under_way_shows_where_it_is():
    running = replace(FAILOVER, outcome="running", steps=())
    moving = healthy(cluster=replace(STEADY, phase=Phase.PROMOTING), incidents=(running,))
    states = [one["state"] for one in phases(view(moving, 0.0, "2026-11-21T18:59:04.120Z"))]
    assert states == ["done", "done", "now"]
    document = parsed(page_of(Carrier(moving)))
    (now,) = [one for one in document.iter("li") if one.get("aria-current") == "step"]
    assert "".join(now.itertext()).startswith("take over")
    fencing = replace(moving, cluster=replace(STEADY, phase=Phase.FENCING))
    assert [one["state"] for one in phases(view(fencing, 0.0, "2026-11-21T18:59:04.120Z"))] == ["done", "now", "next"]


def test_the_last_one_says_how_long_and_what_was_lost():
    shown = text_of(parsed(page_of(Carrier())), "operation")
    assert "FAILOVER #7 OK writes out 96 ms" in shown
    assert "detect 6.0 ms at +0.0 fence 9.0 ms at +6.0 drain 4.0 ms" in shown
    assert "Lost: none that was acknowledged: db-a was certified to hold everything." in shown


def test_whoever_asked_for_something_reads_what_became_of_it():
    refused = Request("a1", Kind.SWITCHOVER, DB_B, "patch", "olga", 7, RequestState.REFUSED, "backlog", ("backlog: 5",))
    carrier = Carrier(healthy(requests={"a1": refused}))
    shown = text_of(parsed(page_of(carrier, "/c/shop?operation=a1", "olga")), "asked")
    assert shown == "YOU ASKED switchover to db-b: REFUSED, backlog; backlog: 5"
    assert text_of(parsed(page_of(carrier, "/c/shop?operation=zz", "olga")), "asked") == ""


def test_both_images_of_a_conflict_and_the_ways_to_decide_it():
    document = parsed(page_of(Carrier(returned()), who="olga"))
    shown = text_of(document, "reconcile")
    assert "column base returned node primary id 2 2 2 bal 200.00 207.00 150.00" in shown
    links = [one.get("href") for one in document.iter("a")]
    gtid = KEPT.transactions[0].gtid.replace(":", "%3A")
    for verb in ("apply", "discard"):
        assert f"/c/shop/actions/reconcile_{verb}?returning=7&gtid={gtid}&seen=v1" in links
    barred = KEPT.transactions[2].gtid.replace(":", "%3A")
    assert not any("reconcile_apply" in link and barred in link for link in links if link), "it cannot be applied"


def test_the_events_can_be_filtered_without_a_script():
    for wanted, chosen in (("warning", "warning"), ("nonsense", "info")):
        document = parsed(page_of(Carrier(), f"/c/shop?severity={wanted}"))
        (checked,) = [one.get("value") for one in document.iter("input") if one.get("checked") is not None]
        assert checked == chosen


def test_whatever_stands_in_a_database_is_text():
    row = replace(ROW, table=HOSTILE, key=HOSTILE, base={HOSTILE: HOSTILE}, left={HOSTILE: HOSTILE}, conflict=HOSTILE)
    kept = replace(KEPT.transactions[0], gtid=HOSTILE, why=HOSTILE, seen=HOSTILE, detail=HOSTILE, rows=(row,))
    hostile = {
        "executed": HOSTILE,
        "errant": HOSTILE,
        "applier_error": HOSTILE,
        "troubles": (HOSTILE,),
        "refusals": (HOSTILE,),
        "host": HostFacts(mysql_version=HOSTILE, hardware=HOSTILE),
    }
    snapshot = with_reports(
        hostile,
        hostile,
        kept=Open(1, (kept,)),
        incidents=(replace(FAILOVER, reason=HOSTILE, actor=HOSTILE, began=HOSTILE),),
        events={1: replace(COMPLETED, text=HOSTILE, at=HOSTILE, severity=HOSTILE, type=HOSTILE)},
        requests={"1": Request("1", Kind.SWITCHOVER, DB_B, HOSTILE, HOSTILE, 7)},
        finding_text=HOSTILE,
        waiting=HOSTILE,
        leader=HOSTILE,
    )
    for path in ("/c/shop", "/c/shop?operation=1", "/c/shop/incidents/7"):
        text = page_of(Carrier(snapshot), path, "olga")
        document = parsed(text)
        assert not list(document.iter("img"))
        assert not [one for one in document.iter("script") if (one.text or "").strip() or not one.get("src")]
        assert not [name for one in document.iter() for name in one.keys() if name.startswith("on")]  # noqa: SIM118


def script(document) -> str:
    (found,) = document.iter("script")
    return found.get("src")


def test_files_are_served_under_the_hash_of_what_they_hold():
    async def talk(browser):
        await logged_in(browser)
        async with browser.get("/c/shop", headers=PAGE) as shown:
            document = parsed(await shown.text())
            policy = shown.headers["Content-Security-Policy"]
        (style,) = [one.get("href") for one in document.iter("link") if one.get("rel") == "stylesheet"]
        found = []
        for path in (style, script(document), "/static/page.css", "/static/page.000000000000.css"):
            async with browser.get(path) as answer:
                found.append((answer.status, answer.content_type, answer.headers["Cache-Control"]))
        return policy, found

    policy, found = browsing(Carrier(), talk)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    forever = "public, max-age=31536000, immutable"
    assert found[:2] == [(200, "text/css", forever), (200, "text/javascript", forever)]
    assert [status for status, _, _ in found[2:]] == [404, 404]


# --- the stream of blocks


async def told(answer):
    """The data of each event."""
    async for line in answer.content:
        name, _, value = line.decode().partition(": ")
        if name == "data":
            yield json.loads(value)


def streamed(carrier, talk, query="", who="olga"):
    """Run `talk(messages)`."""

    async def run(browser):
        await logged_in(browser, who)
        async with browser.get(f"/c/shop/stream{query}") as answer:
            assert answer.status == 200
            return await talk(told(answer))

    return browsing(carrier, run)


def test_every_block_at_first_and_then_those_that_changed():
    carrier = Carrier()

    async def talk(messages):
        first, mine = await anext(messages), await anext(messages)
        carrier.snapshot = replace(carrier.snapshot, finding_text="something new", finding="primary_silent")
        later = await anext(messages)
        while "control" not in later["blocks"]:
            later = await anext(messages)
        return first, mine, later

    first, mine, later = streamed(carrier, talk)
    page = page_of(carrier, who="olga")
    assert set(first["blocks"]) > {"verdict", "freshness", "node-db-a", "charts-db-a", "event-list"}
    assert set(mine["blocks"]) == {"actions", "asked"}
    for name, html in {**first["blocks"], **mine["blocks"]}.items():
        element = parsed(f'<!doctype html><html lang="en"><head><title>x</title></head><body>{html}</body></html>')
        (body,) = element.iter("body")
        (block,) = list(body)
        assert block.get("id") == name and f'id="{name}"' in page
    assert (first["state"], first["title"][:9]) == ("healthy", "[ok] shop")
    assert "history" not in later["blocks"] and "something new" in later["blocks"]["control"]


def test_who_asked_for_something_is_told_of_it():
    asked = Request("a1", Kind.SWITCHOVER, DB_B, "patch", "olga", 7, RequestState.RUNNING)
    carrier = Carrier(healthy(requests={"a1": asked}))

    async def talk(messages):
        await anext(messages)
        before = await anext(messages)
        carrier.put(replace(asked, state=RequestState.DONE, answer="db-b serves"))
        after = await anext(messages)
        while "asked" not in after["blocks"]:
            after = await anext(messages)
        return before["blocks"]["asked"], after["blocks"]["asked"]

    before, after = streamed(carrier, talk, "?operation=a1")
    assert "<b>RUNNING</b>" in before and "<b>DONE</b>, db-b serves" in after


def test_all_who_look_share_one_answer():
    carrier = Carrier()

    async def run(browser):
        await logged_in(browser)
        async with browser.get("/c/shop/stream") as one, browser.get("/c/shop/stream") as two:
            return await anext(told(one)), await anext(told(two))

    one, two = browsing(carrier, run)
    assert one["blocks"]["verdict"] == two["blocks"]["verdict"]


def test_a_stream_is_only_for_who_may_see_the_cluster():
    async def talk(browser):
        return (await browser.get("/c/shop/stream")).status, (await browser.get("/c/none/stream")).status

    assert browsing(Carrier(), talk) == (401, 401)
    assert browsing(Carrier(anonymous=True), talk) == (200, 404)


# --- the pages beside it


def test_the_page_of_an_incident_has_its_timeline_and_what_came_of_it():
    document = parsed(page_of(Carrier(returned(replace(OVER, epoch=7))), "/c/shop/incidents/7"))
    assert text_of(document, "verdict") == "Failover #7 OK shop: db-b to db-a, writes out 96 ms"
    assert "promote 19.0 21.0 40.0" in text_of(document, "timeline")
    assert "has no samples of that time" in text_of(document, "charts")
    assert "upper lane db-b, until 0 ms; lower lane db-a, from 96 ms on" in text_of(document, "outage")
    assert "failover.completed F3 db-a serves" in text_of(document, "events")
    assert "Return #7 by rewind, now closed" in text_of(document, "return")
    assert "kembar reconcile show 7" in text_of(document, "todo")


def test_an_incident_is_exported_as_markdown_and_in_no_other_format():
    async def talk(browser):
        await logged_in(browser)
        async with browser.get("/c/shop/incidents/7?format=md") as answer:
            text, kind = await answer.text(), answer.headers["Content-Type"]
        wrong = [(await browser.get(f"/c/shop/incidents/{one}")).status for one in ("7?format=pdf", "8", "x")]
        return text, kind, wrong

    text, kind, wrong = browsing(Carrier(), talk)
    assert text == postmortem(incident_view(healthy(), FAILOVER))
    assert (kind, wrong) == ("text/markdown; charset=utf-8", [400, 404, 404])


def test_the_page_of_a_return_has_everything_that_waits_and_what_was_decided():
    carrier = Carrier(returned())
    document = parsed(page_of(carrier, "/c/shop/reconcile/7"))
    assert "3 wait for a decision" in text_of(document, "reconcile")
    assert "discard adam known done, it is discarded" in text_of(document, "settled")
    assert "bundle 2026-11-24 18:58:20.250 3.750" in text_of(document, "stages")


def test_several_clusters_are_listed_worst_first():
    document = parsed(page_of(Carrier(), "/", "other"))
    assert text_of(document, "verdict") == "Kembar no cluster to show"
