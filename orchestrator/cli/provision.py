"""`kembar provision`: the playbooks, with a bar while they run and what failed at the end."""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click

from orchestrator.adapters.provision import CANCELED, DONE, Job, Plan, events, planned
from orchestrator.cli.client import Api
from orchestrator.cli.exits import Exit, Failed, leave, printable
from orchestrator.cli.options import settings_of
from orchestrator.cli.reporting import Reporting
from orchestrator.core.errors import Refused
from orchestrator.core.provisioning import Run, begun_text, ended_text, where

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
BAR = 24


@click.command()
@click.argument("playbook")
@click.option("-i", "--inventory", required=True, type=click.Path(path_type=Path, exists=True), help="The hosts.")
@click.option("--playbooks", type=click.Path(path_type=Path), default=PLAYBOOKS, help="The folder they are in.")
@click.option("-l", "--limit", default="", metavar="HOSTS", help="Only these.")
@click.option("-e", "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Never a secret: those are vault's.")
@click.option("--vault-password-file", type=click.Path(path_type=Path, exists=True), help="What opens the vault.")
@click.option("--check", is_flag=True, help="Only tell what would change.")
@click.option("--diff", is_flag=True, help="With --check: show how files would change.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.option(
    "--report",
    is_flag=True,
    help="Note begin and end in the cluster's event log; needs role operator.",
)
@click.option("-c", "--config", metavar="FILE", help="With --report: client.yaml to use.")
@click.option("--endpoint", envvar="KEMBAR_ENDPOINT", metavar="URL[,URL]", help="With --report: orchestrators.")
@click.option(
    "--cluster", "named", envvar="KEMBAR_CLUSTER", metavar="NAME", help="With --report: if there are several."
)
def provision(
    playbook: str,
    inventory: Path,
    playbooks: Path,
    limit: str,
    settings: tuple[str, ...],
    vault_password_file: Path | None,
    check: bool,
    diff: bool,
    output: str,
    report: bool,
    config: str | None,
    endpoint: str | None,
    named: str | None,
) -> None:
    """Run PLAYBOOK: preflight, site, verify, switchover, rolling_restart and so on; an unknown one lists them.

    Ctrl-C ends what runs here and says where it was. What cannot be reported is said on stderr, and changes no exit
    code: playbooks restart orchestrators too.
    """
    flags = [flag for flag, given in (("--check", check), ("--diff", diff)) if given]
    pairs = [part for setting in settings for part in ("-e", setting)]
    limits = ["--limit", limit] if limit else []
    vault = ["--vault-password-file", str(vault_password_file.resolve())] if vault_password_file else []
    arguments = (*flags, *limits, *pairs, *vault)
    job = Job(str(playbooks.resolve()), _file(playbooks, playbook), str(inventory.resolve()), arguments)
    reporting = Reporting(Api(settings_of(config, endpoint)), named) if report else None
    began, plan = time.monotonic(), planned(job)
    if reporting:
        reporting.begun(begun_text(playbook, plan.hosts, _who(), check=check))
    run, status = _followed(job, plan, bar=output == "table")
    took_s = round(time.monotonic() - began, 1)
    if output == "json":
        hosts = {name: asdict(tally) for name, tally in run.hosts.items()}
        told = {"playbook": playbook, "status": status, "hosts": hosts, "failures": run.failures, "took_s": took_s}
        click.echo(json.dumps(told))
    else:
        _recap(run)
    if reporting:
        reporting.ended(ended_text(playbook, run, status, took_s), "info" if status == DONE else "warning")
    if status == CANCELED:
        again = f"run kembar provision {playbook} again: what is done already changes nothing"
        raise Failed(Exit.FAILED, f"interrupted at {where(run)}", again)
    leave(Exit.DONE if status == DONE else Exit.FAILED)


def _who() -> str:
    """The person here, as far as this machine knows; the event has the name of the token beside."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _file(folder: Path, name: str) -> str:
    known = sorted(path.stem for path in folder.glob("*.yml"))
    if name.removesuffix(".yml") not in known:
        raise Failed(Exit.USAGE, f"no playbook {name!r} in {folder}", f"there are: {', '.join(known) or 'none'}")
    return f"{name.removesuffix('.yml')}.yml"


def _followed(job: Job, plan: Plan, *, bar: bool) -> tuple[Run, str]:
    """The run at its end, and what ansible-runner calls that."""
    run, status, shown = Run(plan.tasks), "", ""
    try:
        for event in events(job):
            run.take(event)
            status = event.get("status", status)
            if bar and run.task != shown:
                shown = run.task
                _draw(run)
    except Refused as refused:
        run.failures.append(str(refused))
        status = "failed"
    if bar and sys.stderr.isatty():
        click.echo(err=True)
    return run, status


def _draw(run: Run) -> None:
    """A bar that stays in its line; off a terminal a line for each task."""
    if not sys.stderr.isatty():
        click.echo(f"{run.started}/{run.total} {printable(run.task)}", err=True)
        return
    filled = round(BAR * run.part)
    busy = ", ".join(f"{name} {tally.ok}" for name, tally in run.hosts.items())
    line = f"[{'#' * filled}{'.' * (BAR - filled)}] {run.part:4.0%} {run.task}  ({busy})"
    click.echo(f"\r\x1b[K{printable(line)[:160]}", nl=False, err=True)


def _recap(run: Run) -> None:
    for line in run.failures:
        click.echo(printable(line), err=True)
    width = max((len(name) for name in run.hosts), default=0)
    for name, tally in sorted(run.hosts.items()):
        click.echo(
            f"{name:{width}}  ok {tally.ok}  changed {tally.changed}  failed {tally.failed}"
            f"  unreachable {tally.unreachable}"
        )
