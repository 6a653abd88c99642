"""`kembar agent`: reads the configuration, then serves in a worker that is replaced when it dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from agents.config import AgentConfig
from agents.serve import serve
from orchestrator.config.load import load
from orchestrator.core.errors import ConfigWrong, Refused
from orchestrator.process.respawn import respawn


@click.command("agent")
@click.option("-c", "--config", "config_file", type=click.Path(path_type=Path), default=Path("/etc/kembar/agent.yaml"))
def command(config_file: Path) -> None:
    """Run the agent of this database host."""
    try:
        config = load(AgentConfig, config_file, os.environ)
    except ConfigWrong as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    sys.exit(respawn(lambda: _serve(config)))


def _serve(config: AgentConfig) -> int:
    try:
        return serve(config)
    except Refused as error:
        click.echo(str(error), err=True)
        return 1
