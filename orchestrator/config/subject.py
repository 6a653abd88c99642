"""As whom a component comes, by its certificate: tried out before anything starts with it."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, model_validator

from orchestrator.config.load import Wrong, reject
from orchestrator.config.tls import Identity

# As RFC 2253 names them, and hence ZooKeeper.
KEYWORDS = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "countryName": "C",
    "domainComponent": "DC",
}
_SUBJECT = re.compile(r"[A-Z]+=[^ ,+=][^,+=]*(,[A-Z]+=[^ ,+=][^,+=]*)*")
_NEEDS_ESCAPE = re.compile(r'[,+"\\<>;=#]')
STEPS_MAX = 6  # of a handshake in memory; TLS 1.3 needs two


def _subject(text: str) -> str:
    if not _SUBJECT.fullmatch(text):
        reject(
            Wrong(
                f"{text!r} is no subject of a certificate",
                "as openssl x509 -noout -subject -nameopt RFC2253 prints it, for example CN=agent db-a,O=shop",
            )
        )
    return text


Subject = Annotated[str, AfterValidator(_subject)]


class KnownIdentity(Identity):
    """An identity whose subject others know. Its files may be replaced: the next connection uses the new ones."""

    @model_validator(mode="after")
    def _vouched_for(self) -> KnownIdentity:
        self._look()
        return self

    @property
    def subject(self) -> str:
        """For example `CN=agent db-a,O=shop`."""
        return self._look()

    @property
    def paths(self) -> tuple[str, str, str]:
        """Authority, certificate, key."""
        return str(self.authority), str(self.certificate), str(self.key)

    def _look(self) -> str:
        """The subject, if the authority vouches for it today."""
        try:
            shown = _shown(*self.paths)
        except ssl.SSLCertVerificationError as error:
            reject(
                Wrong(
                    f"{self.certificate} is not vouched for by {self.authority}: {error.verify_message}",
                    "issue it anew from that authority, for clients",
                    ("certificate",),
                )
            )
        return _name(shown, self.certificate)


def _shown(authority: str, certificate: str, key: str) -> dict[str, Any]:
    """What a server sees of a client that shows its certificate: a handshake with ourselves, in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(authority)
    for context in (server, client):
        context.load_cert_chain(certificate, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for side in sides * STEPS_MAX:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return sides[1].getpeercert() or {}


def _name(shown: dict[str, Any], certificate: Path) -> str:
    parts = [[(KEYWORDS.get(key), value) for key, value in one] for one in reversed(shown.get("subject", ()))]
    if not parts or any(key is None or _NEEDS_ESCAPE.search(value) for part in parts for key, value in part):
        reject(
            Wrong(
                f"{certificate}: its subject is missing, or has parts that cannot be compared",
                f"use {', '.join(KEYWORDS.values())} only, without , + = # and quotes",
                ("certificate",),
            )
        )
    return ",".join("+".join(f"{key}={value}" for key, value in part) for part in parts)
