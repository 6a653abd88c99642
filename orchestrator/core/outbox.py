"""From events and lasting conditions to notices: what is told, once each, and what opened what. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from orchestrator.core.alerts import INCIDENT, SEVERITIES, Condition, hidden
from orchestrator.core.history import Event, Recent
from orchestrator.core.model import Instant

CLEAR_S = 10.0  # a condition that comes and goes is one alert
EVENTS_AT_ONCE = 20  # with a record for each channel in one write
TEXT_MAX = 1000  # characters
UNDELIVERABLE = "alert.undeliverable"
ENDS_INCIDENT = ("failover.completed", "failover.aborted")


class Signal(StrEnum):
    """What a notice says of its alert."""

    OPENED = "opened"
    CLOSED = "closed"
    TOLD = "told"  # an event, which has no end


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to persons, the same on every channel and however often it is sent."""

    id: str  # of this message: whoever has it already drops it
    key: str  # of what it is about: what opened and what closes an alert have the same
    signal: Signal
    type: str  # an event's, or alert.opened and alert.closed
    alert: str  # the name under which there is a runbook; empty: the event is no alert
    severity: str
    text: str
    cluster: str
    at: str  # UTC
    made_s: float  # wall time: how old it is when it is sent
    writes: str = ""  # whether clients can write, in words
    next: str = ""  # what is waited for, or what a person should do
    node: str = ""
    epoch: int = 0
    incident: int = 0
    about: str = ""  # the channel that could not be reached: nobody tells it there
    test: bool = False

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"{self.severity!r} is no severity")


@dataclass(frozen=True, slots=True)
class Route:
    """One channel as far as it matters which notices it gets."""

    name: str
    kind: str
    severity: str = "warning"  # the least
    events: bool = False  # also what has no end

    def takes(self, notice: Notice) -> bool:
        """Whether the notice goes there."""
        wanted = self.events or notice.signal is not Signal.TOLD
        severe = SEVERITIES.index(notice.severity) >= SEVERITIES.index(self.severity)
        return wanted and severe and notice.about != self.name


@dataclass(frozen=True, slots=True)
class Ledger:
    """How far the log of events has been told, and what is open; at `outbox`, changed together with its notices."""

    place: int = -1  # of the last event that was turned into notices
    number: int = 0  # of the last notice
    raised: Mapping[str, Notice] = field(default_factory=dict, hash=False)  # key -> what opened it


@dataclass(frozen=True, slots=True)
class ChannelState:
    """What became of the notices of one channel; at `outbox/<channel>`."""

    sent: int = 0
    given_up: int = 0
    last_sent: str = ""  # id of the notice
    last_sent_at: str = ""  # UTC
    trouble: str = ""  # why the first of the queue could not be sent; empty: nothing stands in the way
    trouble_at: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """What every notice of one moment says beside its own text."""

    cluster: str
    at: str
    wall_s: float
    writes: str
    next: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Lasting:
    """Since when each condition holds, and each open one does not; on the leader's clock, anew with each leader."""

    holds: Mapping[str, Instant] = field(default_factory=dict)
    gone: Mapping[str, Instant] = field(default_factory=dict)

    def after(
        self, present: tuple[Condition, ...], raised: Mapping[str, Notice], now: Instant, *, moving: bool
    ) -> Lasting:
        """With what holds at `now`. `moving`: a failover is under way, whose end an event tells; if that never comes,
        as its leader has died, the incident is over all the same."""
        keys = {one.key for one in present}
        away = [
            key
            for key in raised
            if not (key in keys or hidden(key, present) or (moving and key.startswith(f"{INCIDENT}/")))
        ]
        return Lasting(
            {key: self.holds.get(key, now) for key in keys},
            {key: self.gone.get(key, now) for key in away},
        )


def begun(recent: Recent, number: int) -> Ledger:
    """The ledger of a pair that nobody was told of yet: its past is told to nobody. `number`: of a notice there is."""
    return Ledger(_last(recent), number)


def of_events(ledger: Ledger, recent: Recent, words: Words) -> tuple[Ledger, tuple[Notice, ...]]:
    """The next events as notices, oldest first. A log that was begun anew is told from its beginning."""
    place = ledger.place if ledger.place <= _last(recent) else -1
    news = sorted((one for one in recent.events if one.place > place), key=lambda one: one.place)[:EVENTS_AT_ONCE]
    ledger, notices = replace(ledger, place=place), []
    for event in news:
        ledger = replace(ledger, place=event.place)
        for notice in _told(ledger, event, words):
            ledger, numbered = _numbered(ledger, notice)
            notices.append(numbered)
    return ledger, tuple(notices)


