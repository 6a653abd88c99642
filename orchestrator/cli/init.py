"""`kembar init`: the records of a new cluster are made in ZooKeeper, once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from orchestrator.cli.exits import Exit, Failed
from orchestrator.config.load import load
from orchestrator.config.orchestrator import ClusterSection, OrchestratorConfig
from orchestrator.connected import connected
from orchestrator.coordination.layout import provision
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import ConfigWrong, KembarError
from orchestrator.core.model import NodeName

CONNECT_S = 10.0


@click.command()
@click.option(
    "-c", "--config", "config_file", type=click.Path(path_type=Path), default=Path("/etc/kembar/orchestrator.yaml")
)
@click.option("--cluster", "named", default="", metavar="NAME", help="Needed if the file has several.")
@click.option(
    "--primary", default="", metavar="NODE", help="The first primary; without it, the first node of the file."
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def init(config_file: Path, named: str, primary: str, output: str) -> None:
    """Make the records of a new cluster in ZooKeeper. What exists is left as it is, so it may be run again."""
    try:
        config = load(OrchestratorConfig, config_file, os.environ)
    except ConfigWrong as wrong:
        raise Failed(Exit.FAILED, str(wrong)) from None
    section = _section(config, named)
    made = _make(config, section, _pair(section, primary))
    if output == "json":
        click.echo(json.dumps({"cluster": section.name, "made": made}))
    elif made:
        click.echo(f"{section.name}: {len(made)} nodes made in ZooKeeper")
    else:
        click.echo(f"{section.name}: everything is there already, nothing was changed")


def _section(config: OrchestratorConfig, named: str) -> ClusterSection:
    names = [section.name for section in config.clusters]
    if not named and len(names) > 1:
        raise Failed(Exit.USAGE, "which cluster?", f"--cluster {'|'.join(names)}")
    found = [section for section in config.clusters if section.name == (named or names[0])]
    if not found:
        raise Failed(Exit.USAGE, f"no cluster {named!r} in this file: it has {', '.join(names)}")
    return found[0]


def _pair(section: ClusterSection, primary: str) -> tuple[NodeName, NodeName]:
    first, second = section.pair
    if primary not in ("", first, second):
        raise Failed(Exit.USAGE, f"--primary {primary}: {section.name} has {first} and {second}")
    return (second, first) if primary == second else (first, second)


def _make(config: OrchestratorConfig, section: ClusterSection, pair: tuple[NodeName, NodeName]) -> tuple[str, ...]:
    try:
        with connected(config.zookeeper.addresses, CONNECT_S) as zookeeper:
            return provision(zookeeper, Paths(section.name), pair, section.first_policy)
    except KembarError as error:
        raise Failed(Exit.UNREACHABLE, f"ZooKeeper: {error}", "run it again: what was made is kept") from None
