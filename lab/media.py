"""`python -m lab.media FOLDER`: the pictures of the README, from a lab of their own: nothing is drawn by hand.

demo.svg, a recording of what `make demo` tells; page-light.png and page-dark.png, the page when a primary has just been
lost with its host's database. `make media` runs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import castsvg, faults
from lab.browser import find_programs, opened
from lab.casting import output, record
from lab.demo import Demo
from lab.fetch import say
from lab.stand import Stand, wait_for
from lab.teller import Teller
from lab.views import until
from orchestrator.core.errors import KembarError, StepFailed

COLUMNS, ROWS = 112, 30
TITLE = "make demo: mysqld of the primary is killed under a writing client, the standby takes over, the old one returns"
CAST = Path("build/media/demo.cast")
WIDTH, HEIGHT = 1280, 940
TELL = "tell"


def main(arguments: Sequence[str]) -> int:
    """0 once all of them are written; `tell` in the place of the folder is what runs in the recorded terminal."""
    stand = Stand(os.environ.get("KEMBAR_LAB") or "media")
    try:
        if list(arguments) == [TELL]:
            return 0 if Demo(stand, Teller(sys.stdout), "kembar").run("fast", 0) else 1
        _make(stand, Path(arguments[0]))
    except KembarError as error:
        sys.stderr.write(f"make media: {error}\n")
        return 1
    finally:
        if list(arguments) != [TELL]:
            stand.down()
    return 0


def _make(stand: Stand, folder: Path) -> None:
    CAST.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if record([sys.executable, "-m", "lab.media", TELL], CAST, COLUMNS, ROWS):
        raise StepFailed(f"the demo did not go as it should: {CAST}")
    said = [(0.0, "$ make demo\n"), *output(CAST)]
    (folder / "demo.svg").write_text(castsvg.svg(castsvg.lines(said), COLUMNS, ROWS, TITLE))
    stand.down()
    facts = stand.up("fast", say, port=0)
    served = _lose_primary(stand)
    for name, dark in (("light", False), ("dark", True)):
        _picture(facts.url, folder / f"page-{name}.png", f"writes OK on {served}", dark=dark)


def _lose_primary(stand: Stand) -> str:
    """Its agent and mysqld, which nobody starts: the page says what a person has to do. Who serves now."""
    lost, _ = faults.inject(stand, "database-loss", None)
    shown = until(
        stand,
        lambda shown: shown["primary"] != lost.name and shown["writes"] == "ok" and shown["last_incident"]["steps"],
        "nobody took over",
        60.0,
    )
    return str(shown["primary"])


def _picture(url: str, file: Path, words: str, *, dark: bool) -> None:
    with opened(find_programs(), width=WIDTH, height=HEIGHT, dark=dark) as driver:
        driver.get(url)
        verdict = "return document.getElementById('verdict').textContent"
        wait_for(lambda: words in driver.execute_script(verdict), 30.0, f"the page does not say: {words}")
        if not driver.save_screenshot(str(file)):
            raise StepFailed(f"{file} cannot be written")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
