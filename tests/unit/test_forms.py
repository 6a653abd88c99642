"""Actions from the page, without any script: pre-checks first, a reason, what is typed, and the epoch that was seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from browsing import PAGE, browsing, fields, logged_in, page_of, parsed, text_of
from carrier import Carrier
from kept_pairs import FIRST, returned
from pairs import STEADY, healthy

from monitoring.forms import FORMS
from orchestrator.core.requests import Kind, Pause, PreCheck

ACTIONS = "/c/shop/actions"
WHY = {"reason": "kernel patch"}


def acting(carrier, kind, who="olga", query="", between=lambda: None, **typed):
    """Open the form, fill it in, send it: status, where it leads, the page."""

    async def talk(browser):
        await logged_in(browser, who)
        async with browser.get(f"{ACTIONS}/{kind}{query}", headers=PAGE) as shown:
            sent = {**fields(parsed(await shown.text())), **typed}
        between()
        async with browser.post(f"{ACTIONS}/{kind}", data=sent, headers=PAGE, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location", ""), await answer.text()

    return browsing(carrier, talk)


def test_looking_changes_nothing_and_shows_every_pre_check():
    carrier = Carrier(refusals=(PreCheck("backlog", False, "db-b has 5000 transactions to apply"),))
    shown = parsed(page_of(carrier, f"{ACTIONS}/switchover", "olga"))
    assert text_of(shown, "checks").startswith("Pre-checks ok target NO backlog: db-b has 5000 transactions to apply")
    assert [one.get("disabled") is not None for one in shown.iter("button")] == [True]
    assert not carrier.submitted


def test_a_move_is_asked_for_once_and_the_page_shows_it():
    carrier = Carrier()
    status, to, _ = acting(carrier, "switchover", **WHY)
    (asked,) = carrier.submitted
    assert (asked.kind, asked.to, asked.reason, asked.actor, asked.epoch) == (
        Kind.SWITCHOVER, "db-b", "kernel patch", "olga", 7,
    )  # fmt: skip
    assert (status, to) == (303, f"/c/shop?operation={asked.id}#asked")
    assert [(one.action, one.reason, one.result) for one in carrier.audit[1:]] == [
        ("switchover db-b", "kernel patch", "accepted")
    ]


def test_the_same_form_sent_twice_is_one_request():
    carrier = Carrier()

    async def talk(browser):
        await logged_in(browser)
        async with browser.get(f"{ACTIONS}/switchover", headers=PAGE) as shown:
            sent = {**fields(parsed(await shown.text())), **WHY}
        found = []
        for _ in range(2):
            async with browser.post(f"{ACTIONS}/switchover", data=sent, allow_redirects=False) as answer:
                found.append((answer.status, answer.headers.get("Idempotency-Replayed")))
        return found

    assert browsing(carrier, talk) == [(303, None), (303, "true")]
    assert len(carrier.submitted) == 1


def test_a_page_of_an_older_epoch_changes_nothing():
    carrier = Carrier()

    def meanwhile():
        carrier.snapshot = replace(carrier.snapshot, cluster=replace(STEADY, epoch=8))

    status, _, page = acting(carrier, "switchover", between=meanwhile, **WHY)
    assert (status, carrier.submitted) == (412, [])
    assert "you saw epoch 7, it is 8 now" in page
    assert carrier.audit[-1].result == "stale-epoch"
    parsed(page)


@pytest.mark.parametrize(("typed", "status"), [("", 400), ("db-a", 400), (" db-b ", 303)])
def test_a_forced_failover_needs_the_name_of_the_node_typed(typed, status):
    carrier = Carrier()
    assert acting(carrier, "failover", "adam", typed=typed, **WHY)[0] == status
    assert len(carrier.submitted) == (status == 303)


def test_a_forced_failover_of_no_named_node_is_not_confirmed_by_typing_nothing():
    carrier = Carrier()
    assert acting(carrier, "failover", "adam", to="", typed="", **WHY)[0] == 400
    assert carrier.submitted == []
    assert acting(carrier, "failover", "adam", query="?to=", typed="db-b", **WHY)[0] == 303


def test_an_adoption_needs_the_name_of_the_cluster_typed():
    carrier = Carrier()
    assert acting(carrier, "adopt", "adam", typed="db-b", to="db-b", **WHY)[0] == 400
    assert acting(carrier, "adopt", "adam", typed="shop", to="db-b", **WHY)[0] == 303


def test_nothing_is_done_without_a_reason():
    carrier = Carrier()
    status, _, page = acting(carrier, "switchover", reason=" ")
    assert (status, carrier.submitted) == (400, [])
    assert "/reason" in page


def test_a_role_that_does_not_suffice_is_told_before_and_refused_after():
    carrier = Carrier()
    shown = parsed(page_of(carrier, f"{ACTIONS}/switchover", "vera"))
    assert "this needs role operator, vera has viewer" in text_of(shown, "checks")
    assert acting(carrier, "switchover", "vera", **WHY)[0] == 403
    assert carrier.audit[-1].result == "forbidden"
    assert acting(carrier, "failover", "olga", typed="db-b", **WHY)[0] == 403
    assert not carrier.submitted


def test_without_the_proof_of_a_form_of_ours_nothing_is_done():
    carrier = Carrier()
    assert acting(carrier, "switchover", csrf="0" * 64, **WHY)[0] == 403

    async def nobody(browser):
        answer = await browser.post(f"{ACTIONS}/switchover", data=WHY, headers=PAGE, allow_redirects=False)
        return answer.status, await answer.text()

    status, page = browsing(carrier, nobody)
    assert status == 401 and 'href="/login' in page
    assert not carrier.submitted


def test_a_form_with_half_a_character_cannot_be_read():
    carrier = Carrier()
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=unicode_escape", **PAGE}

    async def talk(browser):
        headers = {**form, "Authorization": "Bearer olga-secret"}
        sent = rb"to=\ud800&epoch=7"
        async with browser.post(f"{ACTIONS}/maintenance_off", data=sent, headers=headers) as answer:
            return answer.status, answer.content_type

    assert browsing(carrier, talk) == (400, "text/html")
    assert [entry.result for entry in carrier.audit] == ["invalid-request"]


def test_pause_and_resume():
    carrier = Carrier()
    assert acting(carrier, "pause", **{"for": "30m"}, **WHY)[:2] == (303, "/c/shop")
    assert acting(carrier, "pause", **{"for": "0"}, **WHY)[0] == 403, "without end is for an admin"
    assert acting(carrier, "resume")[:2] == (303, "/c/shop")
    assert [(one.active, one.for_s, one.reason) for one in carrier.pauses] == [
        (True, 1800.0, "kernel patch"),
        (False, 0.0, ""),
    ]


def test_a_standby_is_kept_from_promotion_while_it_is_worked_on():
    carrier = Carrier()
    assert acting(carrier, "maintenance_on", query="?to=db-a", **WHY)[0] == 422, "never the primary"
    assert acting(carrier, "maintenance_on", query="?to=db-c", **WHY)[0] == 404
    assert acting(carrier, "maintenance_on", query="?to=db-b", **WHY)[:2] == (303, "/c/shop")
    assert carrier.snapshot.policy.maintenance == ("db-b",)
    document = parsed(page_of(carrier, who="olga"))
    assert "maintenance by olga: kernel patch" in text_of(document, "node-db-b")
    assert "/c/shop/actions/maintenance_off?to=db-b" in [one.get("href") for one in document.iter("a")]
    assert acting(carrier, "maintenance_off", query="?to=db-b")[:2] == (303, "/c/shop")
    assert carrier.snapshot.policy.maintenance == ()


def test_a_conflict_is_decided_from_the_page():
    carrier = Carrier(returned())
    link = f"?returning=7&gtid={FIRST}&seen=v1"
    assert acting(carrier, "reconcile_discard", query=link, **WHY)[0] == 303
    (asked,) = carrier.submitted
    assert (asked.kind, asked.returning, asked.gtid, asked.seen) == (Kind.RECONCILE_DISCARD, 7, FIRST, "v1")


def test_what_is_off_says_why_in_text():
    carrier = Carrier(healthy(paused=True, pause=Pause(True, 60, "disk swap", "alice"), pause_left_s=42.0))
    shown = parsed(page_of(carrier, who="vera"))
    off = "Verify, Rejoin, Resume, Maintenance db-b off: this needs role operator, vera has viewer"
    assert f"Switchover, Acknowledge, {off}" in text_of(shown, "actions")
    stale = parsed(page_of(Carrier(now_s=130.0), who="olga"))
    assert "Rejoin, Pause, Maintenance db-b off: what is shown may be long past" in text_of(stale, "actions")


@pytest.mark.parametrize("kind", FORMS)
def test_every_form_is_html(kind):
    about = {"reconcile_apply": f"?returning=7&gtid={FIRST}", "reconcile_approve": "?returning=7"}
    about["reconcile_discard"] = about["reconcile_apply"]
    parsed(page_of(Carrier(returned()), f"{ACTIONS}/{kind}{about.get(kind, '')}", "adam"))


def test_an_action_that_does_not_exist_is_a_page_that_says_so():
    async def talk(browser):
        await logged_in(browser)
        async with browser.get(f"{ACTIONS}/reboot", headers=PAGE) as answer:
            return answer.status, await answer.text()

    status, page = browsing(Carrier(), talk)
    assert status == 404 and "there is no action" in page
    parsed(page)


def test_whoever_is_logged_in_can_log_out_from_the_page():
    async def talk(browser):
        await logged_in(browser)
        async with browser.get("/c/shop", headers=PAGE) as shown:
            page = parsed(await shown.text())
        (form,) = [one for one in page.iter("form") if one.get("action") == "/logout"]
        sent = {one.get("name"): one.get("value") for one in form.iter("input")}
        left = await browser.post("/logout", data=sent, allow_redirects=False)
        after = await browser.get("/c/shop", headers=PAGE, allow_redirects=False)
        return left.status, after.headers["Location"]

    assert browsing(Carrier(), talk) == (303, "/login?next=/c/shop")
    anonymous = Carrier(anonymous=True)

    async def look(browser):
        async with browser.get("/c/shop", headers=PAGE) as answer:
            return await answer.text()

    assert 'href="/login' in browsing(anonymous, look)
