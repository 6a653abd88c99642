"""Errors of the API as problem+json (RFC 9457). Owns how every failure looks to a caller."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from monitoring.rendering import html
from orchestrator.core.errors import CoordinatorUnavailable, KembarError, Refused
from orchestrator.core.runbooks import of_problem, path_of

log = logging.getLogger("kembar.web")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATUS = {
    "invalid-request": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "too-slow": 408,
    "token-exists": 409,
    "operation-running": 409,
    "stale-epoch": 412,
    "stale-policy": 412,
    "too-large": 413,
    "media-type": 415,
    "precheck-failed": 422,
    "idempotency-mismatch": 422,
    "if-match-required": 428,
    "slow-down": 429,
    "internal": 500,
    "coordinator-unavailable": 503,
}
MEANINGS = {
    "invalid-request": "something in the call is not as it must be; `errors` says where and what is expected",
    "unauthenticated": "no token, or one that is unknown, expired or revoked",
    "forbidden": "the token's role or clusters do not suffice, or a form was not ours",
    "not-found": "there is no such thing here",
    "method-not-allowed": "the path takes other methods",
    "too-slow": "the body did not come in time",
    "token-exists": "the name of the token is taken, or there are too many",
    "operation-running": "another operation is under way; `operation` is its id",
    "stale-epoch": "the pair has changed since it was looked at; `present` is how it is now",
    "stale-policy": "the policy has changed since it was looked at",
    "too-large": "the body is larger than 64 KiB",
    "media-type": "the body must be application/json",
    "precheck-failed": "a pre-check does not admit it; `failed_checks` says what unblocks it",
    "idempotency-mismatch": "the Idempotency-Key was used for another request",
    "if-match-required": "If-Match must say what was looked at",
    "slow-down": "too many tries, or too many streams; Retry-After says when to ask again",
    "internal": "this orchestrator has a defect; its log says which",
    "coordinator-unavailable": "ZooKeeper does not answer this orchestrator: nothing is promised",
}
NAMES = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 415: "media-type"}


class Problem(Exception):  # noqa: N818 - the RFC's word
    """One failed call: what, why, and what to do next."""

    def __init__(self, name: str, detail: str, hint: str = "", **members: object) -> None:
        super().__init__(detail)
        self.name, self.detail, self.hint, self.members = name, detail, hint, members

    def response(self, request: web.Request) -> web.Response:
        """As the answer to `request`: a document, or for a browser a page that says the same."""
        status = STATUS[self.name]
        body = {
            "type": f"/problems/{self.name}",
            "title": self.name.replace("-", " "),
            "status": status,
            "detail": self.detail,
            "instance": request.path,
            "runbook": path_of(of_problem(self.name)),
            **({"hint": self.hint} if self.hint else {}),
            **self.members,
        }
        if wants_page(request):
            response = html("problem.html.j2", status=status, problem=body, login=self.name == "unauthenticated")
        else:
            response = web.Response(status=status, text=json.dumps(body), content_type="application/problem+json")
        if status == 401:
            # Basic is what a browser can ask for; the name is free, the password is the token.
            response.headers.extend([("WWW-Authenticate", "Bearer"), ("WWW-Authenticate", 'Basic realm="kembar"')])
        if status in (429, 503):
            response.headers["Retry-After"] = str(self.members.get("retry_after_s", 1))
        return response


def wants_page(request: web.Request) -> bool:
    """Whether a person in a browser asks, and not for the API."""
    return not request.path.startswith("/api/") and "text/html" in request.headers.get("Accept", "")


def invalid(fields: Sequence[tuple[str, str]]) -> Problem:
    """A body that does not fit: a JSON pointer and a message a field."""
    detail = "; ".join(f"{pointer}: {message}" for pointer, message in fields)
    return Problem("invalid-request", detail, errors=[{"pointer": p, "detail": m} for p, m in fields])


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure below becomes a problem; a bug of ours is a 500 that says nothing, and a stack in the log."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response(request)
    except CoordinatorUnavailable as error:
        return Problem("coordinator-unavailable", str(error), "ask again, or ask another orchestrator").response(
            request
        )
    except Refused as error:
        return Problem("precheck-failed", str(error)).response(request)
    except KembarError as error:
        return Problem("coordinator-unavailable", str(error), "ask again with the same Idempotency-Key").response(
            request
        )
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = Problem(NAMES.get(error.status, "invalid-request"), error.reason).response(request)
        if isinstance(error, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = ",".join(sorted(error.allowed_methods))
        return response
    except Exception:
        log.exception("%s %s", request.method, request.path)
        return Problem("internal", "this orchestrator failed", "ask another one; its log says why").response(request)
