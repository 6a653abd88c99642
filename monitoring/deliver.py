"""Sends a message to one HTTP receiver, once, with a deadline for all of it. Owns no retry: the courier does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from orchestrator.core.delivery import Attempt, Ended, of_status

CONNECT_S = 3.0
SAID_MAX = 200  # characters of an answer that people are shown
ANSWER_BYTES = 4096
CLOUDEVENTS = "application/cloudevents+json"
SIGNATURE = "X-Kembar-Signature"


def post(url: str, body: Any, headers: Mapping[str, str], timeout_s: float) -> Attempt:
    """POST `body` as JSON. What the receiver does never raises; `timeout_s` is for name, connection and answer."""
    content = json.dumps(body, ensure_ascii=False).encode()
    return asyncio.run(_post(url, content, {"Content-Type": "application/json", **headers}, timeout_s))


def signed(url: str, body: Any, id: str, secret: str, timeout_s: float) -> Attempt:
    """POST a CloudEvent with its key; with a `secret` the receiver can tell that it is from here and whole."""
    content = json.dumps(body, ensure_ascii=False).encode()
    headers = {"Content-Type": CLOUDEVENTS, "Idempotency-Key": id}
    if secret:
        headers[SIGNATURE] = "sha256=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    return asyncio.run(_post(url, content, headers, timeout_s))


async def _post(url: str, content: bytes, headers: Mapping[str, str], timeout_s: float) -> Attempt:
    timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
    try:
        # A redirect could carry the message, and the key in its address, to anybody.
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=content, headers=headers, allow_redirects=False) as answer,
        ):
            said = await answer.content.read(ANSWER_BYTES)
            return of_status(answer.status, _printable(said), answer.headers.get("Retry-After", ""))
    except TimeoutError:
        return Attempt(Ended.LATER, f"no answer within {timeout_s:g} s")
    except (aiohttp.ClientError, OSError, UnicodeError) as error:  # the last for a host that can be no name
        # Its text may hold the whole address, which for some receivers is the secret.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        return Attempt(Ended.LATER, f"not reached: {reason}")


def _printable(said: bytes) -> str:
    text = said.decode(errors="replace").strip()[:SAID_MAX]
    return "".join(one if one.isprintable() else " " for one in text)
