"""The certificate that page and API are served with, read again while they are: connections that stand keep theirs."""

from __future__ import annotations

import ssl
from pathlib import Path


class ServerTls:
    """TLS 1.2 or later for one listener."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises OSError (ssl.SSLError too) if they cannot be read, or do not belong together."""
        self._certificate, self._key = certificate, key
        self._present = self._read()
        self.context = self._read()  # what the listener is given, once and for all
        self.context.sni_callback = self._choose

    def reload(self) -> None:
        """New connections get what the files hold now. Raises OSError if that will not do: then nothing changes."""
        self._present = self._read()

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key, lambda: "")  # else it asks at a terminal
        return context

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        """Called at the begin of each handshake, also where the client names no host."""
        connection.context = self._present
