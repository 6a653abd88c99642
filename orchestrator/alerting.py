"""Composition of the alerts of one pair: the notifier, a courier a channel, and what each sends."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitoring import deliver, hook, notices
from monitoring.backend import utc
from monitoring.notices import Links
from orchestrator.config.alerts import PAGERDUTY, Alerts, Channel
from orchestrator.config.secret import read_secret
from orchestrator.coordination.paths import Paths
from orchestrator.core.delivery import Attempt, Ended
from orchestrator.core.history import Event
from orchestrator.core.outbox import Notice, Route
from orchestrator.core.ports import Clock, Coordinator
from orchestrator.courier import Courier, Send
from orchestrator.desk import Desk
from orchestrator.loop import Look
from orchestrator.notifier import Notifier
from orchestrator.process import threads

EVERY_EVENT = ("webhook", "exec")  # kinds that are told what opens no alert too, unless `events: false`


@dataclass(frozen=True, slots=True)
class Alerting:
    """The threads of one pair. Without channels there is none, and nothing is kept."""

    desk: Desk
    notifier: Notifier
    couriers: Sequence[Courier]

    def take(self, look: Look) -> None:
        """From the loop: never blocks."""
        self.notifier.take(look)

    def start(self) -> None:
        if self.couriers:
            threads.start(f"alerts-{self.desk.paths.cluster}", self.notifier.run)
        for route, courier in zip(self.desk.routes, self.couriers, strict=True):
            threads.start(f"alerts-{self.desk.paths.cluster}-{route.name}", courier.run)

    def stop(self) -> None:
        self.notifier.stop()
        for courier in self.couriers:
            courier.stop()


def alerting(
    section: Alerts,
    paths: Paths,
    coordinator: Coordinator,
    clock: Clock,
    term_version: Callable[[], int | None],
    tell: Callable[[Event], None],
) -> Alerting:
    """Of one pair, as orchestrator.yaml says."""
    links = Links(section.page or "")
    routes = [route_of(channel) for channel in section.channels]
    chance = random.SystemRandom().random
    couriers = [
        Courier(
            route, paths, coordinator, clock, term_version, utc, sender(channel, links), chance, tell,
            repeats=channel.kind == "alertmanager",
        )
        for route, channel in zip(routes, section.channels, strict=True)
    ]  # fmt: skip

    def wake() -> None:
        for courier in couriers:
            courier.wake()

    notifier = Notifier(paths, coordinator, clock, term_version, utc, routes, wake)
    return Alerting(Desk(paths, coordinator, clock, utc, routes), notifier, couriers)


def route_of(channel: Channel) -> Route:
    """Which notices go to that channel."""
    events = channel.kind in EVERY_EVENT and channel.events is not False
    return Route(channel.name, channel.kind, channel.severity, events)


def sender(channel: Channel, links: Links) -> Send:
    """How that channel sends. Files of secrets are read at each attempt, so that a new key needs no restart."""
    send = {
        "webhook": _webhook,
        "pagerduty": _pagerduty,
        "slack": _slack,
        "alertmanager": _alertmanager,
        "exec": _exec,
    }[channel.kind]

    def guarded(sent: Sequence[Notice]) -> Attempt:
        try:
            return send(channel, links, sent)
        except OSError as error:
            return Attempt(Ended.LATER, f"{error.filename} cannot be read: {error.strerror}")
        except UnicodeDecodeError:  # whose text would show a part of the secret
            return Attempt(Ended.LATER, "its file with the secret is no text in UTF-8")

    return guarded


def _webhook(channel: Channel, links: Links, sent: Sequence[Notice]) -> Attempt:
    (notice,) = sent
    secret = read_secret(channel.secret_file) if channel.secret_file else ""
    body = notices.cloudevent(notice, links)
    return deliver.signed(channel.url or "", body, notice.id, secret, channel.timeout_s)


def _pagerduty(channel: Channel, links: Links, sent: Sequence[Notice]) -> Attempt:
    (notice,) = sent
    assert channel.routing_key_file is not None
    body = notices.pagerduty(notice, links, read_secret(channel.routing_key_file))
    return deliver.post(channel.url or PAGERDUTY, body, {}, channel.timeout_s)


def _slack(channel: Channel, links: Links, sent: Sequence[Notice]) -> Attempt:
    (notice,) = sent
    assert channel.url_file is not None
    return deliver.post(read_secret(channel.url_file), notices.slack(notice, links), {}, channel.timeout_s)


def _alertmanager(channel: Channel, links: Links, sent: Sequence[Notice]) -> Attempt:
    url = (channel.url or "").rstrip("/") + "/api/v2/alerts"
    return deliver.post(url, notices.alertmanager(sent, links), {}, channel.timeout_s)


def _exec(channel: Channel, links: Links, sent: Sequence[Notice]) -> Attempt:
    (notice,) = sent
    return hook.run(channel.command or (), notices.cloudevent(notice, links), notice.id, channel.timeout_s)
