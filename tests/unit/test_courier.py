"""Alerts on their way to real receivers on loopback: each is sent until it is taken, once, whoever leads."""

from __future__ import annotations

import hashlib
import hmac
import os
import select
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from builders import DB_A, DB_B, seen, situation
from fakes import FakeClock, FakeCoordinator
from receivers import receiver

from monitoring.notices import Links
from orchestrator.alerting import alerting, route_of, sender
from orchestrator.config.alerts import Alerts, Channel
from orchestrator.coordination.layout import provision
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import CoordinatorUnavailable, StaleWrite, UnknownOutcome
from orchestrator.core.history import Event, Recent
from orchestrator.core.model import Policy
from orchestrator.core.outbox import ChannelState, Ledger
from orchestrator.core.ports import Delete, Seen
from orchestrator.core.unreadable import Record, Unreadable
from orchestrator.courier import Courier
from orchestrator.desk import Desk
from orchestrator.loop import Look
from orchestrator.notifier import Notifier
from orchestrator.process.clock import HostClock

PATHS = Paths("shop")
STARTED = Event("failover.started", "2026-11-24T18:55:00.371Z", "critical", "db-a exited", 8, 42, "F5", "db-b", 42)
ENDED = replace(STARTED, type="failover.completed", severity="info", text="db-b serves", seq=44, number=44)
HOUR_S, DAY_S = 3600.0, 86400.0


class Pair:
    """One cluster in ZooKeeper, its channels, and the leaders that come one after the other."""

    def __init__(self, *channels: Channel) -> None:
        self.coordinator, self.clock, self.channels = FakeCoordinator(), FakeClock(), channels
        provision(self.coordinator, PATHS, (DB_A, DB_B), Policy())
        self.routes = [route_of(one) for one in channels]
        self.told: list[Event] = []
        self.desk = Desk(PATHS, self.coordinator, self.clock, str, self.routes)

    def leader(self) -> Leader:
        """The next term; whoever led before writes no more."""
        self.coordinator.put(PATHS.leader, Recent())
        return Leader(self, self.coordinator.nodes[PATHS.leader].version)

    def happens(self, *events: Event) -> None:
        recent = self.coordinator.get(Recent, PATHS.recent)
        for one in events:
            recent = recent.with_event(one)
        self.coordinator.put(PATHS.recent, recent)

    def state(self, channel: str) -> ChannelState:
        return self.coordinator.get(ChannelState, PATHS.channel(channel))

    def waiting(self, channel: str) -> int:
        return len(self.coordinator.children(PATHS.channel(channel)))


class Leader:
    """Notifier and couriers of one term."""

    def __init__(self, pair: Pair, term_version: int) -> None:
        self.pair, self.term_version = pair, term_version
        common = (PATHS, pair.coordinator, pair.clock, lambda: self.term_version, str)
        self.notifier = Notifier(*common, pair.routes, lambda: None)
        self.couriers = {
            channel.name: Courier(
                route, *common, sender(channel, Links("https://kembar.example.com")), lambda: 0.5, pair.told.append,
                repeats=channel.kind == "alertmanager",
            )
            for route, channel in zip(pair.routes, pair.channels, strict=True)
        }  # fmt: skip

    def look(self, **changes: object) -> None:
        """One look of the loop, at a healthy pair but for `changes`."""
        s = situation(seen(DB_A), seen(DB_B), **changes)
        mirrored = {PATHS.recent: Seen(self.pair.coordinator.nodes[PATHS.recent], 0.0)}
        self.notifier.take(Look(mirrored, s.now, True, s))
        self.notifier.step()

    def send(self, channel: str, within_s: float = 0.0) -> None:
        """All that is due, and what becomes due within that time."""
        end = self.pair.clock.now + within_s
        while self.pair.waiting(channel):
            wait_s = self.couriers[channel].step()
            if self.pair.clock.now + wait_s > end:
                break
            self.pair.clock.now += wait_s
        self.pair.clock.now = end


def channel(kind: str, **keys: object) -> Channel:
    return Channel.model_validate({"name": kind, "kind": kind, **keys})


def secret(tmp_path: Path, text: str) -> str:
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def fail_over(pair: Pair, leader: Leader) -> None:
    leader.look()
    pair.happens(STARTED)
    leader.look()


