"""`kembar lab`: a whole cluster on this machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click

from lab import bench, faults, overhead, pagebench, pairsbench, rejoin, rootless, soak
from lab.bench import BENCHES
from lab.demo import Demo
from lab.experiments.catalogue import EXPERIMENTS
from lab.files import lab_name
from lab.matrix import runner, table
from lab.pairstand import PAIRS_MAX
from lab.provenance import provenance
from lab.stand import PORT, Stand
from lab.standing import standing, text
from lab.teller import Teller
from orchestrator.core.errors import KembarError

Arguments = ParamSpec("Arguments")
OVERHEAD, PAGE, MANY = "overhead", "page", "pairs"
RUNS, STRETCHES, RETURNS, EVENTS, DEATHS = 10, 6, 3, 50, 50
PAIRS = 200


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


def enter(lab: str, *, create: bool = False, port: int = 0, keep: bool = True) -> None:
    """As an ordinary user: do this command in the lab's own namespaces instead, and end with its status."""
    if rootless.needed():
        status = rootless.again(lab, create=create, port=port, keep=keep)
        if status is not None:
            sys.exit(status)


PROFILES = click.Choice(["fast", "default", "many"])
profile_option = click.option("--profile", type=PROFILES, default="fast", show_default=True)
port_option = click.option(
    "--port", default=PORT, show_default=True, help="Of the page, on 127.0.0.1; a free one if it is taken."
)
output_option = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")


@click.group("lab")
def command() -> None:
    """A whole cluster on this machine: real MySQL, ZooKeeper and a virtual IP, in network namespaces."""


@command.command()
@profile_option
@port_option
@reports_trouble
def up(profile: str, port: int) -> None:
    """Bring the lab up and leave it running."""
    enter(lab_name(), create=True, port=port)
    stand = Stand(lab_name())
    try:
        facts = stand.up(profile, say, port=rootless.page_port(port))
    except KembarError:
        say(f"what was started is left for a look: {stand.files.root}/log, then {_as_called()} lab down")
        raise
    called = _as_called()
    say(f"The pair is healthy. Page: {facts.url}")
    say(f"Next: {called} status, {called} lab fault mysqld-crash, {called} lab down")


@command.command()
@reports_trouble
def down() -> None:
    """End the lab: no process, namespace, mount or file of it stays."""
    enter(lab_name(), keep=False)
    ended = Stand(lab_name()).down()
    say(f"lab {lab_name()} is down, {ended} processes ended")


@command.command()
@profile_option
@port_option
@reports_trouble
def demo(profile: str, port: int) -> None:
    """Bring a lab up, kill its primary under a writing client, and tell what became of it; leaves the lab running."""
    enter(lab_name(), create=True, port=port)
    if not Demo(Stand(lab_name()), Teller(sys.stdout), _as_called()).run(profile, rootless.page_port(port)):
        click.echo("kembar lab demo: not everything went as it should, see above", err=True)
        sys.exit(1)


@command.command()
@output_option
@reports_trouble
def status(output: str) -> None:
    """Which processes run where, the page's URL, the versions."""
    enter(lab_name())
    found = standing(Stand(lab_name()))
    click.echo(json.dumps(found) if output == "json" else "\n".join(text(found)))


@command.command(name="exec", context_settings={"ignore_unknown_options": True})
@click.argument("node")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
@reports_trouble
def exec_(node: str, argv: tuple[str, ...]) -> None:
    """Run a command on a node of the lab: kembar lab exec db-a -- ip address."""
    enter(lab_name())
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
    enter(lab_name())
    target, _ = faults.inject(Stand(lab_name()), name, node)
    say(f"{name} on {target.name}: {faults.FAULTS[name].what}")


@command.command()
@reports_trouble
def heal() -> None:
    """Undo every fault: links, frozen and ended processes."""
    enter(lab_name())
    faults.heal(Stand(lab_name()))


