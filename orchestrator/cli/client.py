"""The API as the command line calls it: endpoints in order, token from a file. Light: neither pydantic nor aiohttp."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from orchestrator.cli.exits import Exit, Failed, which_cluster
from orchestrator.cli.settings import Settings

CONNECT_S = 3.0
AGAIN_S = 0.5
CODES = {401: Exit.UNAUTHORISED, 403: Exit.UNAUTHORISED, 503: Exit.UNREACHABLE}
REFUSALS = (409, 412, 422, 428)


class Unanswered(Exception):  # noqa: N818 - as the attribute that holds them
    """One endpoint gave no answer that can be read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response of the API."""

    status: int
    headers: Mapping[str, str]
    body: Any  # of JSON, else the text


@dataclass(slots=True)
class Api:
    """API v1 at the first endpoint that answers; the one that answered last is asked first."""

    settings: Settings
    timeout_s: float = 10.0
    unanswered: list[str] = field(default_factory=list)  # endpoint: why, of the last call
    answered: str = ""  # the endpoint of the last answer

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, wait_s: float = 0.0
    ) -> Answer:
        """One call. Every changing call has an Idempotency-Key or changes nothing twice, so that the next endpoint may
        be asked when one gives no answer. Raises Failed: 8 if none answers, else by the status of the answer.
        """
        answer = self._first(method, path, body, headers or {}, wait_s)
        if answer.status >= 400:
            raise failed(answer)
        return answer

    def persistent(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        wait_s: float = 0.0,
        until: float,
    ) -> Answer:
        """As `call`, again and again while nobody answers, until that time of the monotonic clock.

        A new leader is found within seconds. What changes something must have an Idempotency-Key.
        """
        while True:
            try:
                return self.call(method, path, body, headers, wait_s)
            except Failed as failed:
                if failed.exit_code != Exit.UNREACHABLE or time.monotonic() >= until:
                    raise
                time.sleep(AGAIN_S)

    def freshest(self, path: str) -> Answer:
        """One view of a cluster: of the first endpoint whose data is fresh, else of the first that answers."""
        first = self.call("GET", path)
        answer, asked = first, {self.answered}
        while answer.body["data"]["stale"] and (left := [one for one in self.settings.endpoints if one not in asked]):
            asked.add(left[0])
            try:
                answer = self._asked(left[0], "GET", path, None, {}, 0.0)
            except Unanswered as error:
                self.unanswered.append(str(error))
                continue
            if answer.status >= 400:
                answer = first
        return answer if not answer.body["data"]["stale"] else first

    @property
    def token_file(self) -> str:
        """Where our token is; empty: we have none."""
        return os.environ.get("KEMBAR_TOKEN_FILE") or self.settings.token_file

    def endpoints(self) -> list[str]:
        """In the order in which they are asked."""
        return sorted(self.settings.endpoints, key=lambda one: one != self.answered)

    def _first(self, method: str, path: str, body: object, headers: Mapping[str, str], wait_s: float) -> Answer:
        self.unanswered.clear()
        answer = None
        for endpoint in self.endpoints():
            try:
                answer = self._asked(endpoint, method, path, body, headers, wait_s)
            except Unanswered as error:
                self.unanswered.append(str(error))
                continue
            if answer.status != 503:
                return answer
            self.unanswered.append(f"{endpoint}: {_detail(answer)}")
        if answer is not None:
            return answer
        raise nobody(self.unanswered)

    def _asked(
        self, endpoint: str, method: str, path: str, body: object, headers: Mapping[str, str], wait_s: float
    ) -> Answer:
        try:
            with self.opened(endpoint, method, path, body, headers, wait_s) as response:
                text = response.read()
                known = {name.lower(): value for name, value in response.headers.items()}
                answer = Answer(response.status, known, _content(text, known))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unanswered(f"{endpoint}: {error or type(error).__name__}") from None
        self.answered = endpoint
        return answer

    @contextmanager
    def opened(
        self,
        endpoint: str,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        wait_s: float = 0.0,
    ) -> Iterator[http.client.HTTPResponse]:
        """The response of one endpoint, its body still to be read. Raises OSError, HTTPException, ValueError."""
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("not an http URL")
        connection = self._connection(url.scheme, url.hostname, url.port)
        try:
            try:
                connection.connect()
            except ssl.SSLCertVerificationError as error:
                raise ConnectionError(_distrusted(error, self.settings.authority)) from error
            connection.sock.settimeout(self.timeout_s + wait_s)
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, url.path.rstrip("/") + path, content, self._headers(headers or {}, content))
            yield connection.getresponse()
        finally:
            connection.close()

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=CONNECT_S)
        context = ssl.create_default_context(cafile=self.settings.authority or None)
        return http.client.HTTPSConnection(host, port, timeout=CONNECT_S, context=context)

    def _headers(self, more: Mapping[str, str], content: bytes | None) -> dict[str, str]:
        headers = {"Accept": "application/json", **more}
        if content is not None:
            headers["Content-Type"] = "application/json"
        if token_file := self.token_file:
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
            raise which_cluster(known)
        return str(known[0])


def path_of(cluster: str, *parts: str) -> str:
    """The API's path of something of a cluster."""
    return "/".join(["/api/v1/clusters", quote(cluster, safe=""), *(quote(part, safe="") for part in parts)])


def failed(answer: Answer) -> Failed:
    """What ends the command after a problem document."""
    code = Exit.REFUSED if answer.status in REFUSALS else CODES.get(answer.status, Exit.FAILED)
    body = answer.body if isinstance(answer.body, dict) else {}
    checks = "".join(f"\n  no   {check}" for check in body.get("failed_checks", ()))
    return Failed(code, f"{body.get('title', answer.status)}: {_detail(answer)}{checks}", str(body.get("hint", "")))


def _distrusted(error: ssl.SSLCertVerificationError, authority: str) -> str:
    by = authority or "an authority that this host knows: name the cluster's own as authority in client.yaml"
    return f"its certificate is not good ({error.verify_message}); it must be for that address and by {by}"


def _detail(answer: Answer) -> str:
    return str(answer.body.get("detail", answer.status)) if isinstance(answer.body, dict) else str(answer.status)


def nobody(unanswered: list[str]) -> Failed:
    """What ends the command when no endpoint answers."""
    detail = "; ".join(unanswered) or "no endpoint is configured"
    return Failed(
        Exit.UNREACHABLE, f"no orchestrator answers: {detail}", "give --endpoint URL, or name endpoints in client.yaml"
    )


def _content(text: bytes, headers: Mapping[str, str]) -> Any:
    if headers.get("content-type", "").startswith(("text/plain", "text/markdown")):
        return text.decode()
    return json.loads(text) if text else None