def test_a_webhook_gets_a_signed_cloudevent(tmp_path):
    with receiver() as there:
        pair = Pair(channel("webhook", url=there.url, secret_file=secret(tmp_path, "k3y"), severity="info"))
        leader = pair.leader()
        fail_over(pair, leader)
        leader.send("webhook")
    (got,) = there.got
    assert got.headers["Content-Type"] == "application/cloudevents+json"
    assert got.headers["X-Kembar-Signature"] == "sha256=" + hmac.new(b"k3y", got.content, hashlib.sha256).hexdigest()
    assert got.headers["Idempotency-Key"] == got.body["id"] == "shop-0000000001"
    assert (got.body["specversion"], got.body["type"], got.body["subject"]) == (
        "1.0",
        "kembar.failover.started",
        "incident/42",
    )
    data = got.body["data"]
    assert (data["dedup_key"], data["writes"]) == ("kembar/shop/incident/42", "writes OK on db-a, which has the VIP")
    assert data["runbook"] == "https://kembar.example.com/runbooks/incident"
    assert pair.waiting("webhook") == 0 and pair.state("webhook").sent == 1


def test_pagerduty_opens_and_resolves_by_one_key(tmp_path):
    with receiver() as there:
        pair = Pair(channel("pagerduty", url=there.url, routing_key_file=secret(tmp_path, "r0ute\n")))
        leader = pair.leader()
        fail_over(pair, leader)
        pair.happens(ENDED)
        leader.look()
        leader.send("pagerduty")
    assert [(got.body["event_action"], got.body["dedup_key"], got.body["routing_key"]) for got in there.got] == [
        ("trigger", "kembar/shop/incident/42", "r0ute"),
        ("resolve", "kembar/shop/incident/42", "r0ute"),
    ]
    assert there.got[0].body["payload"]["severity"] == "critical"


def test_slack_shows_what_a_database_said_as_text(tmp_path):
    with receiver(status=200, text="ok") as there:
        pair = Pair(channel("slack", url_file=secret(tmp_path, f"{there.url}/services/T0/B0/x")))
        leader = pair.leader()
        leader.look()
        pair.happens(replace(STARTED, text="<!channel> & <https://evil.example|click>"))
        leader.look()
        leader.send("slack")
    (got,) = there.got
    assert got.path == "/services/T0/B0/x"
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;" in got.body["text"]
    assert "<" not in got.body["text"]


