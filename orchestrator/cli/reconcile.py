"""`kembar reconcile` and `kembar rejoin`: what only a returned node has, seen, decided, and gone on with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.client import path_of
from orchestrator.cli.edits import read_edits
from orchestrator.cli.exits import Exit, Failed, leave
from orchestrator.cli.operation import CODES, Wish, ask, carry_out, checked, perform, seconds
from orchestrator.cli.options import Session, client_command
from orchestrator.cli.returns import differences, listing, planned, screen

SHOWN_WAIT_S = 5.0  # until what was decided is no longer shown as open
reason_option = click.option("--reason", required=True, help="For the history and the report.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
timeout_option = click.option("--timeout", default="60s", metavar="60s", help="How long to follow.")
number_argument = click.argument("number", metavar="ID", type=click.IntRange(1))


@click.group()
def reconcile() -> None:
    """What only a returned node has: merged, kept for a person, decided."""


@reconcile.command("list")
@client_command
def list_returns(session: Session) -> None:
    """Every return, newest first; ends with 10 if something waits for a person."""
    found = session.api.call("GET", path_of(session.cluster, "reconcile")).body
    session.say(*listing(found))
    session.give(found)
    leave(_waits(*found["returns"]))


@reconcile.command()
@client_command
@number_argument
@click.option("--rows", is_flag=True, help="Every row, every column.")
def show(session: Session, number: int, rows: bool) -> None:
    """One return, and both versions of each row that was kept; ends with 10 if something waits for a person."""
    found = _read(session, number, rows=rows)
    session.say(*screen(found, whole=rows))
    session.give(found)
    leave(_waits(found))


@reconcile.command()
@client_command
@number_argument
@click.option("--dry-run", is_flag=True, help="As always: a plan changes nothing.")
def plan(session: Session, number: int, dry_run: bool) -> None:
    """By which rung, why, and what may be decided now; changes nothing."""
    found = _read(session, number)
    for one in found["kept"]:
        one["checks"] = {
            kind: session.api.call("POST", path_of(session.cluster, "operations"), wish.body(dry_run=True)).body
            for kind, wish in (("apply", _wish("apply", one, "plan")), ("discard", _wish("discard", one, "plan")))
        }
    session.say(*planned(found))
    session.give(found)
    leave(_waits(found))


@reconcile.command()
@client_command
@number_argument
@click.option("--gtid", default="", metavar="GTID", help="Of a kept transaction; without it, the whole merge.")
@click.option("--edit", "file", type=click.Path(path_type=Path), help="YAML or JSON: column and value, or row by row.")
@reason_option
@click.option("--dry-run", is_flag=True, help="Only the pre-checks.")
@yes_option
@timeout_option
def apply(
    session: Session, number: int, gtid: str, file: Path | None, reason: str, dry_run: bool, yes: bool, timeout: str
) -> None:
    """Apply a kept transaction on the primary; without --gtid, let a merge that waits for consent go on."""
    timeout_s, found = seconds(timeout), _read(session, number, rows=True)
    if gtid:
        kept = _kept(found, gtid)
        wish = _wish("apply", kept, reason, edits=read_edits(file, kept) if file else {})
        question = f"Change {kept['row_count']} rows on the primary as shown?"
    else:
        if file:
            raise click.BadParameter(
                "needs --gtid: it gives values to the rows of one transaction", param_hint="--edit"
            )
        wish, kept = _approval(found, reason), None
        question = f"Merge {found['transactions']} transactions of {found['node']} into the primary?"
    checks = checked(session, wish, dry_run=dry_run)
    if kept is not None:
        session.say(*differences(kept, found["node"], whole=True))
    if not yes:
        ask(question)
    carry_out(session, wish, checks["epoch"], wait=True, timeout_s=timeout_s)


@reconcile.command()
@client_command
@number_argument
@click.option("--gtid", default="", metavar="GTID", help="Of a kept transaction; without it, all of this return.")
@reason_option
@click.option("--dry-run", is_flag=True, help="Only the pre-checks.")
@yes_option
@timeout_option
def discard(session: Session, number: int, gtid: str, reason: str, dry_run: bool, yes: bool, timeout: str) -> None:
    """Let the primary's rows stay; the evidence of the other version is kept."""
    timeout_s, found = seconds(timeout), _read(session, number, rows=True)
    kept = [_kept(found, gtid)] if gtid else found["kept"]
    if not kept:
        raise Failed(Exit.REFUSED, f"return {number} has no open transaction", "kembar reconcile list")
    for one in kept:
        session.say(*differences(one, found["node"], whole=True))
    checks = checked(session, _wish("discard", kept[0], reason), dry_run=dry_run)
    if not yes:
        ask(f"Let the primary's rows stay, and give up {len(kept)} kept transactions of {found['node']}?")
    if gtid:
        carry_out(session, _wish("discard", kept[0], reason), checks["epoch"], wait=True, timeout_s=timeout_s)
    ended = _each(session, number, [one["gtid"] for one in kept], reason, checks["epoch"], timeout_s)
    session.give({"operations": ended})
    leave(next((CODES[one["state"]] for one in ended if one["state"] != "done"), Exit.DONE))


