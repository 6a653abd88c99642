"""The `kembar` command. Each verb's module is imported only when that verb is run, so that a client starts at once."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

import click

# Where each verb lives, and its line in --help, which must not import it.
VERBS = {
    "status": ("orchestrator.cli.status:status", "Can clients write, where, and what if that node fails now?"),
    "check": ("orchestrator.cli.check:check", "One line for a monitor: OK, WARNING, CRITICAL or UNKNOWN."),
    "explain": ("orchestrator.cli.explain:explain", "Why nothing is happening, and what would end the wait."),
    "doctor": ("orchestrator.cli.doctor:doctor", "Every check, each failure with what mends it."),
    "vip": ("orchestrator.cli.vip:vip", "Who holds the virtual IP, as each side sees it."),
    "events": ("orchestrator.cli.events:events", "What happened; with -f what happens."),
    "history": ("orchestrator.cli.history:history", "Failovers and switchovers; with an ID, its timeline."),
    "switchover": ("orchestrator.cli.switchover:switchover", "Move the primary, planned and without loss."),
    "failback": ("orchestrator.cli.switchover:failback", "Move the primary to the preferred node, as a switchover."),
    "failover": ("orchestrator.cli.failover:failover", "Promote a node by force; acknowledged writes may be lost."),
    "verify": ("orchestrator.cli.verify:verify", "Compare the data of both nodes, while both work."),
    "adopt": ("orchestrator.cli.adopt:adopt", "Record the running roles anew, after ZooKeeper lost its data."),
    "ack": ("orchestrator.cli.failover:ack", "End a hold-down: automatic failover may begin again."),
    "reconcile": ("orchestrator.cli.reconcile:reconcile", "What only a returned node has: seen and decided."),
    "rejoin": ("orchestrator.cli.reconcile:rejoin", "Let a return that stopped go on, or make a standby anew."),
    "maintenance": ("orchestrator.cli.maintenance:maintenance", "Keep one node from being promoted."),
    "pause": ("orchestrator.cli.pause:pause", "Let no automatic failover begin, for a while."),
    "resume": ("orchestrator.cli.pause:resume", "End a pause."),
    "note": ("orchestrator.cli.note:note", "Write a line to the event log."),
    "token": ("orchestrator.cli.token:token", "API tokens: make one, list them, revoke one."),
    "audit": ("orchestrator.cli.audit:audit", "Who asked for what, from where, and what became of it."),
    "alerts": ("orchestrator.cli.alerts:alerts", "What persons are told of; a test message to a channel."),
    "runbook": ("orchestrator.cli.runbook:runbook", "What to do about a finding, an alert or a refusal."),
    "config": (
        "orchestrator.cli.config:config",
        "Check configuration files; how a return is repaired.",
    ),
    "support-bundle": ("orchestrator.cli.bundle:support_bundle", "All that helps whoever was not there, in one file."),
    "api": ("orchestrator.cli.raw:api", "One call of the API, as it is."),
    "completion": ("orchestrator.cli.raw:completion", "What a shell needs to complete our words."),
    "init": ("orchestrator.cli.init:init", "Make the records of a new cluster in ZooKeeper."),
    "agent": ("agents.cli:command", "Run the agent of a database host."),
    "orchestrator": ("orchestrator.serve:command", "Run an orchestrator."),
    "provision": ("orchestrator.cli.provision:provision", "Set hosts up, change and upgrade them: the playbooks."),
    "lab": ("lab.cli:command", "A whole cluster on this machine."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name, and loads one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name][0].partition(":")
        found = getattr(import_module(module), name)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"kembar {version('kembar')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="And exit.")
def main() -> None:
    """Keeps two MySQL servers writable behind one virtual IP."""
