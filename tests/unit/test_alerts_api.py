"""What is told to persons, over the API and on the command line; test messages reach real receivers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from carrier import Carrier
from click.testing import CliRunner, Result
from receivers import receiver
from test_api import SHOP, one
from test_cli import bare as bare
from test_cli import served
from test_courier import Pair, channel, fail_over

from monitoring.backend import Backend
from orchestrator.cli.main import main
from orchestrator.core.outbox import Outgoing
from orchestrator.desk import Desk


class LivelyDesk(Desk):
    """One whose leader sends all that is due before anybody looks."""

    def outgoing(self) -> Outgoing:
        PRESENT[0].send("webhook")
        return super().outgoing()


PRESENT = []


@dataclass
class Told(Carrier):
    """A carrier with the outbox of a pair."""

    pair: Pair | None = None
    lively: bool = False

    def backend(self) -> Backend:
        desk = self.pair.desk
        if self.lively:
            desk = LivelyDesk(desk.paths, desk.coordinator, desk.clock, desk.utc, desk.routes)
        return replace(super().backend(), desks={"shop": desk})


def of(url: str, **more: object) -> Told:
    pair = Pair(channel("webhook", url=url))
    leader = pair.leader()
    fail_over(pair, leader)
    PRESENT[:] = [leader]
    return Told(pair=pair, **more)


def run(carrier: Carrier, tmp_path: Path, *args: str, who: str) -> Result:
    with served(carrier) as url:
        token, client = tmp_path / "token", tmp_path / "client.yaml"
        token.write_text(f"{who}-secret\n")
        client.write_text(f"endpoints: ['{url}']\ntoken_file: {token}\n")
        return CliRunner().invoke(main, [*args, "-c", str(client)])


TRY = {"channel": "webhook", "reason": "new pager"}


def test_what_is_open_and_what_waits():
    status, _, body = one(of("http://127.0.0.1:9"), "GET", f"{SHOP}/alerts", "vera")
    assert status == 200
    assert [(row["key"], row["signal"]) for row in body["raised"]] == [("incident/42", "opened")]
    (found,) = body["channels"]
    assert (found["name"], found["kind"], found["waiting"], found["sent"]) == ("webhook", "webhook", ["0000000001"], 0)


def test_without_channels_there_is_nothing_to_show():
    assert one(Carrier(), "GET", f"{SHOP}/alerts", "vera")[2] == {"raised": [], "channels": []}
    status, _, body = one(Carrier(), "POST", f"{SHOP}/alerts/test", "adam", TRY)
    assert (status, body["type"], body["hint"]) == (404, "/problems/not-found", "alerts.channels: none is configured")


def test_who_may_send_a_test_message():
    carrier = of("http://127.0.0.1:9")
    found = {who: one(carrier, "POST", f"{SHOP}/alerts/test", who, TRY)[0] for who in ("", "vera", "olga", "adam")}
    assert found == {"": 401, "vera": 403, "olga": 403, "adam": 202}
    assert carrier.pair.waiting("webhook") == 2, "one, beside the failover's"


def test_a_test_message_that_is_asked_for_again_is_sent_once():
    carrier = of("http://127.0.0.1:9")
    answers = [one(carrier, "POST", f"{SHOP}/alerts/test", "adam", TRY, Idempotency_Key="k1") for _ in range(2)]
    assert answers[0][2] == answers[1][2] and carrier.pair.waiting("webhook") == 2


def test_a_test_message_that_was_taken_is_not_sent_again():
    with receiver() as there:
        carrier = of(there.url)
        for _ in range(2):
            assert one(carrier, "POST", f"{SHOP}/alerts/test", "adam", TRY, Idempotency_Key="k1")[0] == 202
            PRESENT[0].send("webhook")
    assert [got.body["data"]["test"] for got in there.got] == [False, True]


def test_a_key_that_is_none_sends_nothing():
    carrier = of("http://127.0.0.1:9")
    status, _, body = one(carrier, "POST", f"{SHOP}/alerts/test", "adam", TRY, Idempotency_Key="\udcff")
    assert (status, body["type"], carrier.pair.waiting("webhook")) == (400, "/problems/invalid-request", 1)


def test_a_channel_that_does_not_exist():
    status, _, body = one(of("http://127.0.0.1:9"), "POST", f"{SHOP}/alerts/test", "adam", TRY | {"channel": "x"})
    assert (status, body["detail"], body["hint"]) == (404, "'x' is no channel of shop", "alerts.channels: webhook")
    bad = {"channel": "../desired", "reason": " ", "more": 1}
    assert one(of("http://127.0.0.1:9"), "POST", f"{SHOP}/alerts/test", "adam", bad)[0] == 400


def test_the_command_ends_when_the_receiver_has_taken_it(tmp_path):
    with receiver() as there:
        result = run(of(there.url, lively=True), tmp_path, "alerts", "test", "webhook", "--reason", "x", who="adam")
        assert result.exit_code == 0, result.output
    assert result.stdout.endswith("was taken by webhook\n") and there.got[-1].body["data"]["test"] is True


def test_the_command_says_why_a_message_still_waits(tmp_path):
    with receiver(status=503, text="try later") as there:
        carrier = of(there.url, lively=True)
        args = ("alerts", "test", "webhook", "--reason", "x", "--wait", "0.3")
        result = run(carrier, tmp_path, *args, who="adam")
    assert result.exit_code == 7 and "HTTP 503: try later" in result.stderr


def test_the_command_says_that_a_message_was_refused(tmp_path):
    with receiver() as there:
        carrier = of(there.url)
        PRESENT[0].send("webhook")
        there.status, carrier.lively = 403, True
        result = run(carrier, tmp_path, "alerts", "test", "webhook", "--reason", "x", who="adam")
    assert result.exit_code == 1 and "webhook refuses it: HTTP 403" in result.stderr


def test_the_list_on_the_command_line(tmp_path):
    result = run(of("http://127.0.0.1:9"), tmp_path, "alerts", "list", who="vera")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("critical  incident/42  since 2026-11-24") and lines[1].startswith("CHANNEL")
    assert lines[2].split()[:5] == ["webhook", "webhook", "warning", "1", "0"]
    empty = run(Carrier(), tmp_path, "alerts", "list", who="vera")
    assert empty.stdout == "no alert is open\nno channel: see alerts.channels in orchestrator.yaml\n"
