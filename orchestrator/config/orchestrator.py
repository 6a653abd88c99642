"""orchestrator.yaml: who we are, where we listen, which clusters we look after, whose tokens we accept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, RootModel, ValidationInfo, field_validator

from orchestrator.config.acl import GuardedZooKeeper
from orchestrator.config.alerts import Alerts
from orchestrator.config.load import Section, Wrong, load, reject
from orchestrator.config.returns import Reconcile
from orchestrator.config.secret import SecretFile, of_length
from orchestrator.config.shared import (
    TAKE_FREE,
    Endpoint,
    Log,
    Membership,
    Name,
    Node,
    Paced,
    Vip,
    endpoint,
    pair_wrongs,
    vip_wrongs,
)
from orchestrator.config.subject import Subject
from orchestrator.config.tls import Certificate
from orchestrator.core.access import AccessRole, Token
from orchestrator.core.mergepolicy import MergePolicy
from orchestrator.core.model import NodeName, Policy

INHERITED = "inherited"
KEY_MIN = 32  # characters


def _listen(text: Any) -> Endpoint | None:
    return None if text in (None, INHERITED) else endpoint(text)


SessionKey = Annotated[SecretFile, of_length("openssl rand -hex 32", least=KEY_MIN)]


class ClusterNode(Node):
    """One database host, and who its agent is to ZooKeeper."""

    identity: Subject | None = Field(default=None, description="subject of its agent's certificate; with zookeeper.acl")


class ClusterSection(Paced):
    """One pair behind one VIP."""

    name: Name = Field(description="the cluster's name, for example shop")
    nodes: list[ClusterNode] = Field(
        min_length=2, max_length=2, description="exactly two hosts, each with name and address"
    )
    vip: Vip = Field(description="address and subnet")
    reconcile: Reconcile = Field(
        default=MergePolicy(), description="what a return may do by itself; `kembar init` records it"
    )

    @field_validator("nodes")
    @classmethod
    def _pair(cls, nodes: list[ClusterNode]) -> list[ClusterNode]:
        wrongs = [Wrong(w.message, w.hint, (1, *w.at)) for w in pair_wrongs(nodes[0], nodes[1])]
        if wrongs:
            reject(*wrongs)
        return nodes

    @field_validator("vip")
    @classmethod
    def _vip(cls, vip: Vip, info: ValidationInfo) -> Vip:
        wrongs = tuple(vip_wrongs(vip, tuple(info.data.get("nodes", ()))))
        if wrongs:
            reject(*wrongs)
        return vip

    @property
    def pair(self) -> tuple[NodeName, NodeName]:
        """The names of both hosts, in the order of the file."""
        first, second = self.nodes
        return NodeName(first.name), NodeName(second.name)

    @property
    def first_policy(self) -> Policy:
        """What a new cluster begins with; later `kembar config set` changes the section `reconcile`."""
        return replace(self.policy, reconcile=self.reconcile)


class OrchestratorConfig(Section):
    """The whole file."""

    name: Name = Field(description="this orchestrator's own name, different on each host")
    plain_http: bool = Field(default=False, strict=True, description="allow HTTP without TLS outside loopback")
    tls: Certificate | None = Field(default=None, description="certificate and key of page and API; without it, HTTP")
    listen: Annotated[Endpoint | None, BeforeValidator(_listen)] = Field(
        default=Endpoint("127.0.0.1", 8080),
        description="ADDRESS:PORT, or 'inherited' for a socket passed by LISTEN_FDS",
    )
    zookeeper: GuardedZooKeeper = Field(description="hosts, session_timeout_s, tls and acl")
    clusters: list[ClusterSection] = Field(min_length=1, description="each with name, nodes and vip")
    tokens_file: SecretFile | None = Field(default=None, description="API tokens by hash; without it nobody may act")
    session_key_file: SessionKey | None = Field(
        default=None, description="one random secret for all orchestrators, so that a login is good at each of them"
    )
    anonymous_viewers: bool = Field(default=False, strict=True, description="let anyone who reaches us read")
    anonymous_metrics: bool = Field(default=False, strict=True, description="let anyone who reaches us read /metrics")
    alerts: Alerts = Field(default=Alerts(), description="page, and channels through which persons are told")
    log: Log = Log()

    @field_validator("listen")
    @classmethod
    def _loopback(cls, listen: Endpoint | None, info: ValidationInfo) -> Endpoint | None:
        # A section that is wrong is missing here, and has been told already.
        encrypted = info.data.get("tls", True)
        open_to_all = listen is not None and not IPv4Address(listen.host).is_loopback
        if open_to_all and not encrypted and not info.data.get("plain_http", True):
            reject(
                Wrong(
                    f"{listen} is not loopback, and tokens would cross the network in clear",
                    "give tls: {certificate, key}, listen on 127.0.0.1 behind a proxy that speaks TLS,"
                    " or set plain_http: true",
                )
            )
        return listen

    @field_validator("clusters")
    @classmethod
    def _identified(cls, clusters: list[ClusterSection], info: ValidationInfo) -> list[ClusterSection]:
        acl = info.data["zookeeper"].acl if "zookeeper" in info.data else None
        if acl is None:
            return clusters
        taken = {acl.provisioning, *acl.orchestrators, *acl.readers}
        wrongs = []
        for i, cluster in enumerate(clusters):
            for j, node in enumerate(cluster.nodes):
                at = (i, "nodes", j, "identity")
                if node.identity is None:
                    wrongs.append(Wrong("required with zookeeper.acl", "the subject of its agent's certificate", at))
                elif node.identity in taken:
                    wrongs.append(Wrong(f"{node.identity} is somebody else too", "one identity for each", at))
                else:
                    taken.add(node.identity)
        if wrongs:
            reject(*wrongs)
        return clusters

    @field_validator("clusters")
    @classmethod
    def _distinct(cls, clusters: list[ClusterSection]) -> list[ClusterSection]:
        wrongs = [wrong for i in range(len(clusters)) for wrong in _shared(clusters, i)]
        if wrongs:
            reject(*wrongs)
        return clusters

    def membership(self, cluster: ClusterSection) -> Membership:
        """What the agents' files of that cluster must say too."""
        return Membership(
            cluster=cluster.name,
            pair=frozenset((NodeName(node.name), node.address) for node in cluster.nodes),
            vip=(cluster.vip.address, cluster.vip.subnet),
            zookeeper=frozenset(self.zookeeper.hosts),
            policy=cluster.policy,
        )


