"""The API as the command line calls it: endpoints in order, token from a file. Light: neither pydantic nor aiohttp."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from orchestrator.cli.exits import Exit, Failed

CONNECT_S = 3.0
SYSTEM_FILE = Path("/etc/kembar/client.yaml")
CODES = {401: Exit.UNAUTHORISED, 403: Exit.UNAUTHORISED, 503: Exit.UNREACHABLE}
REFUSALS = (409, 412, 422, 428)


@dataclass(frozen=True, slots=True)
class Settings:
    """client.yaml."""

    endpoints: tuple[str, ...] = ()
    token_file: str = ""
    cluster: str = ""
    zookeeper: tuple[str, ...] = ()  # ADDRESS:PORT, for `status` when no orchestrator answers
    vip: str = ""  # shown then


KEYS = ("endpoints", "token_file", "cluster", "zookeeper", "vip")


def lab_file(environ: Mapping[str, str]) -> Path:
    """Where the lab leaves the client.yaml of its cluster."""
    state = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state, "kembar", "lab", environ.get("KEMBAR_LAB") or "demo", "client.yaml")


def find_file(given: str | None, environ: Mapping[str, str]) -> Path | None:
    """The client.yaml that applies: named ones must exist, then a person's own, the host's, the lab's."""
    named = given or environ.get("KEMBAR_CLIENT")
    if named:
        return Path(named)
    # With KEMBAR_LAB the lab is meant, whatever else this host belongs to.
    usual = [Path.home() / ".config" / "kembar" / "client.yaml", SYSTEM_FILE, lab_file(environ)]
    if environ.get("KEMBAR_LAB"):
        usual.reverse()
    return next((path for path in usual if path.is_file()), None)


def read_settings(path: Path) -> Settings:
    """The file as Settings. Raises Failed with every mistake."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Failed(Exit.USAGE, f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise Failed(Exit.USAGE, f"{path}:1:1: file: expected keys, known here: {', '.join(KEYS)}")
    problems = [_unknown(path, str(key)) for key in content if key not in KEYS]
    for key in ("endpoints", "zookeeper"):
        value = content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            problems.append(f"{path}: {key}: expected a list of texts")
    if problems:
        raise Failed(Exit.USAGE, "\n".join(problems))
    return Settings(
        endpoints=tuple(content.get("endpoints", ())),
        token_file=str(content.get("token_file") or ""),
        cluster=str(content.get("cluster") or ""),
        zookeeper=tuple(content.get("zookeeper", ())),
        vip=str(content.get("vip") or ""),
    )


def _unknown(path: Path, key: str) -> str:
    close = get_close_matches(key, KEYS, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(KEYS)}"
    return f"{path}: {key}: unknown key  hint: {hint}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One response of the API."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(slots=True)
class Api:
    """API v1 at the first endpoint that answers."""

    settings: Settings
    timeout_s: float = 10.0
    unanswered: list[str] = field(default_factory=list)  # endpoint: why, of the last call

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, wait_s: float = 0.0
    ) -> Answer:
        """One call. Every changing call has an Idempotency-Key or changes nothing twice, so that the next endpoint may
        be asked when one gives no answer. Raises Failed: 8 if none answers, else by the status of the answer.
        """
        answer = self._first(method, path, body, headers or {}, wait_s)
        if answer.status >= 400:
            raise _failed(answer)
        return answer

    def _first(self, method: str, path: str, body: object, headers: Mapping[str, str], wait_s: float) -> Answer:
        self.unanswered.clear()
        answer = None
        for endpoint in self.settings.endpoints:
            try:
                answer = self._ask(endpoint, method, path, body, headers, wait_s)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.unanswered.append(f"{endpoint}: {error or type(error).__name__}")
                continue
            if answer.status != 503:
                return answer
            self.unanswered.append(f"{endpoint}: {_detail(answer)}")
        if answer is not None:
            return answer
        detail = "; ".join(self.unanswered) or "no endpoint is configured"
        raise Failed(
            Exit.UNREACHABLE,
            f"no orchestrator answers: {detail}",
            "give --endpoint URL, or name endpoints in client.yaml",
        )

    def _ask(
        self, endpoint: str, method: str, path: str, body: object, headers: Mapping[str, str], wait_s: float
    ) -> Answer:
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("not an http URL")
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname, url.port, timeout=CONNECT_S)
        try:
            connection.connect()
            connection.sock.settimeout(self.timeout_s + wait_s)
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, url.path.rstrip("/") + path, content, self._headers(headers, content))
            response = connection.getresponse()
            text = response.read()
            known = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, known, json.loads(text) if text else None)
        finally:
            connection.close()

    def _headers(self, more: Mapping[str, str], content: bytes | None) -> dict[str, str]:
        headers = {"Accept": "application/json", **more}
        if content is not None:
            headers["Content-Type"] = "application/json"
        token_file = os.environ.get("KEMBAR_TOKEN_FILE") or self.settings.token_file
        if token_file:
            try:
                headers["Authorization"] = "Bearer " + Path(token_file).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise Failed(Exit.UNAUTHORISED, f"{token_file}: {error.strerror}") from None
        return headers

    def cluster(self, name: str | None) -> str:
        """The cluster that is meant: the one named, that of client.yaml, or the only one."""
        if name or self.settings.cluster:
            return name or self.settings.cluster
        known = [row["cluster"] for row in self.call("GET", "/api/v1/clusters").body["clusters"]]
        if len(known) != 1:
            raise Failed(Exit.USAGE, f"which cluster? --cluster {'|'.join(known) or 'NAME'}")
        return str(known[0])


def path_of(cluster: str, *parts: str) -> str:
    """The API's path of something of a cluster."""
    return "/".join(["/api/v1/clusters", quote(cluster, safe=""), *(quote(part, safe="") for part in parts)])


def _failed(answer: Answer) -> Failed:
    code = Exit.REFUSED if answer.status in REFUSALS else CODES.get(answer.status, Exit.FAILED)
    body = answer.body if isinstance(answer.body, dict) else {}
    checks = "".join(f"\n  no   {check}" for check in body.get("failed_checks", ()))
    return Failed(code, f"{body.get('title', answer.status)}: {_detail(answer)}{checks}", str(body.get("hint", "")))


def _detail(answer: Answer) -> str:
    return str(answer.body.get("detail", answer.status)) if isinstance(answer.body, dict) else str(answer.status)
