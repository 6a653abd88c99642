"""What agents and orchestrators configure alike: names, pair, VIP, ZooKeeper, profile and timings, secrets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from orchestrator.config.load import Section, Wrong, reject
from orchestrator.config.subject import KnownIdentity
from orchestrator.core.lease import Timing
from orchestrator.core.model import PROFILES, NodeName, Policy

TAKE_FREE = "the VIP moves between the hosts: take a free address of the subnet"
# Names are parts of ZooKeeper paths and of file names.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=3600)]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IPv4 address and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def endpoint(text: Any) -> Endpoint:
    """Parse `192.0.2.11:2181`. A host name is refused: a failover must not wait for a name server."""
    if isinstance(text, Endpoint):
        return text
    host, _, port = str(text).rpartition(":")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        reject(Wrong(f"{text!r} is not ADDRESS:PORT", "for example 192.0.2.11:2181"))
    try:
        address = IPv4Address(host)
    except ValueError:
        reject(Wrong(f"{host!r} is not an IPv4 address", "a failover must not wait for a name server"))
    return Endpoint(str(address), int(port))


IpPort = Annotated[Endpoint, BeforeValidator(endpoint)]


class Node(Section):
    """One database host."""

    name: Name = Field(description="the host's name in the pair, for example db-a")
    address: IPv4Address = Field(description="the host's own IPv4 address, for example 192.0.2.11")


class Vip(Section):
    """The address that clients use."""

    address: IPv4Address = Field(description="the virtual IPv4 address, for example 192.0.2.100")
    subnet: IPv4Network = Field(description="the network it belongs to, for example 192.0.2.0/24")


class ZooKeeper(Section):
    """The servers that agents and orchestrators meet in."""

    hosts: list[IpPort] = Field(min_length=1, description="an odd number of servers, each ADDRESS:PORT")
    session_timeout_s: Seconds = 1.0
    tls: KnownIdentity | None = Field(default=None, description="authority, certificate, key; without it, plain TCP")

    @field_validator("hosts")
    @classmethod
    def _quorum(cls, hosts: list[Endpoint]) -> list[Endpoint]:
        wrongs = [Wrong(f"{h} is listed twice", at=(i,)) for i, h in enumerate(hosts) if h in hosts[:i]]
        if len(hosts) % 2 == 0:
            wrongs.append(
                Wrong(f"{len(hosts)} servers: an even number survives no more losses than one less", "use 3, or 5")
            )
        if wrongs:
            reject(*wrongs)
        return hosts

    @property
    def addresses(self) -> tuple[str, ...]:
        """As the client wants them."""
        return tuple(map(str, self.hosts))

    @property
    def files(self) -> tuple[str, str, str] | None:
        """Authority, certificate and key, as the client wants them; None: plain TCP."""
        return self.tls.paths if self.tls else None

    @property
    def known_as(self) -> str:
        """Who we are to ZooKeeper: the subject of our certificate, empty over plain TCP."""
        return self.tls.subject if self.tls else ""


class Log(Section):
    """Lines on stderr."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class TimingOverrides(Section):
    """Lease timings that differ from the profile's. Seconds."""

    renew_every_s: Seconds | None = None
    authorised_s: Seconds | None = None
    gate_ttl_s: Seconds | None = None

    def over(self, base: Timing) -> Timing:
        """The timing in force. Raises ValueError if it breaks the safety inequality."""
        return replace(base, **self.model_dump(exclude_none=True))


class Paced(Section):
    """A profile and what differs from it; agents and orchestrators of one cluster must be given the same."""

    profile: Literal["fast", "default", "many"] = "default"
    timing: TimingOverrides = TimingOverrides()

    @field_validator("timing")
    @classmethod
    def _safe(cls, timing: TimingOverrides, info: ValidationInfo) -> TimingOverrides:
        base = PROFILES.get(info.data.get("profile", ""))
        if base is None:
            return timing
        renew, authorised, ttl = (
            getattr(timing, key) or getattr(base.timing, key) for key in ("renew_every_s", "authorised_s", "gate_ttl_s")
        )
        wrongs = []
        if 3 * renew > ttl:
            key = "renew_every_s" if timing.renew_every_s is not None else "gate_ttl_s"
            wrongs.append(
                Wrong(
                    f"3 * renew_every_s = {3 * renew:g} s must be at most gate_ttl_s = {ttl:g} s",
                    f"renew_every_s {ttl / 3:.3g} or less, or gate_ttl_s {3 * renew:.3g} or more",
                    (key,),
                )
            )
        if ttl >= authorised:
            key = "gate_ttl_s" if timing.gate_ttl_s is not None else "authorised_s"
            wrongs.append(
                Wrong(
                    f"gate_ttl_s = {ttl:g} s must be less than authorised_s = {authorised:g} s",
                    "the kernel's gate must close before the lease's horizon",
                    (key,),
                )
            )
        if wrongs:
            reject(*wrongs)
        return timing

    @property
    def policy(self) -> Policy:
        """Profile and overrides as both sides use them."""
        base = PROFILES[self.profile]
        return replace(base, timing=self.timing.over(base.timing))


def pair_wrongs(first: Node, second: Node) -> Iterator[Wrong]:
    """What is wrong with two hosts as a pair, at keys of the second."""
    if first.name == second.name:
        yield Wrong(f"{second.name!r} is both hosts of the pair", "name two different hosts", ("name",))
    if first.address == second.address:
        yield Wrong(f"{second.address} is the address of both hosts", "give each host its own address", ("address",))


def vip_wrongs(vip: Vip, nodes: tuple[Node, ...]) -> Iterator[Wrong]:
    """What is wrong with a VIP for these hosts, at keys of the VIP."""
    edges = (vip.subnet.network_address, vip.subnet.broadcast_address) if vip.subnet.prefixlen < 31 else ()
    if vip.address not in vip.subnet:
        hint = "give an address of the subnet that the interface is in"
        yield Wrong(f"{vip.address} is outside the subnet {vip.subnet}", hint, ("address",))
    elif vip.address in edges:
        yield Wrong(f"{vip.address} is the network's own or the broadcast address of {vip.subnet}", at=("address",))
    for node in nodes:
        if node.address == vip.address:
            yield Wrong(
                f"{vip.address} is the own address of {node.name}",
                TAKE_FREE,
                ("address",),
            )


@dataclass(frozen=True, slots=True)
class Membership:
    """What every file of one cluster must say alike."""

    cluster: str
    pair: frozenset[tuple[NodeName, IPv4Address]]
    vip: tuple[IPv4Address, IPv4Network]
    zookeeper: frozenset[Endpoint]
    policy: Policy


def differences(ours: Membership, theirs: Membership) -> tuple[str, ...]:
    """Where two files of one cluster disagree: the names of the parts."""
    parts = ("pair", "vip", "zookeeper", "policy")
    return tuple(part for part in parts if getattr(ours, part) != getattr(theirs, part))
