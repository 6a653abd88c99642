"""Certificates that a configuration file names are read with it: each mistake at its line, before anybody connects."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.certificates import issue
from orchestrator.config.load import load
from orchestrator.config.tls import Identity
from orchestrator.core.errors import ConfigWrong


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    issue(tmp_path, {"ours": "192.0.2.11", "theirs": "192.0.2.12"})
    (tmp_path / "text").write_text("no certificate\n")
    (tmp_path / "text").chmod(0o600)
    (tmp_path / "locked.key").write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    (tmp_path / "locked.key").chmod(0o600)
    return tmp_path


def written(folder: Path, **named: str) -> Path:
    names = {"authority": "authority.pem", "certificate": "ours.pem", "key": "ours.key"} | named
    path = folder / "tls.yaml"
    path.write_text("".join(f"{key}: {folder / name}\n" for key, name in names.items()))
    return path


def test_what_was_issued_together_is_taken(folder: Path) -> None:
    assert load(Identity, written(folder), {}).key == folder / "ours.key"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"authority": "none.pem"}, "1:12: authority: {}/none.pem: No such file or directory  hint: expected a"
         " certificate in PEM"),
        ({"certificate": "text"}, "2:14: certificate: {}/text holds no certificate  hint: expected in PEM,"
         " -----BEGIN CERTIFICATE-----"),
        ({"certificate": "theirs.pem"}, "3:6: key: {0}/ours.key is not the key of {0}/theirs.pem  hint: give the two"
         " that were issued together"),
        ({"key": "text"}, "3:6: key: {}/text holds no private key that can be used  hint: expected in PEM, without"
         " passphrase"),
        ({"key": "locked.key"}, "3:6: key: {}/locked.key holds no private key that can be used  hint: expected in PEM,"
         " without passphrase"),
    ],
    ids=lambda given: next(iter(given.items()))[1] if isinstance(given, dict) else "",
)  # fmt: skip
def test_a_file_that_will_not_do_is_named(folder: Path, named: dict[str, str], said: str) -> None:
    path = written(folder, **named)
    with pytest.raises(ConfigWrong) as caught:
        load(Identity, path, {})
    assert [line.removeprefix(f"{path}:") for line in caught.value.problems] == [said.format(folder)]
