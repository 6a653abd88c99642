"""The description of API v1, OpenAPI 3.1, made from the table of calls and the models that they check bodies by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from monitoring.calls import CALLS, Call
from monitoring.problems import MEANINGS, STATUS, Problem
from monitoring.queries import NoQuery, query_of
from monitoring.shapes import ProblemDocument

REFERENCE = "#/components/schemas/{model}"
NAMED = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
PARAMETER = re.compile(r"{(\w+)}")
Mode = Literal["validation", "serialization"]


def routes() -> list[web.RouteDef]:
    """The description, and what each problem means; for everybody."""
    return [web.get("/openapi.json", description), web.get("/problems/{name}", problem)]


async def description(request: web.Request) -> web.Response:
    """This document."""
    query_of(request, NoQuery)
    return web.json_response(openapi())


async def problem(request: web.Request) -> web.Response:
    """What a problem's `type` means."""
    name = request.match_info["name"]
    if name not in MEANINGS:
        raise Problem("not-found", f"no problem is called {name!r:.80}", f"known: {', '.join(MEANINGS)}")
    shown = {"type": f"/problems/{name}", "status": STATUS[name], "title": name.replace("-", " ")}
    return web.json_response(shown | {"meaning": MEANINGS[name]})


@cache
def openapi() -> dict[str, Any]:
    """As plain values, ready for JSON."""
    wanted: list[tuple[type[BaseModel], Mode]] = [(ProblemDocument, "serialization")]
    for call in CALLS:
        wanted += [(one, "serialization") for one in (call.answer, call.beside) if one is not None]
        if call.body is not None:
            wanted.append((call.body, "validation"))
    references, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=REFERENCE)
    paths: dict[str, Any] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kembar", "version": version("kembar"), "description": "A pair of MySQL servers"},
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "kembar_session"},
            },
        },
    }


def _operation(call: Call, references: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    success = {"description": "done", "content": {call.media: {"schema": references[call.answer, "serialization"]}}}
    if call.media != "application/json":
        success["content"] = {call.media: {"schema": {"type": "string"}}}
    answers: dict[str, Any] = {str(call.status): success}
    if call.beside is not None:
        content = {"application/json": {"schema": references[call.beside, "serialization"]}}
        answers["200"] = {"description": "with dry_run: nothing was changed", "content": content}
    for status in sorted({STATUS[name] for name in _problems(call)}):
        names = [name for name in _problems(call) if STATUS[name] == status]
        content = {"application/problem+json": {"schema": references[ProblemDocument, "serialization"]}}
        answers[str(status)] = {"description": "; ".join(MEANINGS[name] for name in names), "content": content}
    if call.path == "/readyz":
        answers["503"] = {**success, "description": "stale"}
    body = {}
    if call.body is not None:
        content = {"application/json": {"schema": references[call.body, "validation"]}}
        body = {"requestBody": {"required": True, "content": content}}
    return {
        "operationId": call.handler.__module__.rpartition(".")[2] + "." + call.handler.__name__,
        "summary": call.summary,
        "x-role": str(call.role) if call.role else "none",
        "security": [{"token": []}, {"session": []}] if call.role else [],
        "parameters": [*_path_parameters(call), *_query_parameters(call), *_headers(call)],
        **body,
        "responses": answers,
    }


def _problems(call: Call) -> tuple[str, ...]:
    """Each that it may answer with."""
    asked = ("unauthenticated", "forbidden", "slow-down") if call.role else ()
    named = ("not-found",) if "{" in call.path else ()
    given = ("media-type", "too-large", "too-slow") if call.body else ()
    stored = ("coordinator-unavailable", "precheck-failed") if "{" in call.path else ()
    return tuple(dict.fromkeys(("invalid-request", *asked, *named, *given, *stored, *call.more)))


def _path_parameters(call: Call) -> list[dict[str, Any]]:
    schema = {"type": "string", "pattern": NAMED}
    return [{"name": one, "in": "path", "required": True, "schema": schema} for one in PARAMETER.findall(call.path)]


def _query_parameters(call: Call) -> list[dict[str, Any]]:
    properties = call.query.model_json_schema().get("properties", {})
    return [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]


def _headers(call: Call) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if call.if_match:
        told = {"description": "what was looked at, as its ETag says"}
        schema = {"type": "string", "pattern": call.if_match}
        required = call.beside is None  # a dry run needs none
        found.append({"name": "If-Match", "in": "header", "required": required, "schema": schema, **told})
    if call.repeatable:
        schema = {"type": "string", "pattern": "^[!-~]{1,128}$"}
        told = {"description": "a repeat with the same key gets the first answer"}
        found.append({"name": "Idempotency-Key", "in": "header", "schema": schema, **told})
    if call.media == "text/event-stream":
        schema = {"type": "string", "pattern": "^[0-9]{1,15}$"}
        told = {"description": "the number of the event that was seen last"}
        found.append({"name": "Last-Event-ID", "in": "header", "schema": schema, **told})
    return found
