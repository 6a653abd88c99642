"""`kembar audit`: each action and refusal, as the cluster keeps it."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.client import path_of
from orchestrator.cli.options import Session, client_command, columns

HEAD = ["WHEN (UTC)", "WHO", "ROLE", "FROM", "WHAT", "EPOCH", "RESULT", "REASON", "DETAIL"]


@click.command()
@client_command
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="The newest so many.")
def audit(session: Session, limit: int) -> None:
    """Who asked for what, from where, and what became of it; newest first."""
    found = session.api.call("GET", f"{path_of(session.cluster, 'audit')}?limit={limit}").body
    rows = [_row(one) for one in found["audit"]]
    session.say(*columns([HEAD, *rows]) if rows else ("nothing yet",))
    session.give(found, [HEAD, *rows])


def _row(one: dict[str, Any]) -> list[str]:
    before, after = one["epoch"], one["epoch_after"]
    epoch = "-" if before is None else f"{before}" if after in (None, before) else f"{before} -> {after}"
    texts = [one[name] or "-" for name in ("actor", "role", "origin", "action")]
    when = one["at"][:23].replace("T", " ")
    return [when, *texts, epoch, one["result"], one["reason"] or "-", one["detail"] or "-"]
