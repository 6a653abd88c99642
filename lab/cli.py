"""`kembar lab`: a whole cluster on this machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click

from lab import bench, faults
from lab.bench import BENCHES
from lab.files import lab_name
from lab.stand import PORT, Stand
from orchestrator.core.errors import KembarError

Arguments = ParamSpec("Arguments")


def say(line: str) -> None:
    """Progress, for people: data goes to stdout."""
    click.echo(line, err=True)


def reports_trouble(verb: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Expected trouble is a sentence and exit status 1, never a traceback."""

    @wraps(verb)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except KembarError as error:
            click.echo(f"kembar lab: {error}", err=True)
            sys.exit(1)

    return run


profile_option = click.option("--profile", type=click.Choice(["fast", "default"]), default="fast", show_default=True)


@click.group("lab")
def command() -> None:
    """A whole cluster on this machine: real MySQL, ZooKeeper and a virtual IP, in network namespaces."""


@command.command()
@profile_option
@click.option("--port", default=PORT, show_default=True, help="Of the page, on 127.0.0.1; a free one if it is taken.")
@reports_trouble
def up(profile: str, port: int) -> None:
    """Bring the lab up and leave it running."""
    stand = Stand(lab_name())
    try:
        facts = stand.up(profile, say, port=port)
    except KembarError:
        say(f"what was started is left for a look: {stand.files.root}/log, then kembar lab down")
        raise
    say(f"The pair is healthy. Page: {facts.url}   Next: kembar status, kembar lab fault mysqld-crash, kembar lab down")


@command.command()
@reports_trouble
def down() -> None:
    """End the lab: no process, namespace, mount or file of it stays."""
    ended = Stand(lab_name()).down()
    say(f"lab {lab_name()} is down, {ended} processes ended")


@command.command(name="exec", context_settings={"ignore_unknown_options": True})
@click.argument("node")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
@reports_trouble
def exec_(node: str, argv: tuple[str, ...]) -> None:
    """Run a command on a node of the lab: kembar lab exec db-a -- ip address."""
    stand = Stand(lab_name())
    stand.facts()
    full = stand.exec_argv(node, list(argv))
    os.execvp(full[0], full)  # noqa: S606 - the user's own command


@command.command()
@click.argument("name")
@click.argument("node", required=False)
@reports_trouble
def fault(name: str, node: str | None) -> None:
    """Inject a fault; without NODE where it hurts most. `kembar lab heal` undoes it."""
    target, _ = faults.inject(Stand(lab_name()), name, node)
    say(f"{name} on {target.name}: {faults.FAULTS[name].what}")


@command.command()
@reports_trouble
def heal() -> None:
    """Undo every fault: links, frozen and ended processes."""
    faults.heal(Stand(lab_name()))


@command.command(name="bench")
@click.argument("name", type=click.Choice(list(BENCHES)))
@click.option("--runs", default=10, show_default=True)
@profile_option
@click.option("-o", "--output", type=click.Choice(["json", "text"]), default="text")
@reports_trouble
def bench_(name: str, runs: int, profile: str, output: str) -> None:
    """Measure one fault in a lab of its own: one JSON object as the last line with -o json."""
    found = bench.run(Stand(f"bench_{name.replace('-', '_')}"), name, runs, profile, say)
    click.echo(json.dumps(found, indent=None if output == "json" else 1))
    if found["lost"] or found["duplicates"] or found["two_answerers"]:
        sys.exit(1)
