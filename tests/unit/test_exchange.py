"""What agents ask of each other: only of those that can prove to be of the same cluster, and only what is listed."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.reconcile.evidence import Folder
from agents.reconcile.exchange import Answer, Identity, Peer
from agents.reconcile.parts import Exchange, peer_server
from lab.certificates import issue
from lab.experiments.servers import free_ports
from orchestrator.core.errors import StepFailed, Unavailable
from tests.contract.mysqlpair import eventually

HOST, OTHER = "127.0.0.1", "127.0.0.2"


@dataclass
class Served:
    """One side's evidence, listened for, and the authority of the pair."""

    port: int
    secrets: Path
    evidence: Path

    def identity(self, name: str) -> Identity:
        return Identity(self.secrets / "authority.pem", self.secrets / f"{name}.pem", self.secrets / f"{name}.key")

    def peer(self, identity: Identity | None = None, address: str = HOST) -> Peer:
        return Peer(address, self.port, identity or self.identity("db-b"))

    def asked(self, path: str) -> int:
        """The status of a request whose path no client of ours would send."""
        context = self.identity("db-b").context(server=False)
        with closing(http.client.HTTPSConnection(HOST, self.port, timeout=5, context=context)) as connection:
            connection.putrequest("GET", path, skip_host=False)
            connection.endheaders()
            return connection.getresponse().status


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    issue(folder, {"db-a": HOST, "db-b": OTHER})
    return folder


@contextmanager
def serving(secrets: Path, evidence: Path, answers: Mapping[str, Answer]) -> Iterator[Served]:
    (port,) = free_ports(1)
    served = Served(port, secrets, evidence)
    server = peer_server(Exchange(HOST, OTHER, port, served.identity("db-a")), evidence, answers)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: _listens(port), 10)
    try:
        yield served
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex((HOST, port)) == 0


def refusing(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    raise StepFailed(f"no record {asked['record']} here")


@pytest.fixture
def served(secrets: Path, tmp_path: Path) -> Iterator[Served]:
    evidence = tmp_path / "reconcile"
    data = tmp_path / "data"
    data.mkdir()
    (data / "binlog.000001").write_bytes(b"events" * 500_000)
    (data / "binlog.index").write_bytes(b"./binlog.000001")
    Folder(evidence / "return-42").keep([data / "binlog.000001"], data / "binlog.index")
    (evidence / "return-42/binlog/beside").write_bytes(b"not listed")
    (evidence / "return-42/reset.json").write_bytes(b"{}")
    (tmp_path / "binlog").mkdir()
    (tmp_path / "binlog/SHA256SUMS").write_bytes(b"0  outside\n")
    (tmp_path / "binlog/outside").write_bytes(b"secret")
    answers: dict[str, Answer] = {"double": lambda asked: {"n": asked["n"] * 2}, "refuse": refusing}
    with serving(secrets, evidence, answers) as one:
        yield one


def test_the_peer_gets_what_is_listed_and_is_answered(served: Served, tmp_path: Path) -> None:
    peer = served.peer()
    theirs = Folder(tmp_path / "theirs")
    theirs.take(lambda name, target: peer.fetch("return-42", name, target))
    assert theirs.sums() == Folder(served.evidence / "return-42").sums()
    assert peer.ask("double", {"n": 21}) == {"n": 42}


def test_without_a_certificate_nothing_is_read(served: Served) -> None:
    context = ssl.create_default_context(cafile=str(served.secrets / "authority.pem"))
    asking = closing(http.client.HTTPSConnection(HOST, served.port, timeout=5, context=context))
    with asking as connection, pytest.raises(OSError):  # the server's alert, or its reset
        connection.request("POST", "/v1/double", b'{"n": 1}')
        connection.getresponse()


def test_a_certificate_of_another_authority_is_refused_by_both_sides(served: Served, tmp_path: Path) -> None:
    issue(tmp_path / "other", {"db-b": OTHER})
    theirs = Served(served.port, tmp_path / "other", served.evidence).identity("db-b")
    with pytest.raises(Unavailable):
        served.peer(theirs).ask("double", {"n": 1})  # we do not know the server's authority
    ours = Identity(served.secrets / "authority.pem", theirs.certificate, theirs.key)
    with pytest.raises(Unavailable):
        served.peer(ours).ask("double", {"n": 1})  # the server does not know ours


def test_a_certificate_of_another_address_is_refused(secrets: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    own = Served(port, secrets, tmp_path)
    server = peer_server(Exchange(HOST, OTHER, port, own.identity("db-b")), tmp_path, {})
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: _listens(port), 10)
    try:
        with pytest.raises(Unavailable, match="certificate"):
            own.peer().ask("double", {"n": 1})
    finally:
        server.stop()
        thread.join(10)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/evidence/return-42/beside", "/v1/evidence/return-42/reset.json", "/v1/evidence/return-42/..%2Freset.json",
        "/v1/evidence/return-42/../reset.json", "/v1/evidence/..%2F/outside", "/v1/evidence/../outside",
        "/v1/evidence/%2E%2E/outside", "/v1/evidence/..%2Freturn-42/binlog.000001", "/v1/evidence/./outside",
        "/v1/evidence/return-41/SHA256SUMS", "/v1/evidence/return-42/%2Fetc%2Fpasswd", "/etc/passwd",
    ],
)  # fmt: skip
def test_nothing_is_served_that_no_list_names(served: Served, path: str) -> None:
    assert served.asked("/v1/evidence/return-42/binlog.000001") == 200
    assert served.asked(path) == 404


def test_a_refusal_comes_back_with_its_reason(served: Served, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="no record 7 here"):
        served.peer().ask("refuse", {"record": 7})
    with pytest.raises(StepFailed, match="404"):
        served.peer().ask("unknown", {})
    with pytest.raises(StepFailed, match="404"):
        served.peer().fetch("return-42", "beside", tmp_path / "f")


def test_a_target_that_cannot_be_written_is_not_the_other_agents_fault(served: Served, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        served.peer().fetch("return-42", "binlog.000001", tmp_path / "missing/file")


def test_evidence_never_fills_the_disk_of_the_host_that_serves(served: Served, tmp_path: Path) -> None:
    kept = served.evidence / "return-42/binlog/binlog.000001"
    os.truncate(kept, shutil.disk_usage(tmp_path).free)  # a hole: it has the size, and takes no room
    with pytest.raises(StepFailed, match=r"no_space_for_evidence: binlog\.000001 of \d+ MiB .* make room there"):
        served.peer().fetch("return-42", "binlog.000001", tmp_path / "binlog.000001")
    assert not (tmp_path / "binlog.000001").exists()


def test_nobody_there_is_unavailable(secrets: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with pytest.raises(Unavailable, match=str(port)):
        Served(port, secrets, tmp_path).peer().ask("double", {"n": 1})
