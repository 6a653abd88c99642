"""TLS to ZooKeeper: three files, read again for each connection, so that renewed ones are used from the next one on."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM. The servers' certificates must carry their IP addresses: we use no names."""

    authority: str
    certificate: str
    key: str

    def context(self) -> ssl.SSLContext:
        """Trusts that authority and no other. Raises OSError (ssl.SSLError among them) for files of no use."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self.authority)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def connect(self, address: tuple[str, int], within_s: float) -> ssl.SSLSocket:
        """A connection whose handshake is done. Raises OSError."""
        end = time.monotonic() + within_s
        context = self.context()
        opened = socket.create_connection(address, within_s)
        try:
            opened.settimeout(max(end - time.monotonic(), 0.001))
            return context.wrap_socket(opened, server_hostname=address[0])
        except BaseException:
            opened.close()
            raise


def tls_of(files: Sequence[str] | None) -> Tls | None:
    """From authority, certificate and key, as the configuration has them; None: plain TCP."""
    return Tls(*files) if files is not None else None
