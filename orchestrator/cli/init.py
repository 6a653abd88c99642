"""`kembar init`: the records of a new cluster are made in ZooKeeper, once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from orchestrator.cli.exits import Exit, Failed
from orchestrator.config.acl import Acl
from orchestrator.config.load import Document, load
from orchestrator.config.orchestrator import ClusterSection, OrchestratorConfig
from orchestrator.config.subject import KnownIdentity
from orchestrator.connected import connected
from orchestrator.coordination.acl import Identities
from orchestrator.coordination.layout import provision
from orchestrator.coordination.paths import Paths
from orchestrator.coordination.protect import Protection
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
@click.option("--certificate", default="", metavar="FILE", help="Of who provisions, if the file has zookeeper.acl.")
@click.option("--key", default="", metavar="FILE", help="Its private key.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def init(config_file: Path, named: str, primary: str, certificate: str, key: str, output: str) -> None:
    """Make the records of a new cluster in ZooKeeper. What exists is left as it is, so it may be run again.

    With zookeeper.acl in the file rights are set too, also at what exists.
    """
    try:
        config = load(OrchestratorConfig, config_file, os.environ)
    except ConfigWrong as wrong:
        raise Failed(Exit.FAILED, str(wrong)) from None
    section = _section(config, named)
    made, closed = _make(config, section, _pair(section, primary), _tls(config, certificate, key))
    if output == "json":
        click.echo(json.dumps({"cluster": section.name, "made": made, "rights_set": closed}))
    elif made or closed:
        click.echo(f"{section.name}: {len(made)} nodes made in ZooKeeper, rights set at {len(closed)}")
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


def _tls(config: OrchestratorConfig, certificate: str, key: str) -> KnownIdentity | None:
    """What this run proves itself with. Raises Failed, if rights are to be set, for anybody but who provisions."""
    tls, acl = config.zookeeper.tls, config.zookeeper.acl
    if tls is None:
        return None
    if certificate or key:
        tls = _other(tls, certificate, key)
    if acl is not None and tls.subject != acl.provisioning:
        raise Failed(
            Exit.USAGE,
            f"{tls.certificate} is of {tls.subject}: only {acl.provisioning} (zookeeper.acl.provisioning) sets rights",
            "give its files: --certificate FILE --key FILE",
        )
    return tls


def _other(tls: KnownIdentity, certificate: str, key: str) -> KnownIdentity:
    given = {"authority": tls.authority, "certificate": Path(certificate).resolve(), "key": Path(key).resolve()}
    try:
        return Document(Path("--certificate, --key"), given).validated(KnownIdentity)
    except ConfigWrong as wrong:
        raise Failed(Exit.USAGE, str(wrong)) from None


def _make(
    config: OrchestratorConfig, section: ClusterSection, pair: tuple[NodeName, NodeName], tls: KnownIdentity | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The nodes that were made, and those whose rights were set."""
    paths = Paths(section.name)
    try:
        with connected(config.zookeeper.addresses, CONNECT_S, tls.paths if tls else None) as zookeeper:
            acl = config.zookeeper.acl
            if acl is None:
                return provision(zookeeper, paths, pair, section.first_policy), ()
            protection = Protection(zookeeper, paths, _identities(acl, section))
            made = protection.begin()
            if strangers := protection.strangers():
                raise Failed(
                    Exit.FAILED,
                    f"nothing was closed, for it would lock out who serves: {'; '.join(strangers)}",
                    "give each zookeeper.tls with the certificate of that subject, restart it, then run this again",
                )
            closed = protection.enforce()
            made += provision(zookeeper, paths, pair, section.first_policy)
            return made, tuple(dict.fromkeys((*closed, *protection.enforce())))
    except KembarError as error:
        raise Failed(Exit.UNREACHABLE, f"ZooKeeper: {error}", "run it again: what was made is kept") from None


def _identities(acl: Acl, section: ClusterSection) -> Identities:
    agents = {NodeName(node.name): node.identity for node in section.nodes if node.identity is not None}
    return Identities(acl.provisioning, tuple(acl.orchestrators), agents, tuple(acl.readers))