def _shared(clusters: list[ClusterSection], i: int) -> Iterator[Wrong]:
    """What a cluster has in common with one before it: each host has one agent, and each address one owner."""
    one = clusters[i]
    for other in clusters[:i]:
        if one.name == other.name:
            yield Wrong(f"{one.name!r} is listed twice", at=(i, "name"))
        if one.vip.address == other.vip.address:
            yield Wrong(f"{one.vip.address} is the VIP of {other.name!r} too", at=(i, "vip", "address"))
        theirs = {node.address: node.name for node in other.nodes}
        if one.vip.address in theirs:
            owner = f"{theirs[one.vip.address]} in cluster {other.name!r}"
            yield Wrong(f"{one.vip.address} is the own address of {owner}", TAKE_FREE, (i, "vip", "address"))
        for place, node in enumerate(one.nodes):
            if node.address in theirs:
                text = f"{node.address} is the address of {theirs[node.address]} in cluster {other.name!r} too"
                yield Wrong(text, "a host belongs to one cluster: it has one agent", (i, "nodes", place, "address"))
            if node.address == other.vip.address:
                text = f"{node.address} is the VIP of cluster {other.name!r}"
                yield Wrong(text, "give the host's own address", (i, "nodes", place, "address"))


class TokenSection(Section):
    """One bearer token. The token itself is in nobody's file but its holder's."""

    name: str = Field(min_length=1, description="who acts: the actor in the history")
    role: AccessRole = Field(description="viewer, operator or admin")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="hash of the token: printf %s TOKEN | sha256sum")
    clusters: list[Name] = Field(default=[], description="only these clusters; empty: all")
    expires: date | None = Field(default=None, description="last day of validity, UTC, for example 2027-01-31")


class TokensFile(RootModel[list[TokenSection]]):
    """A list of tokens."""


def load_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens in `tokens_file`. Raises ConfigWrong with every mistake."""
    return tuple(
        Token(
            name=one.name,
            role=one.role,
            sha256=one.sha256,
            clusters=tuple(one.clusters),
            expires_s=_end_of(one.expires) if one.expires else None,
        )
        for one in load(TokensFile, path, {}).root
    )


def _end_of(day: date) -> float:
    """Wall time at which the day is over, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + 86400
