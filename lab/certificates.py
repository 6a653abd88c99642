"""A private authority for one lab, and certificates for its hosts and components. Its key is kept in memory only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=90)
SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Identity:
    """The files of one component: who vouches for it, and what proves who it is."""

    authority: Path
    certificate: Path
    key: Path


def identity(folder: Path, name: str) -> Identity:
    """What `issue` has left for that name."""
    return Identity(folder / "authority.pem", folder / f"{name}.pem", folder / f"{name}.key")


def issue(folder: Path, hosts: Mapping[str, str]) -> None:
    """authority.pem, and for each name its NAME.pem, for the address, and NAME.key. Raises OSError."""
    authority = Authority(folder)
    for name, address in hosts.items():
        authority.issue(name, addresses=(address,))


class Authority:
    """Issues into `folder`, which gets authority.pem first. Every method raises OSError."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self._name = _name("kembar lab authority")
        self._signer = ec.generate_private_key(ec.SECP256R1())
        own = _begun(self._name, self._name, self._signer.public_key(), VALID)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        own = own.add_extension(x509.KeyUsage(*_usage(signs=True)), critical=True)
        own = own.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._signer.public_key()), critical=False)
        _write(folder / "authority.pem", own.sign(self._signer, hashes.SHA256()).public_bytes(Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        subject: str = "",
        organization: str = "",
        addresses: Sequence[str] = (),
        valid: timedelta = VALID,
    ) -> None:
        """NAME.pem and NAME.key; the subject's common name is `subject`, else the name."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _begun(_name(subject or name, organization), self._name, key.public_key(), valid)
        leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        if addresses:
            named = [x509.IPAddress(ip_address(address)) for address in addresses]
            leaf = leaf.add_extension(x509.SubjectAlternativeName(named), critical=False)
        leaf = leaf.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        leaf = leaf.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._signer.public_key()), critical=False
        )
        _write(self.folder / f"{name}.pem", leaf.sign(self._signer, hashes.SHA256()).public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write(self.folder / f"{name}.key", private)

    def join(self, name: str) -> None:
        """The key into NAME.pem too, before the certificate, as ZooKeeper's servers want both in one file."""
        certificate = self.folder / f"{name}.pem"
        _write(certificate, (self.folder / f"{name}.key").read_bytes() + certificate.read_bytes())


def _begun(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, valid: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    begins = min(now, now + valid) - SKEW
    return builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(now + valid)


def _name(text: str, organization: str = "") -> x509.Name:
    above = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*above, x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs: bool) -> tuple[bool, ...]:
    """Of the nine uses of a key only that of signing certificates and their revocations."""
    return (False, False, False, False, False, signs, signs, False, False)


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
