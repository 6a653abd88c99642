"""`kembar doctor`: everything that can be checked from here, each failure with what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import click

from orchestrator.cli.client import Api, path_of
from orchestrator.cli.diagnosis import Diagnosis, of_cluster, of_node
from orchestrator.cli.exits import Exit, Failed, leave
from orchestrator.cli.options import Session, client_command, columns
from orchestrator.cli.status import read_view

HEAD = ["", "ABOUT", "CHECK", "FOUND"]
MARKS = {True: "ok", False: "no", None: "?"}


@click.command()
@client_command
@click.option("--node", "only", default="", metavar="NODE", help="Only what is about this one.")
def doctor(session: Session, only: str) -> None:
    """Every check of orchestrators, cluster and nodes, with what mends each that failed; 1 if one did."""
    try:
        shown = read_view(session)
    except Failed as nobody:
        if nobody.exit_code != Exit.UNREACHABLE:
            raise
        shown, found = {"cluster": session.named or session.api.settings.cluster or "cluster"}, _alone(session, nobody)
    else:
        found = [*diagnosed(session, shown, only)]
        if not found:
            names = ", ".join(one["name"] for one in shown["nodes"])
            raise click.BadParameter(f"{only!r} is none of {names}", param_hint="--node")
    rows = [HEAD, *([MARKS[one.passed], one.about, one.name, one.found] for one in found)]
    failed = [one for one in found if one.passed is False]
    session.say(*columns(rows))
    session.say(*(line for one in failed for line in _mend(one)))
    count = "every check passed" if not failed else f"{len(failed)} of {len(found)} checks failed"
    session.say(f"{shown['cluster']}: {count}")
    session.give({"cluster": shown["cluster"], "failed": len(failed), "checks": [asdict(one) for one in found]}, rows)
    leave(Exit.FAILED if failed else Exit.DONE)


def diagnosed(session: Session, shown: dict[str, Any], only: str = "") -> Iterator[Diagnosis]:
    """All of them, or those about one node."""
    if not only:
        for endpoint in session.api.settings.endpoints:
            yield _endpoint(session, endpoint)
        yield from of_cluster(shown)
        if session.api.answered:
            yield from _channels(session)
    for node in shown["nodes"]:
        if only in ("", node["name"]):
            yield from of_node(node, standby=node["name"] == shown["standby"])


def _alone(session: Session, why: Failed) -> list[Diagnosis]:
    """What can be said when nobody can be asked."""
    mend = "start kembar orchestrator; the pair goes on without it, and fails over to nobody"
    view = Diagnosis("ZooKeeper", "view", False, why.format_message(), mend, "no-leader")
    return [*(_endpoint(session, one) for one in session.api.settings.endpoints), view]


def _endpoint(session: Session, endpoint: str) -> Diagnosis:
    """One orchestrator, asked by itself."""
    one = Api(replace(session.api.settings, endpoints=(endpoint,)), session.api.timeout_s)
    try:
        answer = one.call("GET", "/readyz")
    except Failed as failed:
        found = failed.format_message()
        return Diagnosis(endpoint, "orchestrator", False, found, "see its log; it must reach ZooKeeper", "down")
    who = answer.headers.get("x-kembar-instance", "it")
    return Diagnosis(endpoint, "orchestrator", True, f"{who} answers, its data is fresh")


def _channels(session: Session) -> Iterator[Diagnosis]:
    """Whether what persons must hear of gets out."""
    try:
        answer = session.api.call("GET", path_of(session.cluster, "alerts")).body
    except Failed as failed:
        yield Diagnosis("alerts", "channels", None, failed.format_message(), "ask again", "alerts-stuck")
        return
    if not answer["channels"]:
        yield Diagnosis("alerts", "channels", None, "none is configured: nobody is told of anything")
    for one in answer["channels"]:
        waiting, trouble = len(one["waiting"]), one["trouble"]
        found = f"{waiting} waiting, {one['given_up']} given up" + (f": {trouble}" if trouble else "")
        mend = "kembar alerts test " + one["name"] + " --reason TEXT"
        yield Diagnosis(one["name"], "channel of alerts", not trouble, found, mend, "alerts-stuck")


def _mend(one: Diagnosis) -> Iterator[str]:
    how = f"   kembar runbook {one.runbook}" if one.runbook and f"kembar runbook {one.runbook}" != one.mend else ""
    yield f"{one.about}: {one.name}: {one.mend}{how}"
