"""How soon an annotator can work: from asking for the page until it is ready, from a key until sound.

In a real headless Chromium on loopback. The limit is what the browser itself takes: a bare file of the same
server, and a tone started by a key on a page that does nothing else. Passed: both medians below 300 ms.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from trivox.annotation.web.serving import ServedApp, listen
from trivox.annotation.webapp import make_site
from trivox.bench.annotation_store import filled
from trivox.bench.harness import REPEATS, Result, Timing
from trivox.platform.errors import ConfigError

LIMIT_S = 0.3
WAIT_S = 30.0
_SWITCHES = ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "mute-audio")
_READY = """
const mark = performance.getEntriesByName('page-ready')[0];
return mark && performance.getEntriesByName('clip-ready-B')[0] ? mark.startTime / 1000 : null
"""
_LOADED = """
const [entry] = performance.getEntriesByType('navigation');
return entry.loadEventEnd > 0 ? entry.loadEventEnd / 1000 : null
"""
_LISTEN = """
performance.clearMarks('audio-start');
document.addEventListener('keydown', () => performance.mark('key'), { capture: true, once: true });
"""
_SOUND = """
const [key] = performance.getEntriesByName('key');
const [sound] = performance.getEntriesByName('audio-start');
return key && sound ? (sound.startTime - key.startTime) / 1000 : null
"""
_TONE = """
performance.clearMarks();
document.addEventListener('keydown', async () => {
  performance.mark('key');
  const context = new AudioContext({ latencyHint: 'interactive' });
  await context.resume();
  new OscillatorNode(context).start();
  performance.mark('audio-start');
}, { capture: true, once: true });
"""


def run(full: bool = False) -> Result:
    """Each side `repeats` times in turn; full takes 30."""
    repeats = 30 if full else 2 * REPEATS
    with tempfile.TemporaryDirectory() as folder, filled(Path(folder) / "ws", 20, 1, None) as made:
        workspace, ((cookie, secret, _),), campaign = made
        app = make_site(workspace)
        with ServedApp(app, listen()) as served, _chromium(Path(folder) / "profile") as chrome:
            chrome.get(f"{served.address}/static/icon.svg")
            chrome.add_cookie({"name": cookie, "value": secret})
            sides = _measure(chrome, served.address, campaign, repeats)
    return _result(sides)


def _measure(chrome: Any, address: str, campaign: str, repeats: int) -> dict[str, Timing]:
    times: dict[str, list[float]] = {"page": [], "bare file": [], "sound": [], "bare tone": []}
    for turn in range(repeats + 1):
        chrome.get(f"{address}/static/icon.svg")
        found = {"bare file": _until(chrome, _LOADED)}
        chrome.get(f"{address}/work/{campaign}")
        found["page"] = _until(chrome, _READY)
        chrome.execute_script(_LISTEN)
        chrome.switch_to.active_element.send_keys("a")
        found["sound"] = _until(chrome, _SOUND)
        chrome.get(f"{address}/")
        chrome.execute_script(_TONE)
        chrome.switch_to.active_element.send_keys("z")
        found["bare tone"] = _until(chrome, _SOUND)
        for side, seconds in found.items():
            if turn:  # the first of each fills caches
                times[side].append(seconds)
    return {side: Timing(tuple(each), tuple(each)) for side, each in times.items()}


def _until(chrome: Any, script: str) -> float:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        found = chrome.execute_script(script)
        if found is not None:
            return float(found)
        time.sleep(0.02)
    raise ConfigError(f"nothing after {WAIT_S:g} s of waiting for the page: {script.strip()[:80]}")


def _result(sides: dict[str, Timing]) -> Result:
    slowest = max(sides["page"].median, sides["sound"].median)
    bare = max(sides["bare file"].median, sides["bare tone"].median)
    return Result(
        name="annotation-page",
        ratio_to_peer={},
        ratio_to_limit=slowest / bare,
        passed=slowest < LIMIT_S,
        threshold=f"page ready and sound after a key each within {LIMIT_S:g} s (median)",
        terms={side: sides[side].median for side in ("bare file", "bare tone")},
        sizes={"repeats": len(sides["page"].seconds), "clip_s": 1.0},
        sides=sides,
        figures={
            "page_median_s": sides["page"].median,
            "page_worst_s": max(sides["page"].seconds),
            "sound_median_s": sides["sound"].median,
            "sound_worst_s": max(sides["sound"].seconds),
            "sound_over_bare_tone_s": median(sides["sound"].seconds)
            - median(sides["bare tone"].seconds),
        },
        notes=("no peer: none of the tools compared has a page that can be timed alike here",),
    )


@contextmanager
def _chromium(profile: Path) -> Iterator[Any]:
    """Raises ConfigError without Chromium, its driver or selenium."""
    try:
        from selenium.webdriver import Chrome, ChromeOptions, ChromeService
    except ModuleNotFoundError:
        raise ConfigError("this bench drives a browser: pip install selenium") from None
    options = ChromeOptions()
    options.binary_location = _program("chromium", "chromium-browser", "google-chrome")
    for switch in (*_SWITCHES, f"user-data-dir={profile}"):
        options.add_argument(f"--{switch}")
    driver = Chrome(options, ChromeService(_program("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def _program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise ConfigError(f"none of {', '.join(names)} is installed: the bench drives a browser")
