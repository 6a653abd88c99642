"""Every example of docs/api.md, in its order, against the real servers."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from typing import Any

from carrier import Carrier
from test_cli import served
from test_role_probes import SERVING
from test_role_probes import served as probed

DOC = Path(__file__).parents[2] / "docs/api.md"
EXAMPLE = re.compile(r"^```http\n(.*?)^```$", re.M | re.S)
TOKENS = {"$VIEWER": "vera-secret", "$OPERATOR": "olga-secret", "$ADMIN": "adam-secret"}
ANY = "..."


def head_and_body(text: str) -> tuple[str, dict[str, str], str]:
    head, _, body = text.strip().partition("\n\n")
    first, *lines = head.splitlines()
    return first, dict(line.split(": ", 1) for line in lines), body


def fits(shown: Any, found: Any) -> bool:
    """Whether what is found is what is shown; `...` stands for anything, as a key or last item for more."""
    if shown == ANY:
        return True
    if isinstance(shown, dict):
        known = {name: value for name, value in shown.items() if name != ANY}
        complete = ANY in shown or known.keys() == found.keys()
        return complete and all(name in found and fits(value, found[name]) for name, value in known.items())
    if isinstance(shown, list):
        more = bool(shown) and shown[-1] == ANY
        known = shown[:-1] if more else shown
        same = len(known) <= len(found) if more else len(known) == len(found)
        return same and all(fits(one, two) for one, two in zip(known, found, strict=False))
    return shown == found


def check_stream(answer: http.client.HTTPResponse, shown: str) -> None:
    for line in shown.splitlines():
        found = ""
        while not found.strip():
            found = answer.readline().decode()
        name, _, value = line.partition(": ")
        found_name, _, found_value = found.rstrip("\n").partition(": ")
        assert name == found_name
        if name == "data":
            assert fits(json.loads(value), json.loads(found_value)), found
        else:
            assert value == found_value


def execute(example: str, ports: dict[str, int]) -> None:
    asked, _, told = example.partition("\nHTTP/1.1 ")
    first, headers, body = head_and_body(asked)
    status, shown_headers, shown = head_and_body(told)
    method, path = first.split(" ")
    for name, secret in TOKENS.items():
        headers = {key: value.replace(name, secret) for key, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", ports[headers["Host"]], timeout=10)
    connection.request(method, path, body or None, headers)
    answer = connection.getresponse()
    assert f"{answer.status} {answer.reason}" == status, (first, answer.read())
    for name, value in shown_headers.items():
        assert answer.headers[name] == value, (first, name)
    if answer.headers["Content-Type"] == "text/event-stream":
        check_stream(answer, shown)
    else:
        found = json.loads(answer.read())
        assert fits(json.loads(shown), found), (first, found)
    connection.close()


def test_every_example_does_what_it_says() -> None:
    examples = EXAMPLE.findall(DOC.read_text())
    assert len(examples) > 20
    with served(Carrier()) as url, probed(SERVING) as probe:
        ports = {"witness:8080": int(url.rpartition(":")[2]), "db-a:8090": probe}
        for example in examples:
            execute(example, ports)


def test_what_is_left_out_is_all_that_may_differ() -> None:
    assert fits({"a": [1, ANY], ANY: ANY}, {"a": [1, 2], "b": 3})
    for shown, found in (({"a": 1}, {"a": 1, "b": 2}), ({"a": 1, ANY: ANY}, {"b": 1}), ([1], [1, 2]), ([2, ANY], [1])):
        assert not fits(shown, found)
