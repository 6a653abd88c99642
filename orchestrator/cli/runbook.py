"""`kembar runbook`: what to do about a finding, an alert or a refusal; needs nobody's answer."""

from __future__ import annotations

from difflib import get_close_matches

import click

from monitoring import manual
from orchestrator.cli.exits import Exit, Failed
from orchestrator.cli.options import columns
from orchestrator.core.runbooks import PLACE


@click.command()
@click.argument("name", required=False)
def runbook(name: str | None) -> None:
    """What to do about NAME, as status, page, API and messages give it; without it the list of all."""
    if name is None:
        rows = [[one, manual.title(manual.read(one) or "")] for one in manual.names()]
        click.echo("\n".join(columns(rows)))
        return
    wanted = name.removeprefix(PLACE).replace("_", "-").lower()
    text = manual.read(wanted)
    if text is None:
        near = get_close_matches(wanted, manual.names(), 3)
        raise Failed(Exit.USAGE, f"there is no runbook {name!r}", f"kembar runbook {' or '.join(near)}".rstrip())
    click.echo(text, nl=False)
