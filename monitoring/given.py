"""What a changing call brings with it: its body, what was looked at, its key. Whatever is wrong is named."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

from aiohttp import web
from pydantic import BaseModel, ValidationError

from monitoring.problems import Problem, invalid

DAY_S = 86400.0
UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S}
BODY_S = 10.0  # in which the whole of it must have come
KEY = re.compile(r"[!-~]{1,128}")
Body = TypeVar("Body", bound=BaseModel)


async def body_of(request: web.Request, model: type[Body]) -> Body:
    """The JSON of a changing call. Raises Problem with every mistake."""
    if request.content_type != "application/json":
        raise Problem("media-type", f"{request.content_type} is not application/json")
    try:
        async with asyncio.timeout(BODY_S):
            content = await request.read()
    except TimeoutError:
        raise Problem("too-slow", f"the body did not come within {BODY_S:.0f} s", "send it again at once") from None
    except web.RequestPayloadError:
        raise Problem("invalid-request", "the body is not in its Content-Encoding, or was broken off") from None
    return fitting(lambda: model.model_validate_json(content))


def fitting(read: Callable[[], Body]) -> Body:
    """What `read` makes of what was sent. Raises Problem with every mistake."""
    try:
        return read()
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise invalid([("/" + "/".join(map(str, one["loc"])), one["msg"]) for one in found]) from None


async def form_of(request: web.Request) -> dict[str, str]:
    """The fields of a form; a file is none. Raises Problem."""
    try:
        async with asyncio.timeout(BODY_S):
            posted = await request.post()
        fields = {name: value for name, value in posted.items() if isinstance(value, str)}
        "".join(fields.values()).encode()  # half a character, which some charsets have, could not be shown
    except TimeoutError:
        raise Problem("too-slow", f"the form did not come within {BODY_S:.0f} s", "send it again at once") from None
    except (ValueError, LookupError, AssertionError, web.RequestPayloadError) as error:
        raise Problem("invalid-request", f"the form cannot be read: {error}") from None
    return fields


def seconds(text: str) -> float:
    """`30m` as a number. Raises Problem."""
    match = re.fullmatch(r"(\d{1,6})([smhd]?)", text)
    if match is None:
        raise Problem("invalid-request", f"{text!r} is no duration", "for example 30s, 15m, 2h")
    return int(match[1]) * UNITS_S[match[2]]


def if_match(request: web.Request) -> int:
    """The epoch that the caller saw, from `"7"` or the whole ETag `"7.41"`."""
    return epoch_of(request.headers.get("If-Match", ""))


def epoch_of(text: str) -> int:
    """What If-Match, or the field `epoch` of a form, says. Raises Problem."""
    match = re.fullmatch(r'"?([0-9]{1,18})(\.[0-9]{1,18})?"?', text)
    if match is None:
        raise Problem("if-match-required", 'If-Match: "<epoch>" is needed', "read the cluster, send its epoch")
    return int(match[1])


def key_of(request: web.Request) -> str:
    """What makes a repeat the same request; one of our own where the caller wants none."""
    key = request.headers.get("Idempotency-Key")
    return key_in(key)


def key_in(key: str | None) -> str:
    """The key, or one of our own for None. Raises Problem."""
    if key is not None and not KEY.fullmatch(key):
        raise Problem("invalid-request", f"Idempotency-Key: {key!r:.80}: 1 to 128 printable characters are needed")
    return key or uuid4().hex
