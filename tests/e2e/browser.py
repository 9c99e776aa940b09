"""A real Chromium without a window, as a person at the keyboard uses it."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

SHOTS = os.environ.get("TRIVOX_SCREENSHOTS")
"""A folder: then every page is photographed, wide and narrow, light and dark."""
_SWITCHES = ["headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "mute-audio"]


def program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.fail(
        f"none of {', '.join(names)} is installed: apt-get install chromium chromium-driver"
    )


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """Tests run as root in containers, where the sandbox cannot start and /dev/shm is small."""
    options = ChromeOptions()
    options.binary_location = program("chromium", "chromium-browser", "google-chrome")
    for switch in [*_SWITCHES, f"user-data-dir={profile}"]:
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, ChromeService(program("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def until(chrome: Chrome, condition: str, *arguments: Any, seconds: float = 20) -> None:
    """Wait for a condition in JavaScript on a page that has loaded, its scripts included."""
    script = f"return document.readyState === 'complete' && Boolean({condition})"
    # While one page gives way to the next, the driver fails in several ways.
    waiting = WebDriverWait(chrome, seconds, 0.05, ignored_exceptions=[WebDriverException])
    what = f"{condition} {arguments}"
    waiting.until(lambda driver: driver.execute_script(script, *arguments), f"{what} does not come")


def sees(chrome: Chrome, text: str, seconds: float = 20) -> None:
    """Wait for text on the page."""
    until(chrome, "document.body.innerText.includes(arguments[0])", text, seconds=seconds)


def press(chrome: Chrome, *keys: str) -> None:
    """Keys go to what has the focus, as they do for people."""
    for key in keys:
        ActionChains(chrome).send_keys(key).perform()


def tab_to(chrome: Chrome, text: str, most: int = 40) -> None:
    """Press Tab until what has the focus says text."""
    said = "return document.activeElement.innerText || document.activeElement.ariaLabel || ''"
    for _ in range(most):
        press(chrome, Keys.TAB)
        if text in str(chrome.execute_script(said)):
            return
    pytest.fail(f"Tab does not come to {text!r}")


def complaints(chrome: Chrome) -> list[str]:
    """What the browser says went wrong: scripts, refused content, missing files."""
    return [entry["message"] for entry in chrome.get_log("browser")]


def shoot(chrome: Chrome, name: str) -> None:
    """Photographs for the documentation, when TRIVOX_SCREENSHOTS says where to."""
    if SHOTS is None:
        return
    for width, height in [(1100, 860), (390, 844)]:
        for scheme in ["light", "dark"]:
            media = [{"name": "prefers-color-scheme", "value": scheme}]
            chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            time.sleep(0.5)  # colours that fade from one scheme to the other
            chrome.save_screenshot(f"{SHOTS}/{name}-{width}-{scheme}.png")
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
