"""SQL sessions for whoever breaks things: an administrator on a node's socket, an application through the network."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pymysql

from lab.certificates import Identity

Session: TypeAlias = "pymysql.Connection[pymysql.cursors.Cursor]"
CONNECT_S, ANSWER_S = 2.0, 30.0
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def entered(netns: Path) -> Iterator[None]:
    """This thread's new sockets belong to that network namespace until the end of the block. Raises OSError.

    os.setns comes with Python 3.12 only.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(there)
        yield
    finally:
        _setns(home)
        os.close(there)
        os.close(home)


def administrator(socket_file: Path, password: str, *, answer_s: float = ANSWER_S) -> Session:
    """root on a node's own socket, which is past gate, address and offline mode. Raises pymysql.err.Error."""
    return pymysql.connect(
        unix_socket=str(socket_file),
        user="root",
        password=password,
        autocommit=True,
        ssl_disabled=True,  # as lab.meter; the socket is safe without
        connect_timeout=CONNECT_S,
        read_timeout=answer_s,
    )


def application(
    netns: Path,
    address: str,
    password: str,
    *,
    user: str = "app",
    database: str | None = "shop",
    port: int = 3306,
    answer_s: float = ANSWER_S,
    proof: Identity | None = None,
) -> Session:
    """The application's account, or another, from another host; `proof` is its certificate, else without TLS.

    Raises pymysql.err.Error, OSError.
    """
    with entered(netns):
        there = socket.create_connection((address, port), CONNECT_S)
    there.settimeout(None)
    session = pymysql.connect(
        user=user,
        password=password,
        database=database,
        autocommit=True,
        ssl_disabled=proof is None,  # as lab.meter
        ssl_ca=None if proof is None else str(proof.authority),
        ssl_cert=None if proof is None else str(proof.certificate),
        ssl_key=None if proof is None else str(proof.key),
        connect_timeout=CONNECT_S,
        read_timeout=answer_s,
        write_timeout=answer_s,
        defer_connect=True,
    )
    session.connect(there)
    return session


def _setns(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns: needs CAP_SYS_ADMIN over the namespace")
