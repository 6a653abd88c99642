"""Every call of API v1: who may make it, what it takes and gives. Paths, description and tests come from this table."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from pydantic import BaseModel

from monitoring import (
    actions,
    alerts,
    answers,
    api,
    audit,
    maintenance,
    notes,
    operations,
    policy,
    queries,
    returns,
    settings,
    shapes,
    stream,
    tokens,
)
from monitoring.auth import caller
from monitoring.problems import Handler
from orchestrator.core.access import AccessRole

BASE = "/api/v1"
CLUSTER = f"{BASE}/clusters/{{cluster}}"
VIEWER, OPERATOR, ADMIN = AccessRole.VIEWER, AccessRole.OPERATOR, AccessRole.ADMIN


@dataclass(frozen=True, slots=True)
class Call:
    """One of them. Its docstring is its handler's."""

    method: str
    path: str
    handler: Handler
    answer: type[BaseModel]
    role: AccessRole | None = VIEWER  # at least; None: nobody is asked
    status: int = 200
    query: type[queries.NoQuery] = queries.NoQuery
    body: type[BaseModel] | None = None
    if_match: str = ""  # what the header must look like; empty: it is not needed
    repeatable: bool = False  # takes an Idempotency-Key
    beside: type[BaseModel] | None = None  # another answer, with 200
    media: str = "application/json"
    more: tuple[str, ...] = ()  # problems of its own

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return (self.handler.__doc__ or "").partition("\n")[0]


EPOCH = r'^"?[0-9]{1,18}(\.[0-9]{1,18})?"?$'  # "7", or the whole ETag "7.41"
VERSION = r'^"?[0-9]{1,18}"?$'  # of the policy
STALE = ("if-match-required", "stale-epoch")

CALLS = (
    Call("GET", "/healthz", api.healthz, shapes.State, role=None),
    Call("GET", "/readyz", api.readyz, shapes.State, role=None),
    Call("GET", f"{BASE}/clusters", api.clusters, shapes.Clusters),
    Call("GET", CLUSTER, api.one_cluster, shapes.ClusterView),
    Call("GET", f"{CLUSTER}/readiness", api.readiness, shapes.ReadinessView),
    Call("GET", f"{CLUSTER}/stream", stream.follow, shapes.Envelope, media="text/event-stream", more=("slow-down",)),
    Call("GET", f"{CLUSTER}/incidents", api.incidents, shapes.Incidents),
    Call("GET", f"{CLUSTER}/incidents/{{id}}", api.one_incident, shapes.IncidentView),
    Call("GET", f"{CLUSTER}/events", api.events, shapes.Events, query=queries.EventsQuery),
    Call(
        "POST", f"{CLUSTER}/notes", notes.add, answers.OperationView, OPERATOR, 202,
        body=notes.NoteBody, repeatable=True, more=("operation-running", "idempotency-mismatch"),
    ),
    Call("GET", f"{CLUSTER}/reconcile", returns.returns, shapes.Returns),
    Call("GET", f"{CLUSTER}/reconcile/{{id}}", returns.one_return, shapes.ReturnView, query=queries.RowsQuery),
    Call(
        "POST", f"{CLUSTER}/operations", operations.begin, answers.OperationView, OPERATOR, 202,
        body=operations.OperationBody, if_match=EPOCH, repeatable=True, beside=answers.Checked,
        more=(*STALE, "operation-running", "precheck-failed", "idempotency-mismatch"),
    ),
    Call("GET", f"{CLUSTER}/actions", actions.show, answers.Actions),
    Call("GET", f"{CLUSTER}/operations", operations.present, answers.Operations),
    Call("GET", f"{CLUSTER}/operations/{{id}}", operations.follow, answers.OperationView, query=queries.WaitQuery),
    Call("GET", f"{CLUSTER}/policy/reconcile", policy.show, answers.PolicyView),
    Call(
        "PUT", f"{CLUSTER}/policy/reconcile", policy.change, answers.PolicyView, ADMIN,
        body=policy.ReconcileBody, if_match=VERSION, more=("if-match-required", "stale-policy"),
    ),
    Call("GET", f"{CLUSTER}/config", settings.show, answers.SettingsView),
    Call(
        "PATCH", f"{CLUSTER}/config", settings.change, answers.SettingsView, ADMIN,
        body=settings.SettingsBody, if_match=VERSION, more=("if-match-required", "stale-policy"),
    ),
    Call(
        "PUT", f"{CLUSTER}/pause", operations.pause, answers.PauseView, OPERATOR,
        body=operations.PauseBody, if_match=EPOCH, more=STALE,
    ),
    Call("DELETE", f"{CLUSTER}/pause", operations.resume, answers.PauseView, OPERATOR, if_match=EPOCH, more=STALE),
    Call("GET", f"{CLUSTER}/nodes/{{node}}/maintenance", maintenance.show, answers.MaintenanceView),
    Call(
        "PUT", f"{CLUSTER}/nodes/{{node}}/maintenance", maintenance.begin, answers.MaintenanceView, OPERATOR,
        body=maintenance.MaintenanceBody, if_match=EPOCH, more=(*STALE, "stale-policy", "precheck-failed"),
    ),
    Call(
        "DELETE", f"{CLUSTER}/nodes/{{node}}/maintenance", maintenance.end, answers.MaintenanceView, OPERATOR,
        if_match=EPOCH, more=(*STALE, "stale-policy"),
    ),
    Call("GET", f"{CLUSTER}/alerts", alerts.show, answers.Alerts),
    Call(
        "POST", f"{CLUSTER}/alerts/test", alerts.try_out, answers.Trial, ADMIN, 202,
        body=alerts.TrialBody, repeatable=True, more=("operation-running",),
    ),
    Call("GET", f"{CLUSTER}/tokens", tokens.show, answers.TokenRows, ADMIN),
    Call(
        "POST", f"{CLUSTER}/tokens", tokens.create, answers.TokenMade, ADMIN, 201,
        body=tokens.TokenBody, more=("token-exists",),
    ),
    Call("DELETE", f"{CLUSTER}/tokens/{{name}}", tokens.revoke, answers.Revoked, ADMIN),
    Call("GET", f"{CLUSTER}/audit", audit.show, answers.Audit, ADMIN, query=queries.LimitQuery),
)  # fmt: skip


def routes() -> list[web.RouteDef]:
    """Every path of the API."""
    return [_route(call) for call in CALLS]


def _route(call: Call) -> web.RouteDef:
    if call.method == "GET":
        return web.get(call.path, _checked(call), allow_head=call.media == "application/json")
    return web.route(call.method, call.path, _checked(call))


def _checked(call: Call) -> Handler:
    """Whoever may not even look learns nothing; then nothing that is not understood is ignored."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if call.role is not None:
            caller(request, VIEWER, request.match_info.get("cluster", ""))
        queries.query_of(request, call.query)
        return await call.handler(request)

    return handler
