"""`kembar adopt`: ZooKeeper lost its data, and the roles that the agents remember are recorded anew."""

from __future__ import annotations

import click

from orchestrator.cli.operation import Wish, carry_out, checked, consent_by_name, seconds
from orchestrator.cli.options import Session, client_command


@click.command()
@client_command
@click.option("--to", default="", metavar="NODE", help="The primary; without it, the node that served last.")
@click.option("--reason", required=True, help="For the history.")
@click.option("--confirm", default="", metavar="CLUSTER", help="The cluster's name, instead of typing it.")
@click.option("--dry-run", is_flag=True, help="Only the pre-checks.")
@click.option("--timeout", default="60s", metavar="60s", help="How long to follow.")
def adopt(session: Session, to: str, reason: str, confirm: str, dry_run: bool, timeout: str) -> None:
    """Accept the running roles in a new epoch, after ZooKeeper lost its data. Role admin; fenced as a failover is."""
    timeout_s = seconds(timeout)
    wish = Wish("adopt", to, reason)
    checks = checked(session, wish, dry_run=dry_run)
    question = f"{checks['to']} becomes primary, the other node is fenced. Type {session.cluster} to go on"
    consent_by_name(question, session.cluster, confirm)
    carry_out(session, wish, checks["epoch"], wait=True, timeout_s=timeout_s)