def test_alertmanager_hears_of_what_is_open_every_minute():
    with receiver(status=200) as there:
        pair = Pair(channel("alertmanager", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        leader.send("alertmanager")
        courier = leader.couriers["alertmanager"]
        waits = [courier.step(), courier.step()]
        pair.clock.now += 60.0
        courier.step()
        pair.happens(ENDED)
        leader.look()
        leader.send("alertmanager")
        pair.clock.now += 60.0
        courier.step()
    assert waits == [60.0, 60.0]
    assert {got.path for got in there.got} == {"/api/v2/alerts"}
    (alert,) = there.got[0].body
    assert alert["labels"] == {
        "alertname": "KembarIncident",
        "cluster": "shop",
        "key": "incident/42",
        "severity": "critical",
    }
    assert ["endsAt" in got.body[0] for got in there.got] == [False, False, False, True]


def program(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "hook"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return [str(path), str(tmp_path / "out")]


def test_a_program_gets_the_event_and_none_of_our_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("KEMBAR_SECRET", "s3cret")
    pair = Pair(channel("exec", command=program(tmp_path, 'cat > "$1"; env >> "$1"')))
    leader = pair.leader()
    fail_over(pair, leader)
    leader.send("exec")
    out = (tmp_path / "out").read_text()
    assert '"type": "kembar.failover.started"' in out and "KEMBAR_ALERT_ID=shop-0000000001" in out
    assert "s3cret" not in out and pair.waiting("exec") == 0


def test_a_program_that_says_75_is_run_again_and_one_that_says_1_is_not(tmp_path):
    pair = Pair(channel("exec", command=program(tmp_path, 'echo x >> "$1"; test "$(wc -l < "$1")" -ge 3 || exit 75')))
    leader = pair.leader()
    fail_over(pair, leader)
    leader.send("exec", within_s=60.0)
    assert (tmp_path / "out").read_text() == "x\nx\nx\n" and pair.state("exec").sent == 1
    program(tmp_path, "echo no such person >&2; exit 1")
    pair.happens(ENDED)
    leader.look()
    leader.send("exec", within_s=60.0)
    assert pair.state("exec").given_up == 1 and pair.told[0].type == "alert.undeliverable"
    assert pair.told[0].text.endswith("ended with status 1: no such person")


def ends(pid: int) -> bool:
    """Whether that process, which is no child of ours, is gone soon."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    gone = select.poll()
    gone.register(pidfd, select.POLLIN)
    ended = bool(gone.poll(10_000))
    os.close(pidfd)
    return ended


def test_a_program_that_does_not_end_is_killed_with_all_it_has_started(tmp_path):
    pair = Pair(channel("exec", timeout_s=0.3, command=program(tmp_path, 'sleep 600 & echo $! > "$1"; wait')))
    leader = pair.leader()
    fail_over(pair, leader)
    out = tmp_path / "out"
    out.touch()
    leader.send("exec")
    while not out.read_text():  # killed before it had started anything: it is run again
        leader.send("exec", within_s=60.0)
    assert ends(int(out.read_text()))
    assert pair.waiting("exec") == 1 and "was killed" in pair.state("exec").trouble


def test_an_hour_of_500_loses_nothing_and_sends_nothing_twice():
    with receiver(status=500, text="out of order") as there:
        pair = Pair(channel("webhook", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        leader.send("webhook", within_s=HOUR_S)
        assert len(there.got) == 65, "at 0, 1, 3, 8, 23, 53 s, and then every 60 s"
        assert {got.body["id"] for got in there.got} == {"shop-0000000001"}
        assert pair.state("webhook").trouble == "HTTP 500: out of order" and pair.told == []
        pair.happens(ENDED)
        leader.look()
        there.status, tried = 200, len(there.got)
        leader.send("webhook", within_s=61.0)
    assert [got.body["id"] for got in there.got[tried:]] == ["shop-0000000001", "shop-0000000002"]
    assert (pair.state("webhook").sent, pair.state("webhook").trouble, pair.waiting("webhook")) == (2, "", 0)


def test_another_leader_goes_on_where_the_first_one_stopped():
    with receiver(status=503) as there:
        pair = Pair(channel("webhook", url=there.url))
        first = pair.leader()
        fail_over(pair, first)
        first.send("webhook", within_s=600.0)
        there.status, before = 200, len(there.got)
        second = pair.leader()
        with pytest.raises(StaleWrite):
            pair.happens(ENDED)
            first.look()
        second.look()
        second.look()
        second.send("webhook")
        second.send("webhook")
    assert [got.body["id"] for got in there.got[before:]] == ["shop-0000000001", "shop-0000000002"]


def test_whoever_does_not_lead_sends_nothing():
    with receiver() as there:
        pair = Pair(channel("webhook", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        leader.term_version = None
        leader.couriers["webhook"].step()
        leader.look(paused=True)
    assert there.got == [] and pair.waiting("webhook") == 1


@pytest.mark.parametrize("happened", [True, False])
def test_what_was_sent_is_not_sent_again_though_the_outbox_could_not_be_told(happened):
    with receiver() as there:
        pair = Pair(channel("webhook", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        coordinator = pair.coordinator
        coordinator.slow = True
        coordinator.when_waiting = lambda: coordinator.lose(happened=happened)
        with pytest.raises(UnknownOutcome):
            leader.couriers["webhook"].step()
        coordinator.slow, coordinator.when_waiting = False, lambda: None
        leader.send("webhook")
    assert len(there.got) == 1 and pair.waiting("webhook") == 0 and pair.state("webhook").sent == 1


def test_without_zookeeper_nothing_is_sent_that_could_not_be_recorded():
    with receiver() as there:
        pair = Pair(channel("webhook", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        pair.coordinator.connected = False
        with pytest.raises(CoordinatorUnavailable):
            leader.couriers["webhook"].step()
        assert there.got == []
        pair.coordinator.connected = True
        leader.send("webhook")
    assert len(there.got) == 1


def test_a_receiver_that_hangs_holds_up_no_other_channel():
    with receiver(hangs=True) as mute, receiver() as quick:
        slow = Channel.model_validate({"name": "mute", "kind": "webhook", "url": mute.url, "timeout_s": 0.3})
        pair = Pair(slow, channel("webhook", url=quick.url))
        leader = pair.leader()
        fail_over(pair, leader)
        hanging = threading.Thread(target=leader.couriers["mute"].step)
        hanging.start()
        leader.send("webhook")
        assert len(quick.got) == 1
        hanging.join()
    assert len(mute.got) == 1
    assert pair.state("mute").trouble == "no answer within 0.3 s" and pair.waiting("mute") == 1


def test_a_receiver_that_is_not_there_is_tried_again():
    with receiver() as there:
        url = there.url
    pair = Pair(channel("webhook", url=url))
    leader = pair.leader()
    fail_over(pair, leader)
    leader.send("webhook", within_s=30.0)
    assert pair.waiting("webhook") == 1 and pair.state("webhook").trouble.startswith("not reached: ")


def test_a_host_that_can_be_no_name_is_tried_again():
    pair = Pair(channel("webhook", url="https://alerts..example.com/kembar"))
    leader = pair.leader()
    fail_over(pair, leader)
    leader.send("webhook")
    assert pair.waiting("webhook") == 1 and pair.state("webhook").trouble.startswith("not reached: ")


def test_a_secret_that_is_no_text_is_told_and_read_again(tmp_path):
    with receiver() as there:
        key = secret(tmp_path, "k")
        Path(key).write_bytes(b"\xff\xfe")
        pair = Pair(channel("webhook", url=there.url, secret_file=key))
        leader = pair.leader()
        fail_over(pair, leader)
        leader.send("webhook")
        assert pair.state("webhook").trouble == "its file with the secret is no text in UTF-8"
        secret(tmp_path, "k")
        leader.send("webhook", within_s=2.0)
    assert len(there.got) == 1 and pair.state("webhook").sent == 1


def test_what_is_refused_is_given_up_and_the_next_one_is_sent():
    with receiver(status=400, text="unknown key") as there:
        pair = Pair(channel("webhook", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        leader.send("webhook")
        assert (len(there.got), pair.waiting("webhook"), pair.state("webhook").given_up) == (1, 0, 1)
        there.status = 200
        pair.happens(ENDED)
        leader.look()
        leader.send("webhook")
    assert pair.state("webhook").sent == 1
    (told,) = pair.told
    assert (told.type, told.origin) == ("alert.undeliverable", "webhook") and "HTTP 400: unknown key" in told.text


def test_two_channels_that_refuse_everything_do_not_tell_each_other_for_ever():
    with receiver(status=404) as there:
        pair = Pair(channel("webhook", url=there.url), channel("webhook", name="other", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        happened = 0
        for _ in range(4):
            leader.send("webhook")
            leader.send("other")
            pair.happens(*pair.told[happened:])
            happened = len(pair.told)
            leader.look()
    assert [one.origin for one in pair.told] == ["webhook", "other"], "each of the failover alone"


def test_redirects_are_not_followed():
    with receiver() as elsewhere, receiver(status=307, headers={"Location": elsewhere.url}) as there:
        pair = Pair(channel("webhook", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        leader.send("webhook")
    assert elsewhere.got == [] and pair.state("webhook").given_up == 1


def test_the_receiver_says_when_to_come_back():
    with receiver(status=429, headers={"Retry-After": "90"}) as there:
        pair = Pair(channel("webhook", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        leader.send("webhook", within_s=89.0)
        assert len(there.got) == 1
        leader.send("webhook", within_s=2.0)
    assert len(there.got) == 2


def test_after_a_day_it_is_given_up():
    with receiver(status=500) as there:
        pair = Pair(channel("webhook", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        leader.send("webhook")
        pair.clock.now += DAY_S + 1
        leader.send("webhook")
    assert pair.waiting("webhook") == 0 and len(pair.told) == 1


def test_a_record_that_cannot_be_read_blocks_no_other():
    with receiver() as there:
        pair = Pair(channel("webhook", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        pair.coordinator.put(PATHS.notice("webhook", "0000000000"), Recent())
        leader.send("webhook")
    assert len(there.got) == 1 and pair.state("webhook").given_up == 1


def test_an_event_of_a_severity_that_is_none_is_told_as_critical():
    with receiver() as there:
        pair = Pair(channel("webhook", url=there.url))
        leader = pair.leader()
        leader.look()
        pair.happens(replace(STARTED, severity="fatal"))
        leader.look()
        leader.send("webhook")
    assert [got.body["data"]["severity"] for got in there.got] == ["critical"]


def test_a_record_of_the_pair_that_cannot_be_read_is_told_and_ends_nothing_else():
    pair = Pair(channel("webhook", url="http://127.0.0.1:9"))
    leader = pair.leader()
    fail_over(pair, leader)
    broken = Unreadable(Record.DESIRED, PATHS.desired, "not JSON", last="{}")
    mirrored = {PATHS.recent: Seen(pair.coordinator.nodes[PATHS.recent], 0.0)}
    for now in (100.0, 111.0, 122.0):
        leader.notifier.take(Look(mirrored, now, True, unreadable=(broken,)))
        leader.notifier.step()
    raised = pair.desk.outgoing().raised
    assert [one.key for one in raised] == ["incident/42", "record_unreadable"]
    assert PATHS.desired in raised[1].text and raised[1].next == broken.remedy


def test_a_ledger_that_was_lost_is_begun_anew_beside_what_still_waits():
    with receiver() as there:
        pair = Pair(channel("webhook", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        ledger = pair.coordinator.nodes[PATHS.outbox]
        pair.coordinator.nodes[PATHS.outbox] = replace(ledger, data=b"{", version=ledger.version + 1)
        leader.look(hold_down=True)
        leader.send("webhook")
    assert [got.body["id"] for got in there.got] == ["shop-0000000001", "shop-0000000002"]
    assert pair.coordinator.get(Ledger, PATHS.outbox).raised.keys() == {"hold_down"}


def test_a_look_without_news_writes_nothing():
    pair = Pair(channel("webhook", url="http://127.0.0.1:9"))
    leader = pair.leader()
    fail_over(pair, leader)
    written = len(pair.coordinator.writes)
    leader.look()
    leader.look()
    assert len(pair.coordinator.writes) == written


def test_a_test_message_goes_the_way_of_every_other_and_only_to_its_channel():
    with receiver() as there, receiver() as other:
        second = Channel.model_validate({"name": "other", "kind": "webhook", "url": other.url})
        pair = Pair(channel("webhook", url=there.url), second)
        leader = pair.leader()
        leader.look()
        for _ in range(2):
            pair.desk.try_out("webhook", "k1", "adam", "new pager")
        leader.send("webhook")
        leader.send("other")
    (got,) = there.got
    assert got.body["data"]["test"] is True and "adam tries this channel: new pager" in got.body["data"]["text"]
    assert other.got == [] and pair.state("webhook").last_sent == got.body["id"] == "shop-test-k1"


def test_every_write_of_a_courier_is_guarded_by_its_term():
    with receiver() as there:
        pair = Pair(channel("webhook", url=there.url))
        leader = pair.leader()
        fail_over(pair, leader)
        pair.leader()
        with pytest.raises(StaleWrite):
            leader.couriers["webhook"].step()
    assert any(isinstance(op, Delete) for op in pair.coordinator.writes[-1]) and pair.waiting("webhook") == 1


def test_the_loop_is_held_up_by_nothing_that_alerts_wait_for():
    """ZooKeeper answers no write and the receiver hangs: the loop hands over its next look all the same."""
    with receiver(hangs=True) as mute:
        pair = Pair(channel("webhook", url=mute.url, timeout_s=5.0))
        leader = pair.leader()
        fail_over(pair, leader)
        answered = threading.Event()
        waiting = threading.Event()

        def stall() -> None:
            waiting.set()
            assert answered.wait(10.0)

        sending = threading.Thread(target=leader.couriers["webhook"].step)
        sending.start()
        assert mute.arrived.wait(10.0)
        pair.coordinator.slow, pair.coordinator.when_waiting = True, stall
        pair.happens(ENDED)
        telling = threading.Thread(target=leader.look)
        telling.start()
        assert waiting.wait(10.0)
        leader.notifier.take(Look({}, 1.0, True))
        assert telling.is_alive() and sending.is_alive()
        answered.set()
        telling.join()
        pair.coordinator.slow, pair.coordinator.when_waiting = False, lambda: None
        mute.release()
        sending.join()
    assert pair.state("webhook").sent == 1


def test_all_of_it_runs_from_the_configuration_in_threads_of_its_own():
    with receiver() as there:
        section = Alerts.model_validate(
            {"page": "https://kembar.example.com/", "channels": [{"name": "ops", "kind": "webhook", "url": there.url}]}
        )
        pair = Pair()
        whole = alerting(section, PATHS, pair.coordinator, HostClock(), lambda: 0, pair.told.append)
        s = situation(seen(DB_A), seen(DB_B), hold_down=True)
        whole.take(Look({}, s.now, True, s))
        whole.start()
        assert there.arrived.wait(20.0)
        whole.stop()
    assert there.got[0].body["data"]["alert"] == "hold_down"
    assert there.got[0].body["data"]["runbook"] == "https://kembar.example.com/runbooks/hold-down"


def test_without_channels_nothing_runs_and_nothing_is_written():
    pair = Pair()
    written, running = len(pair.coordinator.writes), threading.active_count()
    whole = alerting(Alerts(), PATHS, pair.coordinator, pair.clock, lambda: 0, pair.told.append)
    whole.start()
    assert (len(pair.coordinator.writes), threading.active_count()) == (written, running)
