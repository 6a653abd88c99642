"""A private authority for one lab, and a certificate for the address of each host. Its key is thrown away."""

from __future__ import annotations

from collections.abc import Mapping
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
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    signer = ec.generate_private_key(ec.SECP256R1())
    authority = _name("kembar lab authority")
    own = _begun(authority, authority, signer.public_key())
    own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    own = own.add_extension(x509.KeyUsage(*_usage(signs=True)), critical=True)
    own = own.add_extension(x509.SubjectKeyIdentifier.from_public_key(signer.public_key()), critical=False)
    _write(folder / "authority.pem", own.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))
    for name, address in hosts.items():
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _begun(_name(name), authority, key.public_key())
        leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        leaf = leaf.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        leaf = leaf.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        leaf = leaf.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        _write(folder / f"{name}.pem", leaf.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write(folder / f"{name}.key", private)


def _begun(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - SKEW).not_valid_after(now + VALID)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs: bool) -> tuple[bool, ...]:
    """Of the nine uses of a key only that of signing certificates and their revocations."""
    return (False, False, False, False, False, signs, signs, False, False)


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