@click.command()
@client_command
@click.argument("node")
@click.option("--path", type=click.Choice(["auto", "clone"]), default="auto", help="clone: anew from the primary.")
@reason_option
@click.option("--dry-run", is_flag=True, help="Only the pre-checks.")
@yes_option
@timeout_option
def rejoin(session: Session, node: str, path: str, reason: str, dry_run: bool, yes: bool, timeout: str) -> None:
    """Let a return that stopped go on, or make a standby anew from the primary."""
    timeout_s, wish = seconds(timeout), Wish("rejoin", node, reason, {"path": path})
    checks = checked(session, wish, dry_run=dry_run)
    if not yes:
        ask(f"Bring {node} back ({path})? What it alone has is kept as evidence; its own data may be replaced.")
    carry_out(session, wish, checks["epoch"], wait=True, timeout_s=timeout_s)


def _each(
    session: Session, number: int, gtids: list[str], reason: str, epoch: int, timeout_s: float
) -> list[dict[str, Any]]:
    """One after the other, in the order of the log, each as it is shown then; ends at the first that is not done."""
    ended: list[dict[str, Any]] = []
    for gtid in gtids:
        shown = next((one for one in _read(session, number)["kept"] if one["gtid"] == gtid), None)
        if shown is None:
            continue  # somebody else has decided it meanwhile
        ended.append(perform(session, _wish("discard", shown, reason), epoch, timeout_s))
        if ended[-1]["state"] != "done":
            break
        _until_gone(session, number, gtid)
    return ended


def _until_gone(session: Session, number: int, gtid: str) -> None:
    """What follows it is shown as free only after that."""
    deadline = time.monotonic() + SHOWN_WAIT_S
    while any(one["gtid"] == gtid for one in _read(session, number)["kept"]) and time.monotonic() < deadline:
        time.sleep(0.05)


def _read(session: Session, number: int, *, rows: bool = False) -> dict[str, Any]:
    path = path_of(session.cluster, "reconcile", str(number)) + ("?rows=all" if rows else "")
    found: dict[str, Any] = session.api.call("GET", path).body
    return found


def _kept(found: dict[str, Any], gtid: str) -> dict[str, Any]:
    """The open transaction of that number. Raises Failed with those that there are."""
    kept = next((one for one in found["kept"] if one["gtid"] == gtid), None)
    if kept is None:
        known = ", ".join(one["gtid"] for one in found["kept"]) or "none"
        raise Failed(Exit.REFUSED, f"return {found['id']} has no open transaction {gtid!r}: open are {known}")
    return dict(kept)


def _wish(choice: str, kept: dict[str, Any], reason: str, edits: dict[str, Any] | None = None) -> Wish:
    about = {"returning": kept["id"], "gtid": kept["gtid"], "seen": kept["seen"], **({"edits": edits} if edits else {})}
    return Wish(f"reconcile_{choice}", "", reason, about)


def _approval(found: dict[str, Any], reason: str) -> Wish:
    """Consent to the whole merge, where it waits for it; nothing is ever applied without being named."""
    if found["waits_for_approval"]:
        return Wish("reconcile_approve", "", reason, {"returning": found["id"]})
    waits = f"return {found['id']} waits for nobody's consent, so nothing was applied"
    if not found["kept"]:
        raise Failed(Exit.REFUSED, waits, "kembar reconcile list")
    hint = "\n      ".join(command for one in found["kept"] for command in one["commands"])
    raise Failed(Exit.PERSON, f"{waits}; name one of its {len(found['kept'])} kept transactions", hint)


def _waits(*returns: dict[str, Any]) -> Exit:
    return Exit.PERSON if any(one["next"] for one in returns) else Exit.DONE
