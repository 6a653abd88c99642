"""What nobody should send is answered by a problem document that says what is wrong; nothing is changed by it."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import replace

import pytest
from carrier import Carrier
from test_api import MOVE, SHOP
from test_cli import served

from monitoring import app, given

OPERATIONS = f"{SHOP}/operations"
OLGA = {"Authorization": "Bearer olga-secret", "Content-Type": "application/json", "If-Match": '"7"'}
TEXT = json.dumps(MOVE)


def send(carrier: Carrier, method: str, path: str, body: bytes | None = None, **headers: str):
    """Status, content type and document, as they came over the wire."""
    with served(carrier) as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
        connection.request(method, path, body, {**OLGA, **{k.replace("_", "-"): v for k, v in headers.items()}})
        answer = connection.getresponse()
        document = json.loads(answer.read())
        connection.close()
        return answer.status, answer.headers["Content-Type"].partition(";")[0], document


BODIES = {
    "nothing": b"",
    "no JSON": b"kind=switchover",
    "half of it": TEXT.encode()[:-4],
    "no UTF-8": TEXT.replace("kernel", "\udcff").encode(errors="surrogateescape"),
    "half a character": TEXT.replace("kernel", "\\ud800").encode(),
    "a deep nest": b'{"edits":' + b'{"a":' * 9000 + b"1" + b"}" * 9001,
    "a large number": TEXT.replace('"kind"', '"returning": 1' + "0" * 5000 + ', "kind"').encode(),
    "not a number": TEXT.replace('"kind"', '"returning": NaN, "kind"').encode(),
    "a list": b"[" + TEXT.encode() + b"]",
    "an unknown key": TEXT.replace('"kind"', '"knid": "failover", "kind"').encode(),
    "another type": TEXT.replace('"kernel patch"', '["kernel patch"]').encode(),
    "a long reason": TEXT.replace("kernel", "k" * 501).encode(),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_none_changes_nothing(case):
    carrier = Carrier()
    status, kind, document = send(carrier, "POST", OPERATIONS, BODIES[case])
    assert (status, kind, document["type"]) == (400, "application/problem+json", "/problems/invalid-request")
    assert document["errors"] and document["detail"]
    assert carrier.submitted == [] and [entry.result for entry in carrier.audit] == ["invalid-request"]


def test_ten_megabytes_are_not_read():
    carrier = Carrier()
    with served(carrier) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            head = "".join(f"{name}: {value}\r\n" for name, value in {**OLGA, "Host": host}.items())
            connection.sendall(f"POST {OPERATIONS} HTTP/1.1\r\n{head}Content-Length: 10000000\r\n\r\n".encode())
            connection.sendall(b"x" * 100_000)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            document = json.loads(answer.read())
    assert (answer.status, document["type"]) == (413, "/problems/too-large")
    assert carrier.submitted == [] and [entry.result for entry in carrier.audit] == ["too-large"]


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(given, "BODY_S", 0.05)
    carrier = Carrier()
    with served(carrier) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            head = "".join(f"{name}: {value}\r\n" for name, value in {**OLGA, "Host": host}.items())
            connection.sendall(f"POST {OPERATIONS} HTTP/1.1\r\n{head}Content-Length: 100\r\n\r\n{{".encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            document = json.loads(answer.read())
    assert (answer.status, document["type"]) == (408, "/problems/too-slow")
    assert carrier.submitted == [] and [entry.result for entry in carrier.audit] == ["too-slow"]


@pytest.mark.parametrize("head", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_head_that_does_not_come_is_not_waited_for(head, monkeypatch):
    monkeypatch.setattr(app, "KEEPALIVE_S", 0.1)
    with served(Carrier()) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(head)
            assert connection.recv(1) == b""


PLACES = {
    "another cluster": "/api/v1/clusters/%2e%2e",
    "a way out": "/api/v1/clusters/shop/operations/..%2f..%2fdesired",
    "no name": "/api/v1/clusters/shop/operations/%00",
    "markup": "/api/v1/clusters/%3Cscript%3E",
    "a long name": f"/api/v1/clusters/shop/operations/{'a' * 5000}",
    "no number": "/api/v1/clusters/shop/reconcile/%D9%A3",
    "nowhere": "/api/v2",
}


@pytest.mark.parametrize("case", PLACES)
def test_a_place_that_is_none_is_not_found(case):
    status, kind, document = send(Carrier(), "GET", PLACES[case])
    assert (status, kind, document["type"]) == (404, "application/problem+json", "/problems/not-found")
    assert len(json.dumps(document)) < 16_000


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_Match": '"\u0663"'}, 428),
        ({"If_Match": "*"}, 428),
        ({"If_Match": '"' + "9" * 40 + '"'}, 428),
        ({"Idempotency_Key": "k" * 129}, 400),
        ({"Idempotency_Key": "a b"}, 400),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Encoding": "gzip"}, 400),
        ({"Authorization": "Bearer " + "x" * 5000}, 401),
        ({"Authorization": "Bearer \u00ff"}, 401),
        ({"Authorization": "Basic !!!"}, 401),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Negotiate x"}, 401),
    ],
)
def test_headers_that_are_none(headers, status):
    carrier = Carrier()
    headers = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    found, kind, _ = send(carrier, "POST", OPERATIONS, TEXT.encode(), **headers)
    assert (found, kind, carrier.submitted) == (status, "application/problem+json", [])


def test_a_failure_of_ours_says_nothing_of_our_insides():
    carrier = Carrier()

    def broken(cluster, request):
        raise ZeroDivisionError("secret")

    carrier.dry_run = broken
    status, kind, document = send(carrier, "POST", OPERATIONS, TEXT.encode())
    assert (status, kind, document["type"]) == (500, "application/problem+json", "/problems/internal")
    assert "secret" not in json.dumps(document)


def test_what_a_person_wrote_is_text_on_the_page():
    carrier = Carrier()
    (incident,) = carrier.snapshot.incidents
    carrier.snapshot = replace(carrier.snapshot, incidents=(replace(incident, reason="<script>alert(1)</script>"),))
    with served(carrier) as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
        connection.request("GET", "/c/shop", headers=OLGA)
        page = connection.getresponse().read().decode()
        connection.close()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
