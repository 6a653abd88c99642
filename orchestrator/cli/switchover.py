"""`kembar switchover`, `kembar failback`: the primary moves, planned and without loss."""

from __future__ import annotations

import click

from orchestrator.cli.client import path_of
from orchestrator.cli.exits import Exit, Failed
from orchestrator.cli.operation import Wish, ask, carry_out, checked, seconds
from orchestrator.cli.options import Session, client_command


@click.command()
@client_command
@click.option("--to", default="", metavar="NODE", help="The new primary; without it, the other node.")
@click.option("--reason", required=True, help="For the history.")
@click.option("--dry-run", is_flag=True, help="Only the pre-checks.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait/--no-wait", default=True, help="Follow it to its end.")
@click.option("--timeout", default="60s", metavar="60s", help="How long to follow.")
def switchover(session: Session, to: str, reason: str, dry_run: bool, yes: bool, wait: bool, timeout: str) -> None:
    """Move the primary, planned and without loss."""
    move(session, to, reason, dry_run=dry_run, yes=yes, wait=wait, timeout=timeout)


@click.command()
@client_command
@click.option("--reason", required=True, help="For the history.")
@click.option("--dry-run", is_flag=True, help="Only the pre-checks.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait/--no-wait", default=True, help="Follow it to its end.")
@click.option("--timeout", default="60s", metavar="60s", help="How long to follow.")
def failback(session: Session, reason: str, dry_run: bool, yes: bool, wait: bool, timeout: str) -> None:
    """Move the primary to the node that the policy prefers (kembar config set preferred=NODE); nothing if it is."""
    shown = session.api.freshest(path_of(session.cluster)).body
    wanted = shown["preferred"]
    if not wanted:
        raise Failed(Exit.REFUSED, "the policy prefers no node", "kembar config set preferred=NODE --reason TEXT")
    if shown["primary"] == wanted:
        session.say(f"{wanted} is primary already")
        session.give({"kind": "switchover", "to": wanted, "state": "done", "answer": f"{wanted} is primary already"})
        return
    move(session, wanted, reason, dry_run=dry_run, yes=yes, wait=wait, timeout=timeout)


def move(session: Session, to: str, reason: str, *, dry_run: bool, yes: bool, wait: bool, timeout: str) -> None:
    """A switchover, from its pre-checks to its end."""
    timeout_s = seconds(timeout)
    wish = Wish("switchover", to, reason)
    checks = checked(session, wish, dry_run=dry_run)
    shown = session.api.call("GET", path_of(session.cluster)).body
    if not yes:
        ask(f"Switch primary {shown['primary']} -> {checks['to']} and move VIP {shown['vip']['address']}?")
    carry_out(session, wish, checks["epoch"], wait=wait, timeout_s=timeout_s)
