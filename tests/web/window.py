"""A window on the lab's page as a person uses it: looks, waits with a bound, types, and is asked by axe-core."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from lab.files import Facts
from lab.stand import wait_for

PICTURES = Path("build/web")
SHOWN_S = 60.0
# What stands in the verdict, each time that it changes, for as long as nobody loads the page again.
RECORD = """
window.verdicts = [];
const note = () => {
  const text = document.getElementById("verdict")?.innerText.replace(/\\s+/g, " ").trim();
  if (window.verdicts.at(-1) !== text) window.verdicts.push(text);
};
note();
new MutationObserver(note).observe(document, { subtree: true, childList: true, characterData: true });
"""
AXE = """
const done = arguments[0];
const more = { rules: { "target-size": { enabled: true } } };
axe.run(document, more).then((found) => done(found), (error) => done(`${error}`));
"""


@cache
def axe() -> str:
    """axe.min.js of the installed package, which itself is not imported: it would want another browser's library."""
    found = importlib.util.find_spec("axe_playwright_python")
    assert found and found.submodule_search_locations, "axe-core is not installed: make test-web does it"
    return Path(found.submodule_search_locations[0], "axe.min.js").read_text()


class Window:
    """One window."""

    def __init__(self, driver: WebDriver, facts: Facts) -> None:
        self.driver = driver
        self._facts = facts

    def open(self, path: str = "/") -> Window:
        self.driver.get(f"{self._facts.url}{path}")
        return self

    def login(self, after: str = "/") -> Window:
        """As the lab's admin, with the form."""
        self.open(f"/login?next={after}")
        self.one("input[name=token]").send_keys(self._facts.token)
        self.one("main form [type=submit]").click()
        self.until(lambda: self.path() == after, "the login does not lead on")
        return self

    def confirm(self, reason: str) -> None:
        """Fill the form of an action in as it asks, and send it."""
        form = self.one("main form:has(#reason)")
        form.find_element(By.ID, "reason").send_keys(reason)
        for typed in self.all("#typed"):
            typed.send_keys(self.one("label[for=typed] b").text)
        form.find_element(By.CSS_SELECTOR, "[type=submit]").click()

    def path(self) -> str:
        return self.driver.current_url.removeprefix(self._facts.url)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, id: str) -> str:
        """What stands in the block of that id, on one line; empty if there is none."""
        script = "return document.getElementById(arguments[0])?.innerText ?? ''"
        return " ".join(self.driver.execute_script(script, id).split())

    def colour(self, selector: str) -> str:
        script = "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor"
        return str(self.driver.execute_script(script, selector))

    def until(self, holds: Callable[[], object], what: str, within_s: float = SHOWN_S) -> None:
        """It is true; elements that are replaced, or not there before the next page is, are looked for again."""

        def true() -> bool:
            try:
                return bool(holds())
            except (NoSuchElementException, StaleElementReferenceException):
                return False

        wait_for(true, within_s, lambda: f"{what}: {self.driver.title!r} {self.text('verdict')!r}", every_s=0.05)

    def shows(self, *words: str, within_s: float = SHOWN_S) -> None:
        """The verdict has each of these."""
        self.until(lambda: all(word in self.text("verdict") for word in words), f"no verdict with {words}", within_s)

    def record(self) -> None:
        """From now on every verdict is kept, until the page is loaded again."""
        self.driver.execute_script(RECORD)

    def recorded(self) -> list[str]:
        """Those since `record`; none if the page was loaded again."""
        found: list[str] = self.driver.execute_script("return window.verdicts ?? []")
        return found

    def violations(self) -> list[tuple[str, str, list[str]]]:
        """What axe-core finds: rule, impact, elements."""
        self.driver.execute_script(axe())
        found = self.driver.execute_async_script(AXE)
        assert isinstance(found, dict), found
        assert found["passes"], "axe-core has looked at nothing"
        return [
            (one["id"], one["impact"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]
        ]

    def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        assert self.driver.save_screenshot(str(PICTURES / f"{name}.png"))
