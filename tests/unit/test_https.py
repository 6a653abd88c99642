"""Page and API over TLS, asked by the command line: who is believed, what a browser is told, and a new certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from carrier import Carrier
from click.testing import CliRunner, Result
from test_cli import bare  # noqa: F401 - a fixture of every test here

from lab.certificates import issue
from monitoring.app import Web, bound_socket
from monitoring.tls import ServerTls
from orchestrator.cli.main import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    issue(tmp_path / "ours", {"page": "127.0.0.1", "elsewhere": "192.0.2.1"})
    issue(tmp_path / "theirs", {"page": "127.0.0.1"})
    return tmp_path


@contextmanager
def served(tls: ServerTls) -> Iterator[str]:
    web = Web(Carrier().backend(), bound_socket("127.0.0.1", 0), tls)
    thread = threading.Thread(target=web.run)
    thread.start()
    try:
        assert web.wait_serving(60.0)
        yield web.url
    finally:
        web.stop()
        thread.join()


def page_tls(folder: Path, name: str = "page") -> ServerTls:
    return ServerTls(folder / "ours" / f"{name}.pem", folder / "ours" / f"{name}.key")


def status(url: str, folder: Path, authority: str, verb: str = "status") -> Result:
    token, client = folder / "token", folder / "client.yaml"
    token.write_text("olga-secret\n")
    named = f"authority: {folder / authority}\n" if authority else ""
    client.write_text(f"endpoints: ['{url}']\ntoken_file: {token}\n{named}")
    return CliRunner().invoke(main, [verb, "-c", str(client)])


def asked(url: str, authority: Path, method: str = "GET", path: str = "/healthz", **headers: str) -> HTTPSConnection:
    there = urlsplit(url)
    connection = HTTPSConnection(str(there.hostname), there.port, context=ssl.create_default_context(cafile=authority))
    body = urlencode({"token": "olga-secret", "next": "/"}) if method == "POST" else None
    form = {"Content-Type": "application/x-www-form-urlencoded"} if method == "POST" else {}
    connection.request(method, path, body, {**form, **headers})
    return connection


def certificate(url: str, authority: Path) -> bytes:
    there = urlsplit(url)
    with (
        socket.create_connection((there.hostname, there.port), 5.0) as plain,
        ssl.create_default_context(cafile=authority).wrap_socket(plain, server_hostname=there.hostname) as sock,
    ):
        found = sock.getpeercert(binary_form=True)
    assert found is not None
    return found


def test_the_command_line_believes_the_clusters_own_authority(folder):
    with served(page_tls(folder)) as url:
        assert url.startswith("https://")
        result = status(url, folder, "ours/authority.pem")
        assert (result.exit_code, "db-a" in result.stdout) == (0, True), result.stderr


@pytest.mark.parametrize(
    ("served_by", "authority", "said"),
    [
        ("page", "theirs/authority.pem", "it must be for that address and by {}/theirs/authority.pem"),
        ("page", "", "name the cluster's own as authority in client.yaml"),
        ("elsewhere", "ours/authority.pem", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
    ],
    ids=["another authority", "none named", "another address"],
)
def test_nobody_else_is_believed_and_the_command_says_why(folder, served_by, authority, said):
    """As if nobody had answered: the token has not been sent."""
    with served(page_tls(folder, served_by)) as url:
        result = status(url, folder, authority)
        assert (result.exit_code, said.format(folder) in result.stderr) == (8, True), result.stderr


def test_following_says_so_too(folder):
    with served(page_tls(folder)) as url:
        client = folder / "client.yaml"
        client.write_text(f"endpoints: ['{url}']\nauthority: {folder}/theirs/authority.pem\ncluster: shop\n")
        result = CliRunner().invoke(main, ["events", "-f", "-c", str(client), "--timeout", "0.2"])
        assert result.exit_code == 8 and "its certificate is not good" in result.stderr, result.stderr


@pytest.mark.parametrize(
    ("authority", "said"),
    [
        ("none.pem", "{}/none.pem: No such file or directory"),
        ("ours/page.key", "{}/ours/page.key holds no certificate"),
    ],
)
def test_an_authority_that_cannot_be_read_is_told_before_anybody_is_asked(folder, authority, said):
    result = status("https://127.0.0.1:1", folder, authority)
    assert (result.exit_code, said.format(folder) in result.stderr) == (2, True), result.stderr


def test_a_login_over_tls_stays_there(folder):
    with served(page_tls(folder)) as url:
        connection = asked(url, folder / "ours/authority.pem", "POST", "/login", Origin=url)
        answer = connection.getresponse()
        cookie = answer.headers["Set-Cookie"]
        assert (answer.status, "Secure" in cookie, "HttpOnly" in cookie, "SameSite=Strict" in cookie) == (
            303, True, True, True,
        )  # fmt: skip
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        connection.close()


def test_a_name_that_everybody_shares_is_not_bound_to_tls(folder):
    """A browser would come with https to whatever else is reached as localhost."""
    with served(page_tls(folder)) as url:
        connection = asked(url, folder / "ours/authority.pem", Host="localhost:8080")
        assert "Strict-Transport-Security" not in connection.getresponse().headers
        connection.close()


def test_versions_of_tls_before_1_2_are_not_spoken(folder):
    assert page_tls(folder).context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_new_certificate_is_taken_over_and_who_is_connected_stays(folder):
    tls = page_tls(folder)
    authority = folder / "ours/authority.pem"
    with served(tls) as url:
        standing = asked(url, authority)
        standing.getresponse().read()
        before = certificate(url, authority)
        issue(folder / "ours", {"page": "127.0.0.1"})
        with pytest.raises(ssl.SSLCertVerificationError):
            certificate(url, authority)
        tls.reload()
        assert certificate(url, authority) != before
        standing.request("GET", "/healthz")
        assert standing.getresponse().status == 200
        standing.close()


def test_a_certificate_that_will_not_do_changes_nothing(folder):
    tls, authority = page_tls(folder), folder / "ours/authority.pem"
    with served(tls) as url:
        before = certificate(url, authority)
        (folder / "ours/page.pem").write_bytes((folder / "theirs/page.pem").read_bytes())
        with pytest.raises(ssl.SSLError):
            tls.reload()
        assert certificate(url, authority) == before
