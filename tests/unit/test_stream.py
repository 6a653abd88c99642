"""The stream of a cluster: everything at first, then what is new, and after a break what was missed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import TCPConnector, web
from aiohttp.test_utils import TestClient, TestServer
from carrier import Carrier
from pairs import DB_B, SETTLED, STANDBY, STEADY, aged, healthy
from test_api import SHOP

from monitoring import stream
from monitoring.app import application
from monitoring.stream import FEED, STREAMS_MAX, Feed
from orchestrator.core.access import AccessRole, Token, Tokens, digest
from orchestrator.showing import Snapshots

STREAM = f"{SHOP}/stream"


@asynccontextmanager
async def listening(client, who="vera", **headers):
    """What is sent, message by message."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.get(STREAM, headers={"Authorization": f"Bearer {who}-secret", **headers}) as answer:
        assert answer.status == 200, await answer.text()
        yield answer, messages(answer)


async def messages(answer):
    """(event, id, data) of each message that is no comment."""
    found = {}
    async for line in answer.content:
        text = line.decode().rstrip("\n")
        if text:
            name, _, value = text.partition(": ")
            found[name] = value
        elif "data" in found:
            yield found["event"], found.get("id"), json.loads(found["data"])
            found = {}


def streamed(carrier, talk):
    async def run():
        connector = TCPConnector(limit=0)
        async with TestClient(TestServer(application(carrier.backend())), connector=connector) as client:
            async with asyncio.timeout(20):
                return await talk(client)

    return asyncio.run(run())


def happened(carrier: Carrier, *numbers: int) -> None:
    """That many more events, one after another."""
    for number in numbers:
        events = {**carrier.snapshot.events, number: replace(SETTLED, number=number)}
        carrier.snapshot = replace(carrier.snapshot, events=events)


def test_the_whole_at_first_and_then_what_is_new():
    carrier = Carrier()

    async def talk(client):
        async with listening(client) as (answer, sent):
            first = await anext(sent)
            happened(carrier, 413, 414)
            more = [await anext(sent) for _ in range(3)]
            carrier.snapshot = replace(carrier.snapshot, cluster=replace(STEADY, epoch=8))
            return answer.headers, first, more, await anext(sent)

    headers, first, more, last = streamed(carrier, talk)
    assert (headers["Content-Type"], headers["Cache-Control"]) == ("text/event-stream", "no-store")
    assert (headers["X-Accel-Buffering"], headers["X-Content-Type-Options"]) == ("no", "nosniff")
    assert (first[0], first[1], first[2]["state"]) == ("snapshot", "412", "healthy")
    assert [(name, id) for name, id, _ in more] == [("event", "413"), ("event", "414"), ("state", None)]
    assert more[0][2]["type"] == "kembar.mode.sync"
    assert (last[0], last[2]["epoch"]) == ("state", 8)


@pytest.mark.parametrize(
    ("seen", "names"),
    [
        ("412", ["state"]),
        ("411", ["event", "state"]),
        ("410", ["snapshot"]),  # what came next is not known any more
        ("999", ["snapshot"]),  # of a history that was begun anew
        ("abc", ["snapshot"]),
        ("4" * 400, ["snapshot"]),
        ("", ["snapshot"]),
    ],
)
def test_what_was_missed_is_sent_again_or_the_whole(seen, names):
    async def talk(client):
        async with listening(client, Last_Event_ID=seen) as (_, sent):
            return [(await anext(sent))[0] for _ in names]

    assert streamed(Carrier(), talk) == names


def test_ages_move_without_news():
    carrier = Carrier()

    async def talk(client):
        async with listening(client) as (_, sent):
            first = await anext(sent)
            carrier.now_s += 1.0
            return first[2]["data"]["age_s"], (await anext(sent))[2]["data"]["age_s"]

    assert streamed(carrier, talk) == (0.1, 1.1)


@pytest.mark.parametrize(
    ("moved", "turns"),
    [
        ({"wall_s": 1795546744.5, "executed": "x:1-119", "received_age_s": 0.2}, 1),
        ({"receiver_running": False}, 2),
    ],
)
def test_what_each_report_has_anew_is_no_news(moved, turns):
    carrier, feed = Carrier(), Feed(Counter({"shop": 1}))
    feed.look(carrier.backend())
    reports = {**carrier.snapshot.reports, DB_B: aged(replace(STANDBY, **moved))}
    carrier.snapshot = replace(carrier.snapshot, reports=reports)
    feed.look(carrier.backend())
    assert feed.shown["shop"].turn == turns


