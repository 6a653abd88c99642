"""Certificates and rights in configuration files: what is wrong with them is said before anything starts."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from lab.certificates import Authority
from orchestrator.cli.exits import Failed
from orchestrator.cli.settings import read_settings
from orchestrator.cli.validating import mistakes
from orchestrator.config.load import Document, load
from orchestrator.config.orchestrator import OrchestratorConfig
from orchestrator.config.subject import KnownIdentity
from orchestrator.coordination.handler import Handler
from orchestrator.coordination.tls import Tls
from orchestrator.core.errors import ConfigWrong

TLS = {"authority": "authority.pem", "certificate": "agent.pem", "key": "agent.key"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "tls")
    made.issue("agent", subject="agent db-a", organization="shop")
    return made


def files(folder: Path) -> dict[str, str]:
    return {key: str(folder / name) for key, name in TLS.items()}


def problems(given: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigWrong) as caught:
        Document(Path("agent.yaml"), given).validated(KnownIdentity)
    return [line.removeprefix("agent.yaml:1:1: ") for line in caught.value.problems]


def test_files_that_go_together_say_who_we_are(authority: Authority) -> None:
    found = Document(Path("agent.yaml"), files(authority.folder)).validated(KnownIdentity)
    assert found.subject == "CN=agent db-a,O=shop"


def test_an_expired_certificate(authority: Authority) -> None:
    authority.issue("agent", subject="agent db-a", valid=timedelta(minutes=-1))
    folder = authority.folder
    assert problems(files(folder)) == [
        f"certificate: {folder}/agent.pem is not vouched for by {folder}/authority.pem: certificate has expired"
        "  hint: issue it anew from that authority, for clients"
    ]


def test_a_certificate_of_another_authority(authority: Authority, tmp_path: Path) -> None:
    Authority(tmp_path / "foreign")
    given = {**files(authority.folder), "authority": str(tmp_path / "foreign" / "authority.pem")}
    assert "is not vouched for by" in problems(given)[0]


def test_a_subject_that_could_be_read_in_two_ways(authority: Authority) -> None:
    authority.issue("agent", subject="agent db-a,O=bank")
    assert "has parts that cannot be compared" in problems(files(authority.folder))[0]


# --- a connection that is cut


def test_a_connection_that_is_cut_from_another_thread_stays_encrypted(authority: Authority) -> None:
    """Else whoever is at it in that moment would send, and take, plain text."""
    folder = authority.folder
    authority.issue("server", addresses=("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as other:
        accepted = other.submit(lambda: context.wrap_socket(listener.accept()[0], server_side=True))
        handler = Handler(Tls(*files(folder).values()))
        with handler.create_connection(address=listener.getsockname()[:2]) as ours, accepted.result():
            assert ours.version() is not None
            handler.cut()
            assert ours.version() is not None
            assert ours.recv(1) == b""


# --- who may do what

ACL = "acl: {provisioning: 'CN=p,O=shop', orchestrators: ['CN=agent db-a,O=shop']}"
NODES = (
    "      - {name: db-a, address: 192.0.2.11, identity: 'CN=a,O=shop'}\n"
    "      - {name: db-b, address: 192.0.2.12, identity: 'CN=b,O=shop'}\n"
)


def orchestrators_file(tmp_path: Path, tls: dict[str, str] | None, acl: str = ACL, nodes: str = NODES) -> Path:
    path = tmp_path / "orchestrator.yaml"
    path.write_text(
        "name: witness\nzookeeper:\n  hosts: ['192.0.2.13:2281']\n"
        f"  {f'tls: {tls}' if tls else ''}\n  {acl}\n"
        f"clusters:\n  - name: shop\n    nodes:\n{nodes}"
        "    vip: {address: 192.0.2.100, subnet: 192.0.2.0/24}\n"
    )
    return path


def test_rights_for_everybody_are_valid(authority: Authority, tmp_path: Path) -> None:
    assert mistakes((orchestrators_file(tmp_path, files(authority.folder)),)) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("'CN=agent db-a,O=shop'", "'CN=other,O=shop'", "zookeeper.acl.orchestrators: "),
        ("'CN=p,O=shop'", "'CN=p, O=shop'", "zookeeper.acl.provisioning: 'CN=p, O=shop' is no subject"),
        (", identity: 'CN=b,O=shop'", "", "clusters[0].nodes[1].identity: required with zookeeper.acl"),
        ("'CN=b,O=shop'", "'CN=a,O=shop'", "clusters[0].nodes[1].identity: CN=a,O=shop is somebody else too"),
    ],
)
def test_what_would_lock_somebody_out_is_refused(
    authority: Authority, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    path = orchestrators_file(tmp_path, files(authority.folder))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    (found,) = mistakes((path,))
    assert found.startswith(f"{path}:")
    assert found.partition(": ")[2].startswith(expected)


def test_rights_need_certificates(tmp_path: Path) -> None:
    (found,) = mistakes((orchestrators_file(tmp_path, None),))
    assert "zookeeper.acl: nobody proves who he is over plain TCP  hint: give zookeeper.tls too" in found


def test_without_either_nobody_is_known(tmp_path: Path) -> None:
    found = load(OrchestratorConfig, orchestrators_file(tmp_path, None, acl=""), {})
    assert (found.zookeeper.files, found.zookeeper.known_as) == (None, "")


def test_who_reads_without_an_orchestrator_names_three_files(tmp_path: Path) -> None:
    path = tmp_path / "client.yaml"
    path.write_text("zookeeper: ['192.0.2.13:2281']\nzookeeper_tls: {authority: /a, certificate: /c, key: /k}\n")
    assert read_settings(path).zookeeper_files == ("/a", "/c", "/k")
    path.write_text("zookeeper: ['192.0.2.13:2181']\n")
    assert read_settings(path).zookeeper_files is None
    path.write_text("zookeeper_tls: {authority: /a}\n")
    with pytest.raises(Failed, match="zookeeper_tls: expected authority, certificate, key"):
        read_settings(path)
