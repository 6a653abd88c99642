"""`kembar failover`: a node without a certificate is promoted by force; `kembar ack`: a hold-down is ended."""

from __future__ import annotations

import click

from orchestrator.cli.client import path_of
from orchestrator.cli.exits import Exit, Failed
from orchestrator.cli.operation import Wish, carry_out, checked, consent_by_name, seconds
from orchestrator.cli.options import Session, client_command


@click.command()
@client_command
@click.option("--to", required=True, metavar="NODE", help="The node that becomes primary.")
@click.option("--accept-data-loss", is_flag=True, help="Needed: what only the lost primary has is not there.")
@click.option("--reason", required=True, help="For the history.")
@click.option("--confirm", default="", metavar="NODE", help="The node's name again, instead of typing it.")
@click.option("--dry-run", is_flag=True, help="Only the pre-checks.")
@click.option("--timeout", default="60s", metavar="60s", help="How long to follow.")
def failover(
    session: Session, to: str, accept_data_loss: bool, reason: str, confirm: str, dry_run: bool, timeout: str
) -> None:
    """Promote a node that is not proven to hold everything. Role admin; the fence is waited for all the same."""
    if not accept_data_loss:
        raise click.UsageError("a forced failover may lose acknowledged writes: say so with --accept-data-loss")
    timeout_s = seconds(timeout)
    wish = Wish("failover", to, reason)
    checks = checked(session, wish, dry_run=dry_run)
    consent_by_name(f"Acknowledged writes may be lost. Type {to} to go on", to, confirm)
    carry_out(session, wish, checks["epoch"], wait=True, timeout_s=timeout_s)


@click.command()
@client_command
@click.argument("incident_id", required=False, metavar="[ID]")
@click.option("--reason", required=True, help="For the history.")
def ack(session: Session, incident_id: str | None, reason: str) -> None:
    """Acknowledge the failovers so far, of which ID is the last: automatic failover may begin again."""
    if incident_id:
        _is_last(session, incident_id.removeprefix("#"))
    wish = Wish("acknowledge", "", reason)
    checks = checked(session, wish, dry_run=False)
    carry_out(session, wish, checks["epoch"], wait=True, timeout_s=10.0)


def _is_last(session: Session, wanted: str) -> None:
    """Nobody acknowledges a failover that he has not seen. Raises Failed."""
    rows = session.api.call("GET", path_of(session.cluster, "incidents")).body["incidents"]
    ids = [str(one["id"]) for one in rows if one["kind"] == "failover"]
    if wanted not in ids:
        raise Failed(Exit.REFUSED, f"{wanted} is no failover that is kept: {', '.join(ids) or 'there is none'}")
    if ids[0] != wanted:
        raise Failed(Exit.REFUSED, f"failover {ids[0]} came after {wanted}", f"kembar history {ids[0]}")
