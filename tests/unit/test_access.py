"""Tokens, sessions and the audit over the API: what is let in, what is not, and what is told of both."""

from __future__ import annotations

import re

import pytest
from aiohttp import ClientSession
from browsing import browsing, logged_in
from carrier import WALL_S, Carrier
from test_api import MOVE, SHOP, one, served

from monitoring.limits import KEYS_MAX, Limit
from monitoring.session import IDLE_S, WHOLE_S, Session, csrf, opened, sealed
from orchestrator.core.access import digest
from orchestrator.core.errors import UnknownOutcome

TOKENS, AUDIT = f"{SHOP}/tokens", f"{SHOP}/audit"
NEW = {"name": "ines", "role": "operator", "for": "30d", "reason": "on call"}
DAY_S = 86400


def test_a_token_is_shown_once_kept_as_a_hash_and_good_at_once():
    carrier = Carrier()

    async def talk(call):
        status, _, made = await call("POST", TOKENS, "adam", NEW)
        mine = {"Authorization": f"Bearer {made['token']}"}
        allowed = await call("PUT", f"{SHOP}/pause", "", {"reason": "r"}, If_Match='"7"', **mine)
        refused = await call("GET", TOKENS, "", **mine)
        listed = await call("GET", TOKENS, "adam")
        return status, made, allowed[0], refused[0], listed[2]

    status, made, allowed, refused, listed = served(carrier, talk)
    assert (status, allowed, refused) == (201, 200, 403)
    (kept,) = carrier.kept_tokens.tokens
    assert (kept.sha256, kept.expires_s) == (digest(made["token"]), WALL_S + 30 * DAY_S)
    assert made["token"] not in str(listed) and kept.sha256 not in str(listed)
    row = next(row for row in listed["tokens"] if row["name"] == "ines")
    assert (row["made_by"], row["valid"], row["source"]) == ("adam", True, "cluster")
    assert [row["name"] for row in listed["tokens"]] == ["vera", "olga", "adam", "gone", "ines"], "not that of another"


def test_an_expired_token_and_a_revoked_one_are_no_tokens():
    carrier = Carrier()

    async def talk(call):
        _, _, made = await call("POST", TOKENS, "adam", NEW)
        mine = {"Authorization": f"Bearer {made['token']}"}
        before = (await call("GET", SHOP, "", **mine))[0]
        carrier.wall_s += 30 * DAY_S
        late = (await call("GET", SHOP, "", **mine))[0]
        carrier.wall_s -= 1
        last = (await call("GET", SHOP, "", **mine))[0]
        gone = await call("DELETE", f"{TOKENS}/ines", "adam")
        return before, late, last, gone[0], (await call("GET", SHOP, "", **mine))[0]

    assert served(carrier, talk) == (200, 401, 200, 200, 401)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (NEW | {"name": "olga"}, 409, "token-exists"),
        (NEW | {"name": "anonymous"}, 409, "token-exists"),
        (NEW | {"name": "a b"}, 400, "invalid-request"),
        (NEW | {"role": "root"}, 400, "invalid-request"),
        (NEW | {"reason": " "}, 400, "invalid-request"),
        (NEW | {"secret": "mine"}, 400, "invalid-request"),
    ],
)
def test_a_token_that_cannot_be_is_refused_and_nothing_is_kept(body, status, kind):
    carrier = Carrier()
    found, _, answer = one(carrier, "POST", TOKENS, "adam", body)
    assert (found, answer["type"]) == (status, f"/problems/{kind}")
    assert carrier.kept_tokens.tokens == ()


def test_an_expired_name_may_be_taken_again():
    carrier = Carrier()
    one(carrier, "POST", TOKENS, "adam", NEW)
    assert one(carrier, "POST", TOKENS, "adam", NEW)[0] == 409
    carrier.wall_s += 31 * DAY_S
    assert one(carrier, "POST", TOKENS, "adam", NEW)[0] == 201
    assert len(carrier.kept_tokens.tokens) == 1


def test_tokens_of_the_file_are_revoked_in_the_file():
    status, _, answer = one(Carrier(), "DELETE", f"{TOKENS}/olga", "adam")
    assert (status, "tokens_file" in answer["hint"]) == (404, True)


def test_two_admins_at_once_both_get_their_token():
    carrier = Carrier()

    def another() -> None:
        carrier.before_submit = lambda: None
        carrier.tokens_version += 1

    carrier.before_submit = another
    assert one(carrier, "POST", TOKENS, "adam", NEW)[0] == 201


# --- audit


