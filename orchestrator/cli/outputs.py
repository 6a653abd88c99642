"""What each command prints with `-o json`: a promise, printed as JSON Schema to docs/cli.schema.json. No command loads
this: it needs pydantic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from monitoring import answers, shapes
from monitoring.shapes import Shape


class Checked(Shape):
    """`kembar check`."""

    status: str  # OK, WARNING, CRITICAL, UNKNOWN
    code: int
    text: str
    measured: dict[str, float]


class Explained(Shape):
    """`kembar explain`."""

    cluster: str
    state: str
    verdict: str
    finding: dict[str, str]
    phase: str | None
    last_rule: dict[str, str] | None
    waiting: str
    auto_failover: str
    not_promotable_because: str | None
    risk: str
    next: dict[str, str]
    waits: list[dict[str, str]]
    actions: list[dict[str, Any]]


class Diagnosis(Shape):
    """One check of the doctor."""

    about: str
    name: str
    passed: bool | None
    found: str
    mend: str
    runbook: str


class Diagnosed(Shape):
    """`kembar doctor`."""

    cluster: str
    failed: int
    checks: list[Diagnosis]


class SeenBy(Shape):
    """One view of the virtual IP."""

    by: str
    holder: str | None
    how: str


class Held(Shape):
    """`kembar vip`."""

    address: str
    agreed: bool
    text: str
    primary: str | None
    seen: list[SeenBy]


class AlreadyThere(Shape):
    """`kembar failback` where nothing has to move."""

    kind: str
    to: str
    state: str
    answer: str


class Discarded(Shape):
    """`kembar reconcile discard` of a whole return."""

    operations: list[answers.OperationView]


class DryMaintenance(Shape):
    """`kembar maintenance on --dry-run`."""

    node: str
    active: bool
    dry_run: bool


class Tried(answers.Channel):
    """`kembar alerts test`."""

    id: str


class Validated(Shape):
    """`kembar config validate`."""

    files: list[str]
    problems: list[str]


class Origins(Shape):
    """`kembar config show --origin`."""

    values: list[dict[str, str]]


class Differences(Shape):
    """`kembar config diff`."""

    differences: list[str]


class Bundle(Shape):
    """`kembar support-bundle`."""

    file: str
    bytes: int
    parts: list[str]
    left_out: list[str]


class Made(Shape):
    """`kembar init`."""

    cluster: str
    made: list[str]
    rights_set: list[str]


class HostTally(Shape):
    """How many tasks of one host ended how."""

    ok: int
    changed: int
    failed: int
    unreachable: int


class Provisioned(Shape):
    """`kembar provision`."""

    playbook: str
    status: str  # successful, failed, ...: as ansible-runner calls it
    hosts: dict[str, HostTally]
    failures: list[str]
    took_s: float


MOVE = (answers.OperationView, answers.Checked)
# Command -> what it may print: one of these. `kembar api` prints what the API answers.
OUTPUTS: Mapping[str, tuple[type[BaseModel], ...]] = {
    "status": (shapes.ClusterView,),
    "check": (Checked,),
    "explain": (Explained,),
    "doctor": (Diagnosed,),
    "vip": (Held,),
    "events": (shapes.Events, shapes.Envelope),
    "history": (shapes.Incidents, shapes.IncidentView),
    "switchover": MOVE,
    "failback": (*MOVE, AlreadyThere),
    "failover": MOVE,
    "verify": MOVE,
    "adopt": MOVE,
    "ack": MOVE,
    "reconcile list": (shapes.Returns,),
    "reconcile show": (shapes.ReturnView,),
    "reconcile plan": (shapes.ReturnView,),
    "reconcile apply": MOVE,
    "reconcile discard": (*MOVE, Discarded),
    "rejoin": MOVE,
    "maintenance on": (answers.MaintenanceView, DryMaintenance),
    "maintenance off": (answers.MaintenanceView,),
    "pause": (answers.PauseView,),
    "resume": (answers.PauseView,),
    "note": (answers.OperationView,),
    "token create": (answers.TokenMade,),
    "token list": (answers.TokenRows,),
    "token revoke": (answers.Revoked,),
    "audit": (answers.Audit,),
    "alerts list": (answers.Alerts,),
    "alerts test": (Tried,),
    "config validate": (Validated,),
    "config show": (answers.SettingsView, Origins),
    "config set": (answers.SettingsView,),
    "config diff": (Differences,),
    "config edit": (answers.SettingsView,),
    "support-bundle": (Bundle,),
    "init": (Made,),
    "provision": (Provisioned,),
}


def schema() -> dict[str, Any]:
    """JSON Schema: below `commands` a schema for each, which refers to `$defs`."""
    models = dict.fromkeys(one for several in OUTPUTS.values() for one in several)
    references, definitions = models_json_schema([(one, "serialization") for one in models])
    commands = {
        command: {"anyOf": [references[one, "serialization"] for one in several]}
        for command, several in OUTPUTS.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What kembar prints with -o json; more may stand beside what is named",
        "commands": commands,
        "$defs": definitions["$defs"],
    }


def printed() -> str:
    """The whole file."""
    return json.dumps(schema(), indent=1) + "\n"
