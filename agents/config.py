"""agent.yaml: which host of which pair this is, its mysqld, the VIP, where ZooKeeper is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from orchestrator.config.load import Section, Wrong, reject
from orchestrator.config.secret import AbsolutePath, SecretFile, of_length
from orchestrator.config.shared import (
    Endpoint,
    Log,
    Membership,
    Name,
    Node,
    Paced,
    Port,
    Seconds,
    Vip,
    ZooKeeper,
    endpoint,
    pair_wrongs,
    vip_wrongs,
)
from orchestrator.config.tls import Identity
from orchestrator.core.model import PROFILES, NodeName

CHANNEL_PASSWORD_MAX = 32  # characters: CHANGE REPLICATION SOURCE takes no more, an account would


def _listen(text: Any) -> Endpoint | None:
    return None if text is None else endpoint(text)


class AgentVip(Vip):
    """The VIP, and the interface of this host that carries it."""

    interface: str = Field(
        pattern=r"^[^\s/:]{1,15}$", description="the interface that carries the VIP, for example eth0"
    )


ChannelSecret = Annotated[
    SecretFile, of_length("openssl rand -hex 16, and the same for the account", most=CHANNEL_PASSWORD_MAX)
]


class Replication(Section):
    """How this host's mysqld logs in at the peer's."""

    user: str = Field(min_length=1, max_length=32, description="the replication account, for example kembar_repl")
    password_file: ChannelSecret = Field(description="file with the password, mode 0600, 32 characters at most")
    port: Port = Field(default=3306, description="port of the peer's mysqld")
    ssl: bool = Field(default=True, strict=True, description="TLS on the channel")
    tls: Identity | None = Field(
        default=None,
        description="authority, certificate and key, read by mysqld; without them no certificate is looked at",
    )

    @field_validator("tls")
    @classmethod
    def _encrypted(cls, tls: Identity | None, info: ValidationInfo) -> Identity | None:
        if tls is not None and not info.data.get("ssl", True):
            reject(Wrong("not used with ssl: false", "remove it, or set ssl: true"))
        return tls


class Rejoin(Section):
    """The account that takes rows out of a returning server, and puts them into the primary."""

    user: str = Field(default="kembar_rejoin", min_length=1, max_length=32, description="of the local socket only")
    password_file: SecretFile = Field(description="file with the account's password, mode 0600")


class Clone(Section):
    """The account by which this host's mysqld copies the peer's, as the last way back."""

    user: str = Field(
        default="kembar_clone",
        min_length=1,
        max_length=32,
        description="needs BACKUP_ADMIN, no more; logs in with the certificate of `replication`",
    )
    password_file: SecretFile = Field(description="file with the account's password, mode 0600")


class Exchange(Identity):
    """How the agents of a pair talk with each other: HTTPS, each side proves who it is."""

    port: Port = Field(default=7306, description="on the address of this host and of the peer")


class Mysql(Section):
    """The mysqld of this host."""

    socket: AbsolutePath = Field(description="its UNIX socket, for example /run/mysqld/mysqld.sock")
    port: Port = Field(default=3306, description="the port that clients use on the VIP")
    admin_port: Port = Field(default=33062, description="its admin_port on 127.0.0.1")
    supervisor: Literal["direct", "systemd"] = Field(
        default="systemd", description="who runs it: a systemd unit, or the agent itself"
    )
    command: list[str] = Field(default=[], description="program and arguments", validate_default=True)
    unit: str = Field(default="", description="for example mysql.service", validate_default=True)
    datadir: AbsolutePath = Field(default=Path("/var/lib/mysql"), description="its data directory")
    pid_file: AbsolutePath = Field(description="its pid_file, for example /run/mysqld/mysqld.pid")
    user: str = Field(default="kembar_agent", min_length=1, max_length=32, description="the agent's account")
    password_file: SecretFile = Field(description="file with the account's password, mode 0600")
    replication: Replication = Field(description="user, password_file, port, ssl, tls")
    rejoin: Rejoin | None = Field(default=None, description="user, password_file; without it nothing is repaired")
    clone: Clone | None = Field(default=None, description="user, password_file; without it no server is copied")

    @field_validator("admin_port")
    @classmethod
    def _two_ports(cls, admin_port: int, info: ValidationInfo) -> int:
        if admin_port == info.data.get("port"):
            reject(
                Wrong(f"{admin_port} is mysql.port too", "admin_port keeps the agent's session when clients fill port")
            )
        return admin_port

    @field_validator("command")
    @classmethod
    def _command(cls, command: list[str], info: ValidationInfo) -> list[str]:
        supervisor = info.data.get("supervisor")
        if supervisor == "direct" and not command:
            reject(Wrong("required with supervisor: direct", "program and arguments, as a list"))
        if supervisor == "systemd" and command:
            reject(Wrong("not used with supervisor: systemd", "remove it, or set supervisor: direct"))
        if command and not command[0].startswith("/"):
            reject(Wrong(f"{command[0]!r} is not an absolute path", at=(0,)))
        return command

    @field_validator("unit")
    @classmethod
    def _unit(cls, unit: str, info: ValidationInfo) -> str:
        supervisor = info.data.get("supervisor")
        if supervisor == "systemd" and not unit.endswith(".service"):
            reject(Wrong("required with supervisor: systemd", "the unit's full name, for example mysql.service"))
        if supervisor == "direct" and unit:
            reject(Wrong("not used with supervisor: direct", "remove it, or set supervisor: systemd"))
        return unit


class Probes(Section):
    """How often the agent looks at mysqld. Seconds."""

    select_every_s: Seconds = Field(default=0.25, description="SELECT 1 on a standing connection")


class AgentConfig(Paced):
    """The whole file."""

    cluster: Name = Field(description="the cluster's name, for example shop")
    node: Node = Field(description="name and address of this host")
    peer: Node = Field(description="name and address of the other host of the pair")
    vip: AgentVip = Field(description="address, subnet and interface")
    mysql: Mysql = Field(description="the mysqld of this host")
    zookeeper: ZooKeeper = Field(description="hosts, session_timeout_s and tls")
    probes: Probes = Probes()
    exchange: Exchange | None = Field(default=None, description="port, authority, certificate, key")
    probe_listen: Annotated[Endpoint | None, BeforeValidator(_listen)] = Field(
        default=None, description="ADDRESS:PORT where load balancers ask GET /primary and /standby; without it, nowhere"
    )
    state_dir: AbsolutePath = Path("/var/lib/kembar")
    log: Log = Log()

    @field_validator("peer")
    @classmethod
    def _pair(cls, peer: Node, info: ValidationInfo) -> Node:
        node = info.data.get("node")
        wrongs = tuple(pair_wrongs(node, peer)) if node else ()
        if wrongs:
            reject(*wrongs)
        return peer

    @field_validator("vip")
    @classmethod
    def _vip(cls, vip: AgentVip, info: ValidationInfo) -> AgentVip:
        nodes = tuple(info.data[key] for key in ("node", "peer") if key in info.data)
        wrongs = tuple(vip_wrongs(vip, nodes))
        if wrongs:
            reject(*wrongs)
        return vip

    @field_validator("probes")
    @classmethod
    def _in_time(cls, probes: Probes, info: ValidationInfo) -> Probes:
        policy = PROFILES.get(info.data.get("profile", ""))
        if policy and probes.select_every_s > policy.hang_s / 2:
            reject(
                Wrong(
                    f"{probes.select_every_s:g} s is more than half of hang_s = {policy.hang_s:g} s",
                    "a hung mysqld is called so after two probes at least",
                    ("select_every_s",),
                )
            )
        return probes

    @property
    def membership(self) -> Membership:
        """What the orchestrator's file must say too."""
        return Membership(
            cluster=self.cluster,
            pair=frozenset((NodeName(node.name), node.address) for node in (self.node, self.peer)),
            vip=(self.vip.address, self.vip.subnet),
            zookeeper=frozenset(self.zookeeper.hosts),
            policy=self.policy,
        )
