"""Certificates that a configuration file names, read with it: a wrong one is told before anybody connects."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from orchestrator.config.load import Section, Wrong, reject
from orchestrator.config.secret import AbsolutePath, SecretFile


def _certificates(path: Path) -> Path:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        reject(Wrong(f"{path} holds no certificate", "expected in PEM, -----BEGIN CERTIFICATE-----"))
    except OSError as error:
        reject(Wrong(f"{path}: {error.strerror}", "expected a certificate in PEM"))
    return path


CertificateFile = Annotated[AbsolutePath, AfterValidator(_certificates)]


def _no_passphrase() -> str:
    return ""  # asked for at a terminal otherwise, which a daemon has not


class Certificate(Section):
    """What proves who we are."""

    certificate: CertificateFile = Field(description="in PEM, with what is between it and the authority behind it")
    key: SecretFile = Field(description="its private key, in PEM, without passphrase, mode 0600")

    @field_validator("key")
    @classmethod
    def _belongs(cls, key: Path, info: ValidationInfo) -> Path:
        certificate = info.data.get("certificate")
        if certificate is None:
            return key
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _no_passphrase)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                reject(Wrong(f"{key} is not the key of {certificate}", "give the two that were issued together"))
            reject(Wrong(f"{key} holds no private key that can be used", "expected in PEM, without passphrase"))
        return key


class Identity(Certificate):
    """What proves who we are, and by whom the other side must be vouched for."""

    authority: CertificateFile = Field(description="the certificate, in PEM, of the authority that both sides trust")
