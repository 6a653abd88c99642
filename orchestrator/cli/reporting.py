"""Tells a cluster's event log what is done to its hosts. Nothing that is done waits for it, or fails by it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import click

from orchestrator.cli.client import Api
from orchestrator.cli.exits import Exit, Failed, printable
from orchestrator.cli.note import put

BEGUN_S = 3.0  # a cluster that is set up has no orchestrator yet
ENDED_S = 30.0  # the orchestrators may just have been restarted


@dataclass(frozen=True, slots=True)
class Reporting:
    """Of one run. `named`: the cluster, if there are several."""

    api: Api
    named: str | None

    def begun(self, text: str) -> None:
        """Before anything is done. Raises Failed 2 if it cannot be known whom to tell."""
        if not self.api.settings.endpoints:
            hint = "give --endpoint URL, or name endpoints in client.yaml"
            raise Failed(Exit.USAGE, "--report: no endpoint is configured", hint)
        try:
            self._tell(text, "info", BEGUN_S)
        except Failed as failed:
            if failed.exit_code == Exit.USAGE:
                raise
            _say(failed)

    def ended(self, text: str, severity: str) -> None:
        """Once it is done: to whichever orchestrator answers."""
        try:
            self._tell(text, severity, ENDED_S)
        except Failed as failed:
            _say(failed)

    def _tell(self, text: str, severity: str, within_s: float) -> None:
        until = time.monotonic() + within_s
        if not (self.named or self.api.settings.cluster):
            self.api.persistent("GET", "/api/v1/clusters", until=until)
        put(self.api, self.api.cluster(self.named), text, severity, until=until)


def _say(failed: Failed) -> None:
    click.echo(printable(f"not in the event log: {failed.format_message()}"), err=True)