def test_each_action_says_who_from_where_what_and_what_became_of_it():
    carrier = Carrier()

    async def talk(call):
        await call("POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"', Idempotency_Key="k")
        await call("POST", f"{SHOP}/operations", "olga", MOVE, If_Match='"7"', Idempotency_Key="k")
        await call("PUT", f"{SHOP}/pause", "olga", {"for": "30m", "reason": "disk swap"}, If_Match='"7"')
        return await call("GET", AUDIT, "adam")

    _, _, body = served(carrier, talk)
    pause, replay, move = body["audit"]
    assert (move["actor"], move["role"], move["origin"], move["instance"]) == (
        "olga",
        "operator",
        "127.0.0.1",
        "witness",
    )
    assert (move["action"], move["reason"], move["result"]) == ("switchover db-b", "kernel patch", "accepted")
    assert (move["epoch"], move["epoch_after"], move["operation"]) == (7, None, carrier.submitted[0].id)
    assert (replay["result"], replay["operation"]) == ("replayed", move["operation"])
    assert (pause["action"], pause["result"], pause["epoch"], pause["epoch_after"]) == ("pause 30m", "done", 7, 7)


REFUSALS = {
    "unauthenticated": ("gone", {"If_Match": '"7"'}, MOVE),
    "forbidden": ("vera", {"If_Match": '"7"'}, MOVE),
    "stale-epoch": ("olga", {"If_Match": '"6"'}, MOVE),
    "if-match-required": ("olga", {}, MOVE),
    "invalid-request": ("olga", {"If_Match": '"7"'}, MOVE | {"too": 1}),
    "too-large": ("olga", {"If_Match": '"7"'}, MOVE | {"reason": "x" * 900_000}),
}


@pytest.mark.parametrize("problem", REFUSALS)
def test_a_refusal_changes_nothing_and_is_told(problem):
    who, headers, body = REFUSALS[problem]
    carrier = Carrier()
    _, _, answer = one(carrier, "POST", f"{SHOP}/operations", who, body, **headers)
    assert answer["type"] == f"/problems/{problem}"
    assert carrier.submitted == []
    (entry,) = carrier.audit
    assert (entry.result, entry.epoch, entry.epoch_after) == (problem, 7, 7)
    assert entry.actor == ("-" if who == "gone" else who)


def test_what_may_have_happened_is_told_as_such():
    carrier = Carrier()

    def lost(cluster, pause):
        raise UnknownOutcome("the answer never came")

    carrier.put_pause = lost
    assert one(carrier, "PUT", f"{SHOP}/pause", "olga", {"reason": "r"}, If_Match='"7"')[0] == 503
    (entry,) = carrier.audit
    assert (entry.result, entry.epoch, entry.epoch_after) == ("unknown-outcome", 7, None)
    carrier = Carrier(reachable=False)
    one(carrier, "PUT", f"{SHOP}/pause", "olga", {"reason": "r"}, If_Match='"7"')
    assert [entry.result for entry in carrier.audit] == ["not-carried-out"]


def test_looking_is_not_told_unless_it_was_denied():
    carrier = Carrier()
    one(carrier, "GET", SHOP, "vera")
    one(carrier, "GET", SHOP)
    one(carrier, "POST", f"{SHOP}/operations", "vera", MOVE | {"dry_run": True})
    assert carrier.audit == []
    one(carrier, "GET", SHOP, "gone")
    one(carrier, "GET", AUDIT, "olga")
    assert [(entry.actor, entry.result) for entry in carrier.audit] == [("-", "unauthenticated"), ("olga", "forbidden")]


def test_a_wrong_token_is_told_on_a_page_too():
    carrier = Carrier()
    assert one(carrier, "GET", "/c/shop", "gone", Accept="text/html")[0] == 401
    assert [(entry.actor, entry.result) for entry in carrier.audit] == [("-", "unauthenticated")]


# --- limits


def test_wrong_tokens_are_slowed_down_and_right_ones_are_not():
    carrier = Carrier()

    async def talk(call):
        wrong = [(await call("GET", SHOP, "nobody"))[0] for _ in range(6)]
        _, headers, body = await call("GET", SHOP, "nobody")
        right = (await call("GET", SHOP, "vera"))[0]
        carrier.now_s += 12
        return wrong, headers["Retry-After"], body["type"], right, (await call("GET", SHOP, "nobody"))[0]

    wrong, after, kind, right, later = served(carrier, talk)
    assert (wrong, after, kind) == ([401] * 5 + [429], "12", "/problems/slow-down")
    assert (right, later) == (200, 401)


def test_one_who_acts_without_end_is_slowed_down():
    async def talk(call):
        ask = MOVE | {"dry_run": True}
        return [(await call("POST", f"{SHOP}/operations", "olga", ask))[0] for _ in range(121)]

    assert served(Carrier(), talk) == [200] * 120 + [429]


def test_a_limit_fills_again_and_forgets_the_oldest():
    limit = Limit(2, 10.0)
    assert [limit.wait_s("a", 0.0) for _ in range(3)] == [0.0, 0.0, 10.0]
    assert limit.wait_s("b", 0.0) == 0.0
    assert (limit.wait_s("a", 10.0), limit.wait_s("a", 10.0)) == (0.0, 10.0)
    for number in range(KEYS_MAX):
        limit.wait_s(str(number), 10.0)
    assert limit.wait_s("a", 10.0) == 0.0


# --- sessions of browsers

KEY = b"k" * 32
FORM = re.compile(r'name="csrf" value="([0-9a-f]*)"')


async def proof(browser: ClientSession) -> str:
    found = FORM.search(await (await browser.get("/login")).text())
    assert found
    return found[1]


def test_a_login_leads_to_where_one_wanted_to_go_and_its_cookie_is_guarded():
    async def talk(browser):
        sent = await browser.get("/c/shop", headers={"Accept": "text/html"}, allow_redirects=False)
        done = await logged_in(browser)
        page = await browser.get("/c/shop")
        return sent.status, sent.headers["Location"], done.status, done.headers, page.status

    status, to, done, headers, page = browsing(Carrier(), talk)
    assert (status, to) == (303, "/login?next=/c/shop")
    assert (done, headers["Location"], page) == (303, "/c/shop", 200)
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "olga-secret" not in cookie


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nX: y"])
def test_a_login_leads_nowhere_else(elsewhere):
    async def talk(browser):
        return (await logged_in(browser, next=elsewhere)).headers["Location"]

    assert browsing(Carrier(), talk) == "/"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://[x"])
def test_a_login_from_elsewhere_is_refused(origin):
    async def talk(browser):
        async with browser.post("/login", data={"token": "olga-secret"}, headers={"Origin": origin}) as answer:
            return answer.status, "Set-Cookie" in answer.headers

    assert browsing(Carrier(), talk) == (403, False)


def test_a_wrong_login_shows_the_form_again_and_is_told():
    carrier = Carrier()

    async def talk(browser):
        answers = [await logged_in(browser, "nobody") for _ in range(6)]
        return [one.status for one in answers], await answers[0].text()

    statuses, text = browsing(carrier, talk)
    assert statuses == [401] * 5 + [429]
    assert "No valid token" in text
    assert [(entry.action, entry.result) for entry in carrier.audit] == [("login", "unauthenticated")] * 5


PAUSE = {"for": "30m", "reason": "disk swap"}


def test_a_session_acts_only_by_a_form_of_ours():
    carrier = Carrier()

    async def talk(browser):
        await logged_in(browser)
        right, path = await proof(browser), f"{SHOP}/pause"
        own = f"http://{browser.host}:{browser.port}"
        found = []
        for headers in (
            {},
            {"X-CSRF-Token": "0" * 64},
            {"X-CSRF-Token": "\u00e9"},
            {"X-CSRF-Token": right, "Origin": "https://evil.example"},
            {"X-CSRF-Token": right, "Origin": own},
        ):
            answer = await browser.put(path, json=PAUSE, headers={"If-Match": '"7"', **headers})
            found.append(answer.status)
        return found

    assert browsing(carrier, talk) == [403, 403, 403, 403, 200]
    assert len(carrier.pauses) == 1 and carrier.pauses[0].actor == "olga"


def test_a_session_ends_when_idle_when_old_and_with_its_token():
    carrier = Carrier()

    async def talk(browser):
        await logged_in(browser)
        began_s, found = carrier.wall_s, []
        for offset_s in (IDLE_S - 1, 2 * IDLE_S - 2, 3 * IDLE_S - 2):  # the last is idle for its whole time
            carrier.wall_s = began_s + offset_s
            found.append((await browser.get(SHOP)).status)
        return found

    assert browsing(carrier, talk) == [200, 200, 401]

    async def revoked(browser):
        async with browser.post(TOKENS, json=NEW, headers={"Authorization": "Bearer adam-secret"}) as answer:
            made = await answer.json()
        await browser.post("/login", data={"token": made["token"]}, allow_redirects=False)
        before = (await browser.get(SHOP)).status
        await browser.delete(f"{TOKENS}/ines", headers={"Authorization": "Bearer adam-secret"})
        return before, (await browser.get(SHOP)).status

    assert browsing(Carrier(), revoked) == (200, 401)


def test_logout_ends_it_and_needs_the_form_too():
    carrier = Carrier()

    async def talk(browser):
        await logged_in(browser)
        forged = (await browser.post("/logout", allow_redirects=False)).status
        left = await browser.post("/logout", data={"csrf": await proof(browser)}, allow_redirects=False)
        return forged, left.status, (await browser.get(SHOP)).status

    assert browsing(carrier, talk) == (403, 303, 401)
    assert [entry.action for entry in carrier.audit] == ["login", "POST logout", "logout"]


def test_a_cookie_is_ours_unchanged_and_alive_or_nothing():
    session = Session("a" * 64, "n", 1000.0, 1000.0)
    cookie = sealed(session, KEY)
    assert opened(cookie, KEY, 1001.0) == session
    assert opened(cookie, b"other", 1001.0) is None
    strange = "\u00e9." + cookie, "\udcff." + cookie, cookie[:-1] + "\udcff"
    for wrong in ("", ".", cookie[:-1], "A" + cookie, cookie + "x" * 2000, csrf(session, KEY), *strange):
        assert opened(wrong, KEY, 1001.0) is None
    assert opened(cookie, KEY, 999.0) is None, "one from the future"
    old = sealed(session.used(1000.0 + WHOLE_S - 1), KEY)
    assert opened(old, KEY, 1000.0 + WHOLE_S - 1) is not None and opened(old, KEY, 1000.0 + WHOLE_S) is None
