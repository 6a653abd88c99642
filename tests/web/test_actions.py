"""A person acts from the page: what would happen is shown first, a reason is asked for, the rest is recorded."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from lab.demoreturn import BEHIND, LeftBehind
from lab.diverging import writing
from lab.stand import wait_for
from lab.teller import Teller
from tests.lab.story import Story
from tests.web.window import SHOWN_S, Window

pytestmark = pytest.mark.lab

REASON = "kernel <b>patch</b> & more"


def test_a_switchover_is_looked_at_confirmed_and_watched(story: Story, window: Callable[..., Window]) -> None:
    old, new = story.node("primary"), story.node("standby")
    page = window().login()
    page.shows("HEALTHY")
    page.one('#actions a[href$="/actions/switchover"]').click()
    page.until(lambda: page.text("checks"), "no pre-checks are shown")
    assert new.name in page.one("form").text
    assert page.violations() == []
    stale = page.path()
    page.confirm(REASON)
    page.shows(f"writes OK on {new.name}")
    page.until(lambda: REASON in page.one("main").text, "the reason is not told, or as markup")
    page.picture("switchover")
    last = story.view()["last_incident"]
    assert (last["kind"], last["actor"], last["reason"], last["origin"]) == ("switchover", "lab", REASON, old.name)
    assert stale.endswith("/switchover")


def test_who_looked_before_the_last_failover_changes_nothing(story: Story, window: Callable[..., Window]) -> None:
    page = window().login().open(f"/c/{story.stand.topology.cluster}/actions/switchover")
    primary = story.node("primary")
    story.strike("mysqld-crash", primary)
    story.until(lambda shown: shown["primary"] not in ("", primary.name) and shown["state"] == "healthy", "not moved")
    epoch = story.view()["epoch"]
    page.confirm("too late")
    page.until(lambda: "epoch" in page.one("main").text and "too late" not in page.one("main").text, "not refused")
    assert page.violations() == []
    story.stays(lambda shown: shown["epoch"] == epoch, 1.0)


def test_who_has_no_token_may_look_and_cannot_act(story: Story, window: Callable[..., Window]) -> None:
    page = window().open(f"/c/{story.stand.topology.cluster}/actions/switchover")
    assert page.one("main form [type=submit]").get_attribute("disabled") == "true"
    assert page.violations() == []


def test_a_conflict_is_decided(story: Story, window: Callable[..., Window]) -> None:
    assert LeftBehind(story.stand, Teller(io.StringIO()), "kembar").tell()
    page = window().login()
    page.until(lambda: page.all('a[href*="/actions/reconcile_apply"]'), "nothing is offered to decide")
    shown = page.one("#reconcile").text
    assert str(BEHIND) in shown and "70" in shown, shown  # both versions
    assert page.violations() == []
    page.picture("conflict")
    page.one('a[href*="/actions/reconcile_apply"]').click()
    page.until(lambda: page.all("#reason"), "no form")
    page.confirm("the branch was called")
    page.until(lambda: not page.all('a[href*="/actions/reconcile_apply"]'), "it is still offered")
    with writing(story.stand) as cursor:

        def balance() -> int:
            cursor.execute("SELECT balance FROM account WHERE id = 2")
            return int((cursor.fetchone() or (0,))[0])

        wait_for(lambda: balance() == BEHIND, SHOWN_S, lambda: f"account 2 holds {balance()}")