def test_a_stopped_tick_is_told():
    carrier = Carrier()

    async def talk(client):
        async with listening(client) as (_, sent):
            await anext(sent)
            carrier.now_s += 30.0
            return (await anext(sent))[2]

    state = streamed(carrier, talk)
    assert (state["state"], state["data"]["stale"]) == ("unknown", True)


def test_a_stream_ends_with_its_token():
    ines = Token("ines", AccessRole.VIEWER, digest("ines-secret"))
    carrier = Carrier(kept_tokens=Tokens((ines,)))

    async def talk(client):
        async with listening(client, "ines") as (_, sent):
            await anext(sent)
            carrier.kept_tokens = Tokens()
            carrier.now_s += 1.0
            return [message async for message in sent]

    assert len(streamed(carrier, talk)) <= 1


def test_all_listeners_are_told_the_same_and_one_too_many_is_sent_away():
    carrier = Carrier()

    async def talk(client):
        feeds = [await client.get(STREAM, headers={"Authorization": "Bearer vera-secret"}) for _ in range(STREAMS_MAX)]
        async with client.get(STREAM, headers={"Authorization": "Bearer vera-secret"}) as answer:
            refused = answer.status, answer.headers["Retry-After"], (await answer.json())["type"]
        sent = [messages(feed) for feed in feeds]
        firsts = [await anext(one) for one in sent]
        happened(carrier, 413)
        seconds = [await anext(one) for one in sent]
        for feed in feeds:
            feed.close()
        return refused, firsts, seconds

    refused, firsts, seconds = streamed(carrier, talk)
    assert refused == (429, "5", "/problems/slow-down")
    assert {json.dumps(one) for one in firsts} == {json.dumps(firsts[0])}
    assert {(name, id) for name, id, _ in seconds} == {("event", "413")}


def test_of_one_who_does_not_read_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(stream, "WRITE_S", 0.05)
    server = application(Carrier(healthy(waiting="x" * 20_000_000)).backend())
    kept, gone = [], asyncio.Event()

    @web.middleware
    async def ended(request, handler):
        kept.append(request.transport)
        try:
            return await handler(request)
        finally:
            gone.set()

    async def run():
        server.middlewares.insert(0, ended)
        async with TestServer(server) as there, asyncio.timeout(20):
            _, writer = await asyncio.open_connection(there.host, there.port, limit=1)
            writer.write(f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer vera-secret\r\n\r\n".encode())
            await gone.wait()
            writer.close()
            return kept[0].get_write_buffer_size(), server[FEED].listeners

    assert asyncio.run(run()) == (0, 0)


def test_a_stream_needs_a_role_and_does_not_answer_head():
    async def talk(client):
        async with client.get(STREAM) as nobody, client.head(STREAM) as head:
            return nobody.status, head.status

    assert streamed(Carrier(healthy()), talk) == (401, 405)


def test_a_cluster_that_nobody_follows_is_not_looked_at():
    """Each look is twenty times a second, in the process that decides for all of them."""
    carrier, made = Carrier(), []
    names = ["shop", *(f"pair-{number}" for number in range(200))]
    snapshots = Snapshots(names, lambda name: made.append(name) or replace(carrier.snapshot, name=name))
    feed = Feed(Counter({"shop": 2, "pair-7": 0}))
    feed.look(replace(carrier.backend(), snapshots=lambda: snapshots))
    assert made == ["shop"] == list(feed.shown)


def test_of_many_clusters_that_one_is_made_that_is_asked_for():
    made = []
    snapshots = Snapshots(["shop", "stock"], lambda name: made.append(name) or healthy())
    assert ("stock" in snapshots, "none" in snapshots, list(snapshots), len(snapshots)) == (
        True, False, ["shop", "stock"], 2,
    )  # fmt: skip
    assert snapshots.get("none") is None and made == []
    assert snapshots["stock"] == healthy() and made == ["stock"]
