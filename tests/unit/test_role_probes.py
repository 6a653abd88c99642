"""What a load balancer learns of a node: 200 only where it may send clients, and why not otherwise."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from browsing import parsed, text_of

from agents.listen import RoleServer, role_socket
from agents.standing import LAG_S, OLD_S, Standing, in_a_line
from orchestrator.core.errors import Refused
from orchestrator.core.model import Mysqld, NodeName, Report, Role
from orchestrator.core.verifying import Difference

DB_A = NodeName("db-a")
SERVING = Standing(DB_A, gate_open=True, may_act=True, report=Report(DB_A, role=Role.PRIMARY), age_s=0.1)
STANDBY = Report(
    DB_A,
    role=Role.STANDBY,
    mysqld=Mysqld.RUNNING,
    receiver_connected=True,
    applier_running=True,
    received_age_s=0.4,
)
READABLE = Standing(DB_A, report=STANDBY, age_s=0.1)


@contextmanager
def served(standing: Standing) -> Iterator[int]:
    """The port on which that is told."""
    sock = role_socket("127.0.0.1", 0)
    port = sock.getsockname()[1]
    server = RoleServer(sock, lambda: standing, "shop", lambda: "2026-11-24T18:59:04Z")
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield port
    finally:
        server.stop()
        thread.join()


def ask(standing: Standing, path: str, method: str = "GET"):
    with served(standing) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request(method, path)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else None


def test_the_primary_is_who_serves_now():
    assert ask(SERVING, "/primary") == (200, {"node": "db-a", "serves": True, "why_not": ""})
    assert ask(replace(SERVING, gate_open=False), "/primary")[1]["why_not"] == "the gate is shut"
    assert ask(replace(SERVING, may_act=False), "/primary") == (
        503,
        {"node": "db-a", "serves": False, "why_not": "the lease is not renewed"},
    )
    assert ask(SERVING, "/standby")[0] == 503
    assert ask(READABLE, "/primary")[0] == 503


NOT_READABLE = {
    "no report yet": replace(READABLE, report=None),
    "an old report": replace(READABLE, age_s=OLD_S + 0.1),
    "returning": replace(READABLE, report=replace(STANDBY, role=Role.RETURNING)),
    "mysqld starts": replace(READABLE, report=replace(STANDBY, mysqld=Mysqld.STARTING)),
    "cut off": replace(READABLE, report=replace(STANDBY, receiver_connected=False)),
    "applier stopped": replace(READABLE, report=replace(STANDBY, applier_running=False)),
    "late": replace(READABLE, report=replace(STANDBY, received_age_s=LAG_S)),
    "differing": replace(READABLE, report=replace(STANDBY, differing=(Difference("row", "shop.acct"),))),
}


@pytest.mark.parametrize("case", NOT_READABLE)
def test_a_standby_that_should_not_be_read_says_why(case):
    status, body = ask(NOT_READABLE[case], "/standby")
    assert (status, body["serves"], body["why_not"] != "") == (503, False, True)


def test_a_standby_may_be_read_within_the_lag_that_is_asked_for():
    assert ask(READABLE, "/standby")[0] == 200
    assert ask(READABLE, "/standby?lag_s=0.5")[0] == 200
    assert ask(READABLE, "/standby?lag_s=0.4")[1]["why_not"] == "nothing came from the primary for 0.5 s"


@pytest.mark.parametrize("query", ["lag_s=soon", "lag_s=-1", "lag_s=nan", "lag_s=inf", "lag=1", "lag_s=1&lag_s=2"])
def test_a_query_that_is_not_understood_is_refused(query):
    status, body = ask(READABLE, f"/standby?{query}")
    assert (status, body["status"], "lag_s" in body["detail"]) == (400, 400, True)


def test_other_methods_and_places():
    assert ask(SERVING, "/primary", "HEAD") == (200, None)
    assert ask(SERVING, "/primary", "OPTIONS")[0] == 200
    assert ask(SERVING, "/primary", "POST")[1]["title"] == "method not allowed"
    assert ask(SERVING, "/none")[1]["status"] == 404
    assert ask(SERVING, "/primary?lag_s=1")[0] == 400


def test_a_port_that_is_taken_is_refused_before_anything_begins():
    with served(SERVING) as port, pytest.raises(Refused, match="probe_listen"):
        role_socket("127.0.0.1", port)


# --- the page of one node


def shown(standing: Standing) -> tuple[str, dict[str, str]]:
    with served(standing) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        answer = connection.getresponse()
        text, headers = answer.read().decode(), dict(answer.getheaders())
        connection.close()
        assert answer.status == 200
        return text, headers


def test_when_nobody_else_answers_the_agent_shows_its_own_node():
    text, headers = shown(SERVING)
    document = parsed(text)
    assert document.find(".//title").text == "[ok] shop: db-a serves as primary"
    assert "told to be primary, in epoch 0" in text_of(document, "node-db-a")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert len(text) < 4000 and "style" not in text and not list(document.iter("script"))


def test_it_says_why_the_node_does_not_serve():
    text, _ = shown(replace(READABLE, gate_open=False))
    assert text_of(parsed(text), "verdict") == "[x] db-a does not serve as primary: the gate is shut"
    assert "read from it yes, as standby" in text_of(parsed(text), "node-db-a")


@pytest.mark.parametrize("standing", [replace(SERVING, age_s=OLD_S + 1), Standing(DB_A)], ids=["old", "never"])
def test_nothing_is_well_on_an_old_look(standing):
    text, _ = shown(standing)
    assert "[ok]" not in text and "STALE" in text


def test_what_mysqld_said_is_text_on_it():
    bad = "<script>alert(1)</script>\"'&"
    report = Report(DB_A, executed=bad, errant=bad, applier_error=bad, troubles=(bad,), refusals=(bad,))
    document = parsed(shown(replace(SERVING, report=report))[0])
    assert not list(document.iter("script"))
    assert [one.text for one in document.iter("li")] == [bad] * 3


def test_what_systemctl_shows_of_a_node():
    assert in_a_line(replace(SERVING, report=replace(SERVING.report, epoch=7, mysqld=Mysqld.RUNNING))) == (
        "primary, epoch 7, mysqld running, gate open"
    )
    assert in_a_line(Standing(DB_A)) == "has not seen the cluster's record yet"
