"""`kembar agent`: reads the configuration, then serves in a worker that is replaced when it dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from agents.config import AgentConfig
from agents.mysql import Database
from agents.serve import access_of, serve
from orchestrator.config.load import load
from orchestrator.core.errors import ConfigWrong, KembarError, Refused
from orchestrator.process.clock import HostClock
from orchestrator.process.respawn import respawn


@click.command("agent")
@click.option("-c", "--config", "config_file", type=click.Path(path_type=Path), default=Path("/etc/kembar/agent.yaml"))
@click.option(
    "--reload-certificates",
    is_flag=True,
    help="Only have mysqld read its certificate, key and authority again, and end; nobody is disconnected.",
)
def command(config_file: Path, reload_certificates: bool) -> None:
    """Run the agent of this database host."""
    try:
        config = load(AgentConfig, config_file, os.environ)
    except ConfigWrong as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    sys.exit(_reload(config) if reload_certificates else respawn(lambda: _serve(config)))


def _reload(config: AgentConfig) -> int:
    database = Database(access_of(config), HostClock())
    try:
        click.echo(f"mysqld's certificate is good until {database.reload_certificates()}")
    except KembarError as error:
        click.echo(f"mysqld goes on with the certificate it has: {error}", err=True)
        return 1
    finally:
        database.close()
    return 0


def _serve(config: AgentConfig) -> int:
    try:
        return serve(config)
    except Refused as error:
        click.echo(str(error), err=True)
        return 1
