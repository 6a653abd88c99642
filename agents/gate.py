"""The gate: the kernel rules before the VIP, and the elements whose life opens it; judges nothing, remembers no lease.

Closed means refused, at once: TCP reset for clients, silence to ARP, address kept. A dropped SYN would cost a client
the kernel's 1 s retry (measured). Rules are loaded by libnftables; all else is netlink on one kept socket, since a
renewal is due up to 20 times a second: 0.06-0.09 ms of CPU against 0.22-0.36 ms through libnftables (measured).
Numbers are those of linux/netfilter/nf_tables.h; why each may do what it does is docs/safety.md 5.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Final

from agents.netlink import (
    ACK,
    CREATE,
    DUMP,
    NETLINK_NETFILTER,
    Message,
    NetlinkSocket,
    attribute,
    attributes,
    nested,
    text,
)
from agents.nftables import Nftables
from orchestrator.core.errors import GateRefused, StepFailed

TABLE: Final = "kembar"
_REFERENCE: Final = "kembar_reference"

_INET: Final = 1
_ARP: Final = 3
_FAMILIES: Final = (_INET, _ARP)
_CHAINS: Final = ("in", "out")
_SUBSYSTEM: Final = 10
_BATCH_BEGIN: Final = 0x10
_BATCH_END: Final = 0x11
_GET_TABLE: Final = _SUBSYSTEM << 8 | 1
_GET_CHAIN: Final = _SUBSYSTEM << 8 | 4
_GET_RULE: Final = _SUBSYSTEM << 8 | 7
_NEW_ELEMENT: Final = _SUBSYSTEM << 8 | 12
_GET_ELEMENT: Final = _SUBSYSTEM << 8 | 13
_DELETE_ELEMENT: Final = _SUBSYSTEM << 8 | 14
_GET_GENERATION: Final = _SUBSYSTEM << 8 | 16
_DORMANT: Final = 1  # a flag of a table whose chains see no packet
_TABLE_FLAGS: Final = 2
Kinds = tuple[int, ...]
# What makes a table, a chain, a rule what it is; names, handles and counts of others' comments are left out.
_TABLE_ESSENCE: Final[Kinds] = (3,)  # use: how many chains and sets it has
_CHAIN_ESSENCE: Final[Kinds] = (4, 5, 6, 7, 10)  # hook, policy, use (how many rules), type, flags
_RULE_ESSENCE: Final[Kinds] = (2, 4)  # chain, expressions

_RULES: Final = """\
add table inet {table}; delete table inet {table}; add table arp {table}; delete table arp {table}
table inet {table} {{
  {flags}
  set permit {{ type ipv4_addr; flags timeout; }}
  set lease {{ type ipv4_addr; flags timeout; }}
  chain in {{
    type filter hook input priority -300; policy accept;
    ip daddr {vip} ip daddr != @lease meta l4proto tcp reject with tcp reset
    ip daddr {vip} ip daddr != @lease drop
  }}
  chain out {{
    type filter hook output priority -300; policy accept;
    ip saddr {vip} ip saddr != @lease tcp flags & rst == rst accept
    ip saddr {vip} ip saddr != @lease drop
  }}
}}
table arp {table} {{
  {flags}
  set lease {{ type ipv4_addr; flags timeout; }}
  chain in {{
    type filter hook input priority 0; policy accept;
    arp daddr ip {vip} arp daddr ip != @lease drop
  }}
  chain out {{
    type filter hook output priority 0; policy accept;
    arp saddr ip {vip} arp saddr ip != @lease drop
  }}
}}
"""
_REMOVAL: Final = "add table inet {table}; delete table inet {table}; add table arp {table}; delete table arp {table}"

Essence = tuple[tuple[bytes | None, ...], ...]


class NftGate:
    """Port Gate on nf_tables, in the network namespace of the thread that made it.

    For one thread: two that use one would take each other's answers. Keeps two sockets and
    opens no other. Raises ConfigWrong if libnftables cannot be loaded.
    """

    def __init__(self, vip: IPv4Address) -> None:
        self._vip = vip
        self._nft = Nftables()
        self._kernel = NetlinkSocket(NETLINK_NETFILTER)
        self._reference: Essence | None = None
        self._known_good: list[Message] = []
        self._good_at: int | None = None  # the generation of the kernel's rules at which ours were surely in place

    def close(self) -> None:
        """Give the sockets back. The rules stay, and a lease runs out by itself."""
        self._kernel.close()
        self._nft.close()

    def load(self) -> None:
        """(Re)create both tables with empty sets, in one transaction: shut. Raises StepFailed."""
        self._nft.run(_RULES.format(table=TABLE, flags="", vip=self._vip))

    def unload(self) -> None:
        """Remove both tables if they are there: nothing stands before the address any more. Raises StepFailed."""
        self._nft.run(_REMOVAL.format(table=TABLE))

    def intact(self) -> bool:
        """Whether tables, chains and rules are exactly ours, also if an earlier process of ours loaded them.

        `nft flush table` leaves the sets, so that renewals go on without a gate (measured): look at each renewal.
        Costs 0.04 ms of CPU while nobody but us changes rules, else 0.14 ms, and once 2 ms for the reference
        (measured). Raises StepFailed if the kernel cannot say.
        """
        try:
            generation = self._generation()
            if generation == self._good_at:
                return True
            seen = self._ruleset(TABLE)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise StepFailed(f"gate: cannot list the rules: {error.strerror}; is CAP_NET_ADMIN there?") from error
        if seen != self._known_good:
            if _essence(seen) != self._expected() or any(_dormant(table) for table in seen[: len(_FAMILIES)]):
                return False
            self._known_good = seen
        # Read before the rules: a change in between makes the next look a full one.
        self._good_at = generation
        return True

    def is_open(self) -> bool:
        """Whether the lease of the address is alive; false also without rules, when packets pass: see `intact`.

        Raises StepFailed if the kernel cannot say.
        """
        request = Message(_GET_ELEMENT, 0, _element_body(_INET, "lease", self._vip.packed))
        try:
            self._kernel.ask((request,))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise StepFailed(f"gate: cannot see the lease element: {error.strerror}") from error
        return True

    def arm(self, ttl_s: float) -> None:
        """Put the permit, which no traffic rule looks at. Raises StepFailed, also if the rules are missing."""
        self._or_step_failed("arm", _arming(self._vip, _milliseconds(ttl_s)))

    def open(self, ttl_s: float) -> None:
        """Swap permit for lease in one transaction. Raises GateRefused, mostly as the permit has expired: arm anew."""
        self._or_refused("open", _opening(self._vip, _milliseconds(ttl_s)))

    def renew(self, ttl_s: float) -> None:
        """Prolong only what is still alive in both families. Raises GateRefused, mostly as it has expired: shut."""
        self._or_refused("renew", _renewal(self._vip, _milliseconds(ttl_s)))

    def shut(self) -> None:
        """Flush lease and permit. Raises StepFailed, also if the rules are missing: then drop the address at once."""
        self._or_step_failed("shut", _SHUTTING)

    def _or_refused(self, what: str, batch: Sequence[Message]) -> None:
        try:
            self._kernel.transact(batch)
        except OSError as error:
            why = "no living element, or no rules" if error.errno == errno.ENOENT else error.strerror
            raise GateRefused(f"gate: refused to {what} for {self._vip}: {why}; shut, and arm anew") from error
        # A commit that changes anything raises the generation by one (source), and these always do. Whatever another
        # has changed meanwhile comes on top, so that it cannot hide. Emptying an empty set raises nothing: not counted.
        if self._good_at is not None:
            self._good_at += 1

    def _or_step_failed(self, what: str, batch: Sequence[Message]) -> None:
        try:
            self._kernel.transact(batch)
        except OSError as error:
            raise StepFailed(
                f"gate: the kernel refused to {what}: {error.strerror}; are the rules loaded, is CAP_NET_ADMIN there?"
            ) from error

    def _generation(self) -> int:
        """How often any rule or element in this namespace was changed; an element that expires does not count."""
        (answer,) = self._kernel.ask((Message(_GET_GENERATION, 0, _header(0)),))
        return int.from_bytes(attributes(answer.body, 4)[1], "big")

    def _ruleset(self, table: str) -> list[Message]:
        """Both tables, then their chains, then their rules in order; without the headers, which count every change."""
        requests = [Message(_GET_TABLE, 0, _header(family) + text(1, table)) for family in _FAMILIES]
        requests += [
            Message(_GET_CHAIN, 0, _header(family) + text(1, table) + text(3, chain))
            for family in _FAMILIES
            for chain in _CHAINS
        ]
        rules = Message(_GET_RULE, DUMP, _header(0) + text(1, table))
        found = self._kernel.ask(requests) + self._kernel.dump(rules)
        return [Message(kind, 0, body[:1] + body[4:]) for kind, _, body in found]

    def _expected(self) -> Essence:
        """What this kernel and this library make of our rules, seen once on a dormant copy that no packet meets.

        So a process that did not load the rules can judge them, without knowing how a kernel encodes an expression.
        """
        if self._reference is None:
            self._nft.run(
                _REMOVAL.format(table=_REFERENCE)
                + "\n"
                + _RULES.format(table=_REFERENCE, flags="flags dormant;", vip=self._vip)
            )
            try:
                self._reference = _essence(self._ruleset(_REFERENCE))
            except OSError as error:
                raise StepFailed(f"gate: the reference rules cannot be listed: {error.strerror}") from error
            finally:
                self._nft.run(_REMOVAL.format(table=_REFERENCE))
        return self._reference


def _essence(ruleset: Sequence[Message]) -> Essence:
    kinds = (_TABLE_ESSENCE,) * len(_FAMILIES) + (_CHAIN_ESSENCE,) * len(_FAMILIES) * len(_CHAINS)
    kinds += (_RULE_ESSENCE,) * (len(ruleset) - len(kinds))
    found = []
    for (_, _, body), wanted in zip(ruleset, kinds, strict=True):
        present = attributes(body, 1)
        found.append((body[:1], *(present.get(kind) for kind in wanted)))
    return tuple(found)


def _dormant(table: Message) -> bool:
    flags = attributes(table.body, 1).get(_TABLE_FLAGS, bytes(4))
    return bool(int.from_bytes(flags, "big") & _DORMANT)


def _milliseconds(ttl_s: float) -> int:
    """Rounded down, as only a shorter life is safe. 0 would mean for ever to the kernel (source)."""
    milliseconds = int(ttl_s * 1000)
    if milliseconds < 1:
        raise ValueError(f"gate: a life of {ttl_s} s is shorter than 1 ms")
    return milliseconds


def _header(family: int, resource: int = 0) -> bytes:
    return struct.pack("!BBH", family, 0, resource)


def _element_body(family: int, name: str, key: bytes, ttl_ms: int = 0) -> bytes:
    element = nested(1, attribute(1, key))
    if ttl_ms:
        element += attribute(4, struct.pack("!Q", ttl_ms))
    return _set_body(family, name) + nested(3, nested(1, element))


def _set_body(family: int, name: str) -> bytes:
    return _header(family) + text(1, TABLE) + text(2, name)


def _batch(*messages: Message) -> tuple[Message, ...]:
    """All or nothing; the last message asks for the acknowledgement."""
    kind, flags, body = messages[-1]
    edge = _header(0, _SUBSYSTEM)
    last = Message(kind, flags | ACK, body)
    return Message(_BATCH_BEGIN, 0, edge), *messages[:-1], last, Message(_BATCH_END, 0, edge)


def _flush(family: int, name: str) -> Message:
    return Message(_DELETE_ELEMENT, 0, _set_body(family, name))


def _delete(family: int, name: str, vip: IPv4Address) -> Message:
    return Message(_DELETE_ELEMENT, 0, _element_body(family, name, vip.packed))


def _add(family: int, name: str, vip: IPv4Address, ttl_ms: int) -> Message:
    return Message(_NEW_ELEMENT, CREATE, _element_body(family, name, vip.packed, ttl_ms))


_SHUTTING: Final = _batch(_flush(_INET, "lease"), _flush(_ARP, "lease"), _flush(_INET, "permit"))


def _arming(vip: IPv4Address, ttl_ms: int) -> tuple[Message, ...]:
    return _batch(_flush(_INET, "permit"), _add(_INET, "permit", vip, ttl_ms))


def _opening(vip: IPv4Address, ttl_ms: int) -> tuple[Message, ...]:
    return _batch(
        _delete(_INET, "permit", vip),
        _add(_INET, "lease", vip, ttl_ms),
        _add(_ARP, "lease", vip, ttl_ms),
    )


@lru_cache(maxsize=4)  # packing it costs more than sending it
def _renewal(vip: IPv4Address, ttl_ms: int) -> tuple[Message, ...]:
    # A plain add on a living element returns 0 and does not prolong it, unless its life is another (Linux 6.12 and
    # later); on an expired one it opens (measured): so the deletion comes first, which fails on an expired one and
    # takes the whole batch with it.
    return _batch(
        _delete(_INET, "lease", vip),
        _delete(_ARP, "lease", vip),
        _add(_INET, "lease", vip, ttl_ms),
        _add(_ARP, "lease", vip, ttl_ms),
    )
