"""`python -m lab.firstpaint URL COUNT`: ms from asking for a page to its first contentful paint, without JavaScript.

One line each, in a headless Chromium with an empty cache.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lab.browser import find_programs, opened
from lab.stand import wait_for

PAINT = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
PAINTED_S = 10.0


def main(arguments: Sequence[str]) -> int:
    url, count = arguments
    with opened(find_programs(), javascript=False) as driver:
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
        for _ in range(int(count)):
            driver.get(url)
            wait_for(lambda: driver.execute_script(PAINT) > 0, PAINTED_S, f"{url} is not painted")
            print(driver.execute_script(PAINT))  # noqa: T201 - this is the result
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
