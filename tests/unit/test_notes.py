"""Notes: a line of the event log that somebody asks for, written once by the leader, beside everything else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import NOW, PAIR, situation
from carrier import Carrier
from test_api import MOVE, SHOP, one, served
from test_cli import bare as bare
from test_cli import run

from orchestrator.coordination.paths import Paths
from orchestrator.core.answers import answers
from orchestrator.core.errors import StaleWrite, UnknownOutcome
from orchestrator.core.history import EVENTS_MAX, NOTE_ADDED, NOTES_MAX, Event, Recent
from orchestrator.core.model import LeaderRecord, NodeName
from orchestrator.core.ports import Seen, Stored
from orchestrator.core.requests import Kind, Request, RequestState
from orchestrator.core.situation import Sighting
from orchestrator.core.wire import SIZE_MAX, decode, encode
from orchestrator.loop import Look
from orchestrator.recorder import Recorder
from orchestrator.watching import Watching
from tests.fakes import FakeClock, FakeCoordinator

PATHS = Paths("shop")
DISKS = Request("n1", Kind.NOTE, NodeName(""), "new disks in db-b", "olga", 6, severity="warning")
BODY = {"text": "new disks in db-b", "severity": "warning"}
ROLLED = Event("mode.sync", "", "info", "x", 7, 41)


class Leading:
    """Recorders of successive leaders, on an ensemble in memory that holds one request for a note."""

    def __init__(self, log: Recent | bytes = Recent()) -> None:  # noqa: B008 - it never changes
        self.coordinator = FakeCoordinator()
        self.coordinator.put(PATHS.leader, LeaderRecord(1, "witness"))
        self.coordinator.put(PATHS.recent, log) if isinstance(log, Recent) else self._scribble(log)
        self.coordinator.put(PATHS.request("n1"), DISKS)
        self.recorder = self.another()

    def _scribble(self, log: bytes) -> None:
        self.coordinator.nodes[PATHS.recent] = Stored(log, 3)

    def another(self) -> Recorder:
        return Recorder(PATHS, self.coordinator, FakeClock(NOW), Watching(PATHS, PAIR), lambda: 0, str)

    def look(self) -> Look:
        seen = {path: Seen(one, 0.0) for path, one in self.coordinator.nodes.items()}
        stored = self.coordinator.nodes[PATHS.request("n1")]
        asked = Sighting(decode(Request, stored.data), stored.version, NOW)
        return Look(seen, NOW, leading=True, situation=replace(situation(), requests={"n1": asked}))

    def record(self, *looks: Look, by: Recorder | None = None) -> None:
        recorder = by or self.recorder
        for look in looks:
            recorder.take(look)
        recorder.stop()
        recorder.run()

    @property
    def notes(self) -> list[Event]:
        return [one for one in self.coordinator.get(Recent, PATHS.recent).events if one.type == NOTE_ADDED]

    @property
    def asked(self) -> Request:
        return self.coordinator.get(Request, PATHS.request("n1"))


def test_the_leader_writes_it_in_whatever_epoch_and_answers_in_the_same_write():
    leading = Leading()
    leading.record(leading.look())
    (event,) = leading.notes
    assert (event.text, event.severity, event.actor, event.trigger) == (
        "new disks in db-b", "warning", "olga", "manual",
    )  # fmt: skip
    assert (event.epoch, event.number, leading.asked.state) == (7, 41, RequestState.DONE)
    assert len(leading.coordinator.writes) == 1


def test_looks_from_before_the_answer_write_nothing_more():
    leading = Leading()
    early = leading.look()
    leading.record(early, early, early)
    assert (len(leading.notes), len(leading.coordinator.writes)) == (1, 1)


def test_a_leader_that_never_heard_of_its_write_leaves_one_line():
    leading = Leading()
    early = leading.look()
    leading.coordinator.slow = True
    leading.coordinator.when_waiting = lambda: leading.coordinator.lose(happened=True)
    leading.record(early)
    leading.coordinator.slow, leading.coordinator.when_waiting = False, lambda: None
    leading.record(early, leading.look(), by=leading.another())
    assert (len(leading.notes), leading.asked.state) == (1, RequestState.DONE)


def test_while_the_log_cannot_be_read_a_note_waits():
    leading = Leading(b"no record")
    leading.record(leading.look())
    assert leading.asked.state is RequestState.REQUESTED
    assert leading.coordinator.nodes[PATHS.recent].data == b"no record"


def test_notes_push_out_each_other_and_little_else():
    log = Recent()
    for number in range(EVENTS_MAX):
        log = log.with_event(replace(ROLLED, seq=number))
    for _ in range(3 * NOTES_MAX):
        log = log.with_event(replace(ROLLED, type=NOTE_ADDED))
    kinds = [one.type for one in log.events]
    assert (kinds.count(NOTE_ADDED), kinds.count("mode.sync")) == (NOTES_MAX, EVENTS_MAX - NOTES_MAX)
    assert [one.number for one in log.events] == sorted({one.number for one in log.events})


def test_a_log_of_the_widest_notes_is_still_read():
    log = Recent()
    for _ in range(EVENTS_MAX):
        log = log.with_event(replace(ROLLED, type=NOTE_ADDED, text="\U0001f600" * 500))
    assert len(encode(log)) < SIZE_MAX // 2


def test_an_answer_settles_it_without_pre_checks():
    s = replace(situation(paused=True), requests={"n1": Sighting(DISKS, 4, NOW)})
    (answer,) = answers(s)
    assert (answer.request.state, answer.version) == (RequestState.DONE, 4)


def test_who_may():
    found = {who: one(Carrier(), "POST", f"{SHOP}/notes", who, BODY)[0] for who in ("", "vera", "olga", "adam")}
    assert found == {"": 401, "vera": 403, "olga": 202, "adam": 202}


def test_what_was_noted_is_an_event_like_the_others():
    carrier = Carrier(obedient=True)
    status, headers, body = one(carrier, "POST", f"{SHOP}/notes", "olga", BODY)
    assert (status, body["kind"], body["reason"]) == (202, "note", "new disks in db-b")
    assert one(carrier, "GET", headers["Location"], "vera")[2]["ended"] is True
    event = one(carrier, "GET", f"{SHOP}/events?severity=warning&limit=1", "vera")[2]["events"][0]
    assert (event["type"], event["data"]["text"], event["data"]["actor"]) == (
        "kembar.note.added", "new disks in db-b", "olga",
    )  # fmt: skip
    assert "new disks in db-b" in one(carrier, "GET", "/c/shop", "vera", Accept="text/html")[2]


def test_it_is_audited():
    carrier = Carrier()
    one(carrier, "POST", f"{SHOP}/notes", "olga", BODY)
    one(carrier, "POST", f"{SHOP}/notes", "vera", BODY)
    assert [(entry.action, entry.actor, entry.reason, entry.result) for entry in carrier.audit] == [
        ("note", "olga", "new disks in db-b", "accepted"), ("POST notes", "vera", "", "forbidden"),
    ]  # fmt: skip


def test_the_same_key_notes_once_and_other_words_need_another():
    carrier = Carrier(obedient=True)

    async def talk(call):
        return [
            await call("POST", f"{SHOP}/notes", "olga", body, Idempotency_Key="k1")
            for body in (BODY, BODY, {"text": "something else"})
        ]

    first, again, other = served(carrier, talk)
    assert (first[2]["id"], first[0], again[0]) == (again[2]["id"], 202, 202)
    assert again[1]["Idempotency-Replayed"] == "true"
    assert (other[0], other[2]["type"], len(carrier.submitted)) == (422, "/problems/idempotency-mismatch", 1)


def test_a_record_that_moves_on_meanwhile_does_not_matter():
    carrier, failures = Carrier(), [StaleWrite("moved on"), StaleWrite("moved on")]

    def move() -> None:
        if failures:
            raise failures.pop()

    carrier.before_submit = move
    assert (one(carrier, "POST", f"{SHOP}/notes", "olga", BODY)[0], len(carrier.submitted)) == (202, 1)


def test_an_unknown_outcome_is_settled_by_asking_again():
    carrier = Carrier(lose_answer=UnknownOutcome)
    assert one(carrier, "POST", f"{SHOP}/notes", "olga", BODY, Idempotency_Key="k1")[0] == 503
    assert one(carrier, "POST", f"{SHOP}/notes", "olga", BODY, Idempotency_Key="k1")[0] == 202
    assert len(carrier.submitted) == 1


def test_it_neither_waits_for_a_switchover_nor_holds_one_up():
    carrier = Carrier()
    assert one(carrier, "POST", f"{SHOP}/notes", "olga", BODY)[0] == 202
    assert one(carrier, "POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"')[0] == 202
    assert one(carrier, "POST", f"{SHOP}/notes", "olga", BODY)[0] == 202


def test_notes_that_nobody_writes_down_are_not_piled_up():
    carrier = Carrier()
    for _ in range(NOTES_MAX):
        assert one(carrier, "POST", f"{SHOP}/notes", "olga", BODY)[0] == 202
    status, _, refused = one(carrier, "POST", f"{SHOP}/notes", "olga", BODY)
    assert (status, refused["type"], len(carrier.submitted)) == (409, "/problems/operation-running", NOTES_MAX)
    assert "no leader has written them" in refused["detail"]


BAD = {
    "nothing": ({"text": ""}, "/text: String should have at least 1 character"),
    "blanks": ({"text": "  "}, "/text: String should match pattern"),
    "too long": ({"text": "x" * 501}, "/text: String should have at most 500 characters"),
    "a second line": ({"text": "a\nb"}, "/text: Value error, character 2 is U+000A: one line of printable"),
    "an escape": ({"text": "\x1b[2J"}, "/text: Value error, character 1 is U+001B"),
    "text that turns round": ({"text": "ok \u202e"}, "/text: Value error, character 4 is U+202E"),
    "a severity that wakes people": ({"text": "x", "severity": "critical"}, "/severity: Input should be 'info' or"),
    "another key": ({"text": "x", "node": "db-a"}, "/node: Extra inputs are not permitted"),
}


@pytest.mark.parametrize(("body", "said"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_with_place_and_expectation(body, said):
    carrier = Carrier()
    status, _, answer = one(carrier, "POST", f"{SHOP}/notes", "olga", body)
    assert (status, answer["type"], carrier.submitted) == (400, "/problems/invalid-request", [])
    assert said in answer["detail"]


def test_the_command_ends_when_it_is_in_the_log(tmp_path):
    result = run(Carrier(obedient=True), tmp_path, "note", "new disks in db-b", "--severity", "warning")
    assert (result.exit_code, result.stdout) == (0, "noted: new disks in db-b\n"), result.output


def test_the_command_says_that_no_leader_has_written_it(tmp_path, monkeypatch):
    monkeypatch.setattr("orchestrator.cli.note.WAIT_S", 0.2)
    result = run(Carrier(), tmp_path, "note", "new disks in db-b")
    assert result.exit_code == 7 and "no leader has written it" in result.stderr


def test_the_command_refuses_what_the_api_refuses(tmp_path):
    carrier = Carrier()
    result = run(carrier, tmp_path, "note", "a\nb")
    assert (result.exit_code, carrier.submitted) == (1, [])
    assert "/text: Value error, character 2 is U+000A" in result.stderr
    assert run(carrier, tmp_path, "note", "x", who="vera").exit_code == 9
