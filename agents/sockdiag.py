"""Ends the TCP connections of one local address, by sock_diag in this process: what `ss -K -t src ADDRESS` does.

It must run while the address is still configured, else no reset leaves; a connection that survives goes on when the
address comes back (measured). Layouts are those of linux/inet_diag.h (source).
"""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv4Address
from typing import Final

from agents.netlink import ACK, DUMP, Message, NetlinkSocket, attribute

_BY_FAMILY: Final = 20
_DESTROY: Final = 21
_BYTECODE: Final = 1
_SOURCE_IS: Final = 7
_ID_AT: Final = 4  # inet_diag_msg: family, state, timer, retransmissions, then the id of the socket
_ID_BYTES: Final = 48
_TIME_WAIT, _CLOSE, _LISTEN = 6, 7, 10
# A listener stays: mysqld may listen on this very address. The others named here send nothing any more.
_STATES: Final = 0xFFFFFFFF & ~(1 << _TIME_WAIT | 1 << _CLOSE | 1 << _LISTEN)


def destroy_connections(kernel: NetlinkSocket, address: IPv4Address) -> int:
    """Reset every TCP connection whose local address is `address`, and return how many there were.

    Those accepted by an IPv6 listener (mysqld's default) count too. Raises OSError; EOPNOTSUPP means a kernel without
    CONFIG_INET_DIAG_DESTROY.
    """
    destroyed = 0
    for family in (socket.AF_INET, socket.AF_INET6):
        for found in kernel.dump(Message(_BY_FAMILY, DUMP, _query(family, _source_is(address)))):
            destroyed += _destroy(kernel, family, found.body[_ID_AT : _ID_AT + _ID_BYTES])
    return destroyed


def _destroy(kernel: NetlinkSocket, family: int, identity: bytes) -> int:
    body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _STATES) + identity
    try:
        kernel.transact((Message(_DESTROY, ACK, body),))
    except OSError as error:
        if error.errno != errno.ENOENT:  # it has ended by itself
            raise
        return 0
    return 1


def _query(family: int, filter_: bytes) -> bytes:
    return struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _STATES) + bytes(_ID_BYTES) + filter_


def _source_is(address: IPv4Address) -> bytes:
    """The kernel's filter; a condition on IPv4 also matches an IPv4-mapped address of an IPv6 socket (source)."""
    condition = struct.pack("=BBHi", socket.AF_INET, address.max_prefixlen, 0, -1) + address.packed
    size = 4 + len(condition)
    return attribute(_BYTECODE, struct.pack("=BBH", _SOURCE_IS, size, size + 4) + condition)
