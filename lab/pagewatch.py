"""`python -m lab.pagewatch URL EVENTS`: a headless Chromium that looks at the live page, as one of its viewers.

Prints `ready`, then `NUMBER AT` for each event that `lab.eventwriter` wrote and the page shows: its number, and
CLOCK_MONOTONIC. Ends when it has seen EVENTS of them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from lab.browser import find_programs, opened
from lab.eventwriter import SENTENCE
from lab.stand import wait_for

SHOWN_S = 120.0
# The page's own clock is that of the host; whole milliseconds, as its finer one may have been set before a correction.
OBSERVE = """
const words = new RegExp(arguments[0].replace("{}", "([0-9]+)"), "g");
window.shown = {};
const note = () => {
  const text = document.getElementById("events").textContent;
  for (const [, number] of text.matchAll(words)) window.shown[number] ??= Date.now();
};
new MutationObserver(note).observe(document, { subtree: true, childList: true, characterData: true });
"""


def main(arguments: Sequence[str]) -> int:
    """0 once it has seen everything."""
    url, events = arguments
    with opened(find_programs()) as driver:
        driver.get(url)
        driver.execute_script(OBSERVE, SENTENCE)
        print("ready", flush=True)  # noqa: T201 - this is the result
        wait_for(
            lambda: driver.execute_script("return Object.keys(window.shown).length") >= int(events),
            SHOWN_S,
            lambda: f"{url} shows {driver.execute_script('return window.shown')}",
            every_s=0.5,
        )
        since_boot_s = time.time() - time.monotonic()
        for number, at_ms in driver.execute_script("return window.shown").items():
            print(number, at_ms / 1000 - since_boot_s)  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
