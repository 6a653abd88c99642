"""The channel between two real servers, each with a certificate: who is let in, who is not and why, and new ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from agents.dialect import ChannelTls, channel_login
from agents.session import StatementRefused
from lab.certificates import identity, issue
from tests.contract.mysqlpair import Pair, Server, eventually, replicating

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def running() -> Iterator[Pair]:
    with replicating() as pair:
        yield pair


@pytest.fixture
def pair(running: Pair) -> Pair:
    refollow(running, running.standby.tls)
    running.reset()
    return running


@pytest.fixture
def stranger(tmp_path: Path) -> ChannelTls:
    """A certificate for the right address, by somebody else."""
    issue(tmp_path, {"1": "127.0.0.1"})
    return tls_of(tmp_path, "1")


def tls_of(folder: Path, name: str) -> ChannelTls:
    own = identity(folder, name)
    return ChannelTls(str(own.authority), str(own.certificate), str(own.key))


def refollow(pair: Pair, tls: ChannelTls | None) -> None:
    channel, primary = pair.standby.database.channel, pair.primary
    channel.stop()
    channel.configure("127.0.0.1", primary.instance.port, "kembar_repl", primary.passwords.repl, tls)
    channel.start()


def refused(pair: Pair) -> str:
    """Why the receiver is not let in, as the agent reads it."""
    eventually(lambda: pair.standby.database.facts().receiver_error != "", 20)
    facts = pair.standby.database.facts()
    assert not facts.receiver_connected
    return facts.receiver_error


def greeted(server: Server, authority: Path) -> None:
    """A client that takes nobody for the server but whom that authority vouches for. Raises OperationalError."""
    pymysql.connect(
        host="127.0.0.1",
        port=server.instance.port,
        user="kembar_agent",
        password=server.passwords.agent,
        ssl_ca=str(authority),
        ssl_verify_cert=True,
        ssl_verify_identity=True,
    ).close()


def test_each_side_proves_who_it_is(pair: Pair) -> None:
    ciphers = (
        "SELECT s.VARIABLE_VALUE FROM performance_schema.status_by_thread s"
        " JOIN performance_schema.threads t USING (THREAD_ID)"
        " WHERE s.VARIABLE_NAME = 'Ssl_cipher' AND t.PROCESSLIST_USER = 'kembar_repl'"
    )
    assert pair.primary.sql(ciphers) != ""
    assert pair.standby.database.facts().channel_login == channel_login("kembar_repl", pair.standby.tls)
    assert pair.standby.database.facts().channel_login[-1] == "YES"  # the source is verified


@pytest.mark.parametrize("tls", [None, ChannelTls()], ids=["in clear", "encrypted"])
def test_a_standby_without_a_certificate_is_not_let_in(pair: Pair, tls: ChannelTls | None) -> None:
    refollow(pair, tls)
    assert refused(pair).startswith("1045: ")


def test_a_standby_that_another_authority_vouches_for_is_not_let_in(pair: Pair, stranger: ChannelTls) -> None:
    refollow(pair, ChannelTls(pair.standby.tls.ca, stranger.cert, stranger.key))
    assert f"is {stranger.cert} by an authority that the source trusts?" in refused(pair)


def test_a_source_that_another_authority_vouches_for_is_not_followed(pair: Pair, stranger: ChannelTls) -> None:
    refollow(pair, ChannelTls(stranger.ca, pair.standby.tls.cert, pair.standby.tls.key))
    assert "certificate verify failed" in refused(pair)


def test_a_source_with_the_certificate_of_another_address_is_not_followed(pair: Pair) -> None:
    """One that may be another machine of the same authority."""
    folder, primary = Path(pair.primary.tls.ca).parent, pair.primary
    issue(folder, {"1": "192.0.2.1", "2": "127.0.0.1"})
    primary.database.reload_certificates()
    refollow(pair, pair.standby.tls)
    assert "SSL" in refused(pair)
    issue(folder, {"1": "127.0.0.1", "2": "127.0.0.1"})
    primary.database.reload_certificates()


def test_new_certificates_are_taken_over_while_the_channel_stands(pair: Pair) -> None:
    authority = Path(pair.primary.tls.ca)
    connected = "SELECT PROCESSLIST_ID FROM performance_schema.threads WHERE PROCESSLIST_USER = 'kembar_repl'"
    before = pair.primary.sql(connected)
    issue(authority.parent, {"1": "127.0.0.1", "2": "127.0.0.1"})
    with pytest.raises(pymysql.err.OperationalError, match="certificate verify failed"):
        greeted(pair.primary, authority)
    for server in (pair.primary, pair.standby):
        assert server.database.reload_certificates().endswith("GMT")
        greeted(server, authority)
    pair.primary.sql("INSERT INTO shop.t (v) VALUES (1)")
    assert pair.standby.database.await_executed(pair.primary.database.executed(), 10)
    assert pair.primary.sql(connected) == before
    channel = pair.standby.database.channel
    channel.stop_receiver()
    channel.start()
    eventually(lambda: pair.standby.database.facts().receiver_connected, 20)


def test_certificates_that_do_not_fit_are_refused_and_the_old_ones_stay(pair: Pair, stranger: ChannelTls) -> None:
    authority, key = Path(pair.primary.tls.ca), Path(pair.primary.tls.key)
    kept = key.read_bytes()
    key.write_bytes(Path(stranger.key).read_bytes())
    with contextlib.ExitStack() as undone:
        undone.callback(key.write_bytes, kept)
        with pytest.raises(StatementRefused, match="SSL"):
            pair.primary.database.reload_certificates()
        greeted(pair.primary, authority)
