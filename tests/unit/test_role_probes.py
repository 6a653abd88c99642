"""What a load balancer learns of a node: 200 only where it may send clients, and why not otherwise."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from agents.listen import RoleServer, role_socket
from agents.standing import LAG_S, OLD_S, Standing
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
    server = RoleServer(sock, lambda: standing)
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
    assert ask(SERVING, "/")[1]["status"] == 404
    assert ask(SERVING, "/primary?lag_s=1")[0] == 400


def test_a_port_that_is_taken_is_refused_before_anything_begins():
    with served(SERVING) as port, pytest.raises(Refused, match="probe_listen"):
        role_socket("127.0.0.1", port)
