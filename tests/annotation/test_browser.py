"""A person labels a round in a real Chromium, by keyboard alone, against the real server and real sound."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from trivox.annotation.server import serve_labels
from trivox.annotation.waiting import waiting_tasks
from trivox.platform.records import JudgeKind, Judgement, Task
from trivox.platform.store import Workspace

ROUND = "round_secret"
SHOTS = os.environ.get("TRIVOX_SCREENSHOTS")
"""A folder: then every page is photographed, wide and narrow, light and dark."""

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.fail(
        f"none of {', '.join(names)} is installed: apt-get install chromium chromium-driver"
    )


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = program("chromium", "chromium-browser", "google-chrome")
    # Tests run as root in containers, where the sandbox cannot start and /dev/shm is small.
    for switch in [
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "disable-gpu",
        "mute-audio",
    ]:
        options.add_argument(f"--{switch}")
    options.add_argument(f"--user-data-dir={tmp_path / 'chrome'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, ChromeService(program("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def until(chrome: Chrome, text: str) -> None:
    """Wait for text on a page that has loaded, its script included."""
    seen = "return document.readyState === 'complete' && document.body.innerText.includes(arguments[0])"
    # While one page gives way to the next, the driver fails in several ways.
    waiting = WebDriverWait(chrome, 20, 0.05, ignored_exceptions=[WebDriverException])
    waiting.until(lambda driver: driver.execute_script(seen, text), f"{text!r} does not come")


def press(chrome: Chrome, key: str) -> None:
    chrome.switch_to.active_element.send_keys(key)


def shoot(chrome: Chrome, name: str) -> None:
    if SHOTS is None:
        return
    for width, height in [(1000, 760), (390, 844)]:
        for scheme in ["light", "dark"]:
            media = [{"name": "prefers-color-scheme", "value": scheme}]
            chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            chrome.save_screenshot(f"{SHOTS}/{name}-{width}-{scheme}.png")
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def complaints(chrome: Chrome) -> list[str]:
    """What the browser says went wrong: scripts, refused content, missing files."""
    return [entry["message"] for entry in chrome.get_log("browser")]


def enabled(chrome: Chrome) -> int:
    return len(chrome.find_elements(By.CSS_SELECTOR, "[data-choice]:enabled"))


def test_two_comparisons_by_keyboard(
    chrome: Chrome, workspace: Workspace, tasks: list[Task]
) -> None:
    with serve_labels(workspace, ROUND, next_step="Next: trivox round show") as labels:
        chrome.get(labels.url)
        until(chrome, "2 comparisons to judge")
        assert "token" not in chrome.current_url
        shoot(chrome, "name")
        press(chrome, "Ann" + Keys.ENTER)

        until(chrome, "1 of 2")
        assert chrome.find_element(By.CSS_SELECTOR, ".tag").text == "English"
        shoot(chrome, "waiting")
        press(chrome, "2")
        until(chrome, "First listen to both clips")
        assert enabled(chrome) == 0
        press(chrome, "a")
        until(chrome, "A heard. Now listen to the other one.")
        assert enabled(chrome) == 0
        press(chrome, "b")
        until(chrome, "Both heard")
        assert enabled(chrome) == 9
        press(chrome, "?")
        press(chrome, "s")
        shoot(chrome, "help")
        press(chrome, "s")
        press(chrome, "?")
        shoot(chrome, "heard")
        press(chrome, "2")

        until(chrome, "2 of 2")
        text = chrome.find_element(By.CSS_SELECTOR, ".text")
        assert text.get_attribute("lang") == "zh-CN" and text.text == "小船驶过平静的海湾"
        press(chrome, "b")
        until(chrome, "B heard")
        press(chrome, "a")
        until(chrome, "Both heard")
        shoot(chrome, "second")
        assert complaints(chrome) == []
        press(chrome, "8")
        until(chrome, "Thank you, Ann")
        until(chrome, "Next: trivox round show")
        assert labels.wait(timeout=20) == 0
        shoot(chrome, "finished")

    first, second = workspace.records.find(Judgement)
    assert {first.judge_kind, second.judge_kind} == {JudgeKind.HUMAN} and first.judge == "human:Ann"
    assert first.answer.comparison == (2 if first.presentation == tasks[0].items else -2)
    assert second.answer.tie == "both_bad"
    for judgement in (first, second):
        assert all(0.285 <= seconds <= 0.3 for seconds in judgement.heard_s.values())
        assert judgement.taken_s is not None and judgement.taken_s >= 0.57
    assert waiting_tasks(workspace, ROUND) == []


PLAYING = """
return [...document.querySelectorAll(".clip")]
  .filter((clip) => { const sound = clip.querySelector("audio"); return !sound.paused && !sound.ended; })
  .map((clip) => clip.dataset.side).join("")
"""


def test_one_clip_at_a_time_and_skipping(
    chrome: Chrome, workspace: Workspace, long_tasks: list[Task]
) -> None:
    with serve_labels(workspace, ROUND) as labels:
        chrome.get(labels.url)
        until(chrome, "to judge")
        press(chrome, "Bob" + Keys.ENTER)
        until(chrome, "1 of 2")
        for keys, playing in [("a", "A"), ("b", "B"), (" ", ""), (" ", "B"), ("a", "A"), ("a", "")]:
            press(chrome, keys)
            assert chrome.execute_script(PLAYING) == playing
        for then in ("2 of 2", "Thank you, Bob"):
            press(chrome, "s")
            press(chrome, Keys.SPACE)
            press(chrome, Keys.ENTER)
            until(chrome, then)
        assert complaints(chrome) == []
    kinds = {judgement.answer.kind for judgement in workspace.records.find(Judgement)}
    assert kinds == {"abstention"}
