"""A headless Chromium that looks at the lab's page: Debian's, found on the host or fetched. Installs nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chrome.webdriver import WebDriver

from lab.fetch import fetch
from lab.programs import library_folder
from orchestrator.core.errors import Refused

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--force-color-profile=srgb",
)  # fmt: skip
ANSWER_S = 30.0  # a page or script that takes longer has failed


@dataclass(frozen=True, slots=True)
class Programs:
    """Chromium and its driver, of one version; `libraries` is a folder that both need, None on a host that has them."""

    chromium: Path
    driver: Path
    libraries: Path | None

    def environment(self) -> dict[str, str]:
        """Of the driver, which hands it on to Chromium."""
        if self.libraries is None:
            return dict(os.environ)
        found = (str(self.libraries), os.environ.get("LD_LIBRARY_PATH", ""))
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, found))}


def find_programs() -> Programs:
    """The host's if it has both, else both as fetched, since a driver takes its own version only. Raises Refused."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium and driver:
        return Programs(Path(chromium), Path(driver), None)
    root = fetch(("chromium-driver",))
    found = Programs(root / "usr/lib/chromium/chromium", root / "usr/bin/chromedriver", library_folder(root))
    missing = [str(path) for path in (found.chromium, found.driver) if not path.exists()]
    if missing:
        raise Refused(f"not in the package chromium-driver as fetched: {', '.join(missing)}; apt-get install it")
    return found


@contextmanager
def opened(
    programs: Programs, *, width: int = 1280, height: int = 900, dark: bool = False, javascript: bool = True
) -> Iterator[WebDriver]:
    """A window of that many CSS pixels with a profile of its own, closed when the block ends."""
    with tempfile.TemporaryDirectory(prefix="kembar-chromium-", ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location = str(programs.chromium)
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        service = Service(str(programs.driver), env=programs.environment())
        driver = webdriver.Chrome(options, service)
        try:
            driver.set_page_load_timeout(ANSWER_S)
            driver.set_script_timeout(ANSWER_S)
            _set(driver, width, height, dark=dark, javascript=javascript)
            yield driver
        finally:
            driver.quit()


def _set(driver: WebDriver, width: int, height: int, *, dark: bool, javascript: bool) -> None:
    """What no flag sets: a headless window is never narrower than 500 pixels."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not javascript})