def of_conditions(
    ledger: Ledger, lasting: Lasting, present: tuple[Condition, ...], words: Words, now: Instant
) -> tuple[Ledger, tuple[Notice, ...]]:
    """What has lasted long enough opens, what has been gone long enough closes."""
    notices = []
    for condition in present:
        lasted_s = now - lasting.holds.get(condition.key, now)
        if condition.key not in ledger.raised and lasted_s >= condition.threshold.after_s:
            ledger, notice = _numbered(ledger, _opened(condition, words))
            notices.append(notice)
    for key, since in lasting.gone.items():
        if key in ledger.raised and now - since >= CLEAR_S:
            ledger, notice = _numbered(ledger, _closed(ledger.raised[key], words, "it is over"))
            notices.append(notice)
    return ledger, tuple(notices)


def trial(id: str, words: Words, actor: str, reason: str) -> Notice:
    """A message that is marked as a test; it opens nothing."""
    text = f"TEST: {actor} tries this channel: {reason}. Nothing is wrong."
    return Notice(
        id, "test", Signal.TOLD, "alert.test", "", "info", text[:TEXT_MAX], words.cluster, words.at,
        words.wall_s, words.writes, words.next, epoch=words.epoch, test=True,
    )  # fmt: skip


def _last(recent: Recent) -> int:
    return max((one.place for one in recent.events), default=-1)


def _told(ledger: Ledger, event: Event, words: Words) -> Iterator[Notice]:
    """One event as a notice; the beginning of a failover opens an alert, its end closes whatever failover is open."""
    told = Notice(
        id="",
        key=f"event/{event.place}",
        signal=Signal.TOLD,
        type=event.type,
        alert="",
        severity=event.severity if event.severity in SEVERITIES else "critical",
        text=event.text[:TEXT_MAX],
        cluster=words.cluster,
        at=event.at,
        made_s=words.wall_s,
        writes=words.writes,
        next=words.next,
        node=event.node,
        epoch=event.epoch,
        incident=event.incident,
        about=event.origin if event.type == UNDELIVERABLE else "",
    )
    if event.type == "failover.started":
        key = f"{INCIDENT}/{event.incident or event.place}"
        yield replace(told, key=key, signal=Signal.OPENED, alert=INCIDENT)
        return
    opened = [one for key, one in ledger.raised.items() if key.startswith(f"{INCIDENT}/")]
    if event.type not in ENDS_INCIDENT or not opened:
        yield told
    else:
        for one in opened:
            yield replace(told, key=one.key, signal=Signal.CLOSED, alert=INCIDENT, severity=one.severity)


def _opened(condition: Condition, words: Words) -> Notice:
    return Notice(
        "", condition.key, Signal.OPENED, "alert.opened", condition.alert, condition.threshold.severity,
        condition.text[:TEXT_MAX], words.cluster, words.at, words.wall_s, words.writes, words.next,
        node=condition.about, epoch=words.epoch,
    )  # fmt: skip


def _closed(opened: Notice, words: Words, how: str) -> Notice:
    """Of the severity of what it closes, so that whoever heard the one hears the other."""
    return replace(
        opened, id="", signal=Signal.CLOSED, type="alert.closed", text=f"{how}: {opened.text}"[:TEXT_MAX],
        at=words.at, made_s=words.wall_s, writes=words.writes, next=words.next, epoch=words.epoch,
    )  # fmt: skip


def _numbered(ledger: Ledger, notice: Notice) -> tuple[Ledger, Notice]:
    """The notice with its id, and the ledger that knows of it."""
    number = ledger.number + 1
    notice = replace(notice, id=f"{notice.cluster}-{number:010d}")
    raised = dict(ledger.raised)
    if notice.signal is Signal.OPENED:
        raised[notice.key] = notice
    elif notice.signal is Signal.CLOSED:
        raised.pop(notice.key, None)
    return replace(ledger, number=number, raised=raised), notice


def number_of(notice: Notice) -> str:
    """The name of its record: ten digits, so that the names sort by number."""
    return notice.id.rpartition("-")[2]


def routed(notices: Sequence[Notice], routes: Sequence[Route]) -> Iterator[tuple[Route, Notice]]:
    """Which notice goes to which channel."""
    return ((route, notice) for notice in notices for route in routes if route.takes(notice))


@dataclass(frozen=True, slots=True)
class Queue:
    """One channel: the names of what is still to be sent, oldest first, and what became of the rest."""

    route: Route
    waiting: tuple[str, ...]
    state: ChannelState


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is open, and the channels."""

    raised: tuple[Notice, ...]
    channels: tuple[Queue, ...]