@command.command(name="bench")
@click.argument("name", type=click.Choice([*BENCHES, *rejoin.BENCHES, OVERHEAD, PAGE, MANY]))
@click.option(
    "--runs",
    type=click.IntRange(1),
    help="Default 10; of overhead 6, each a stretch with and one without; rejoin 3; page 50 events; pairs 50 deaths.",
)
@click.option("--pairs", type=click.IntRange(1, PAIRS_MAX), help="pairs: how many, 200 unless told.")
@click.option("--transactions", type=click.IntRange(0), help="rejoin-*: what the old primary has alone.")
@click.option("--database-mb", type=click.IntRange(0), help="rejoin-*: size of a table that nobody touches.")
@click.option("--profile", type=PROFILES, help="fast unless told; of pairs many.")
@output_option
@reports_trouble
def bench_(
    name: str,
    runs: int | None,
    pairs: int | None,
    transactions: int | None,
    database_mb: int | None,
    profile: str | None,
    output: str,
) -> None:
    """Measure a fault, a kind of return, the overhead, the page, or many pairs, in a lab of its own: with -o json one
    object.
    """
    returns = name in rejoin.BENCHES
    if name != MANY and pairs is not None:
        raise click.UsageError(f"--pairs is for {MANY}, not {name}")
    if not returns and (transactions is not None or database_mb is not None):
        raise click.UsageError(f"--transactions and --database-mb are for {', '.join(rejoin.BENCHES)}, not {name}")
    lab = os.environ.get("KEMBAR_LAB") or f"bench_{name.replace('-', '_')}"
    enter(lab, create=True, keep=False)
    profile = profile or ("many" if name == MANY else "fast")
    found: dict[str, Any]
    if returns:
        given = rejoin.DEFAULT_TRANSACTIONS[name] if transactions is None else transactions
        size = {"transactions": given, "database_mb": database_mb or 0}
        found = rejoin.run(Stand(lab), name, size, runs or RETURNS, profile, say)
    elif name == OVERHEAD:
        found = overhead.run(Stand(lab), runs or STRETCHES, profile, say)
    elif name == PAGE:
        found = pagebench.run(Stand(lab), runs or EVENTS, profile, say)
    elif name == MANY:
        found = pairsbench.run(Stand(lab), pairs or PAIRS, runs or DEATHS, profile, say)
    else:
        found = bench.run(Stand(lab), name, runs or RUNS, profile, say)
    click.echo(json.dumps(found, indent=None if output == "json" else 1))
    if _wrong(name, found):
        sys.exit(1)


def _wrong(name: str, found: dict[str, Any]) -> bool:
    """Whether a bench has found what must never be."""
    if name in rejoin.BENCHES:
        return bool(found["unaccounted"]) or not (found["checksums_equal"] and found["gtid_sets_equal"])
    if name == MANY:
        return pairsbench.failed(found)
    needless = name in BENCHES and not BENCHES[name].moves and found["failovers"]
    return bool(needless or any(found.get(key) for key in ("lost", "duplicates", "two_answerers")))


@command.command(name="faults")
@click.option("--priority", type=click.Choice(["P0", "P1", "P2"]), help="Default: all.")
@click.option("--only", metavar="N,...", default="", help="Rows of these numbers; `rejoin`: those of a return.")
@profile_option
@output_option
@reports_trouble
def faults_(priority: str | None, only: str, profile: str, output: str) -> None:
    """The fault matrix, in a lab of its own: each fault injected under load, and what came of it judged."""
    lab = os.environ.get("KEMBAR_LAB") or "faults"
    enter(lab, create=True, keep=False)
    found = provenance() | runner.run(Stand(lab), *table.chosen(priority, _numbers(only)), profile, say)
    click.echo(json.dumps(found) if output == "json" else "\n".join(runner.text(found)))
    if any(found[key] for key in ("failed", "lost", "two_answerers")):
        sys.exit(1)


@command.command(name="soak")
@click.option("--minutes", type=click.FloatRange(min=0.0, min_open=True), default=10.0, show_default=True)
@profile_option
@output_option
@reports_trouble
def soak_(minutes: float, profile: str, output: str) -> None:
    """A pair under load without any fault, in a lab of its own: nothing may move, be lost, or grow."""
    lab = os.environ.get("KEMBAR_LAB") or "soak"
    enter(lab, create=True, keep=False)
    found = soak.run(Stand(lab), minutes, profile, say)
    click.echo(json.dumps(found) if output == "json" else "\n".join(soak.text(found)))
    if soak.failed(found):
        sys.exit(1)


def _numbers(text: str) -> set[int]:
    """`1,2,46` as numbers, and the names of groups as theirs. Raises click.BadParameter."""
    parts = [part for part in text.split(",") if part]
    try:
        return {number for part in parts for number in table.GROUPS.get(part) or {int(part)}}
    except ValueError:
        names = ", ".join(table.GROUPS)
        raise click.BadParameter(f"{text!r}: numbers of rows or {names}, separated by commas, as 1,2,46") from None


@command.command()
@click.argument("name", type=click.Choice(list(EXPERIMENTS)))
@click.option("--runs", type=click.IntRange(1), help="How often; unless told, as often as its decision record says.")
@output_option
@reports_trouble
def experiment(name: str, runs: int | None, output: str) -> None:
    """Ask real servers one question, about MySQL, ZooKeeper or the kernel: one JSON object. Needs root and no lab."""
    one = EXPERIMENTS[name]
    say(f"{name}: {one.question}")
    found = {"experiment": name, "runs": runs or one.runs, **one.run(runs or one.runs, say)}
    click.echo(json.dumps(found, indent=None if output == "json" else 1))


def _as_called() -> str:
    """The `kembar` command as the person can repeat it from here, with the lab's name if it has one of its own."""
    called = Path(sys.argv[0]).absolute()
    shown = f"{called.relative_to(Path.cwd())}" if called.is_relative_to(Path.cwd()) else str(called)
    name = os.environ.get("KEMBAR_LAB")
    return f"KEMBAR_LAB={name} {shown}" if name else shown
