"""The dashboard in a real browser: a researcher starts a round from the form, watches a worker finish it,
promotes what it made; a viewer can do none of it. Server and worker are processes of their own: before the round
has begun the browser leaves, and the dashboard ends and is started anew."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.e2e.browser import chromium, complaints, sees, until
from trivox.annotation.people import accounts, invites
from trivox.annotation.people.audit import THE_SYSTEM
from trivox.pipelines.workspaces import init_workspace
from trivox.platform.records import (
    AuditEntry,
    PolicyStatus,
    PolicyVersion,
    Role,
    Round,
    RoundStatus,
)
from trivox.platform.store import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.browser]
PASSWORD = "correct horse battery staple"
START_S, ROUND_S = 120.0, 1200.0
# Table of the form -> field -> what is typed: small enough for a minute on two free cores.
SMALL = {
    "rollout": {
        "prompts": "4",
        "candidates": "3",
        "max_tokens": "160",
        "slots": "6",
        "workers": "1",
    },
    "score": {"workers": "1"},
    "aggregate": {"min_confidence": "0.5"},
    "train": {"epochs": "1", "batch_size": "4"},
    "evaluate": {"prompts": "3"},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with init_workspace(tmp_path_factory.mktemp("dashboard") / "ws") as ws:
        for role in (Role.RESEARCHER, Role.VIEWER):
            guest = invites.Guest(role.value.title(), roles=(role,))
            ((_, token),) = invites.invite(ws, THE_SYSTEM, [guest], timedelta(days=1))
            accounts.accept(ws, token, role.value, PASSWORD)
        yield ws


@contextmanager
def served(ws: Workspace) -> Iterator[str]:
    """`trivox dashboard` as its own process; yields its address."""
    command = [
        sys.executable,
        "-m",
        "trivox.cli",
        "dashboard",
        "--workspace",
        str(ws.root),
        "--port",
        "0",
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"}
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.match(r"(http://\S+) ;", line):
                yield found[1]
                return
        pytest.fail("the dashboard ended before it listened")
    finally:
        process.terminate()
        process.wait(20)
        if process.stderr is not None:
            process.stderr.close()


@contextmanager
def working(ws: Workspace) -> Iterator["subprocess.Popen[bytes]"]:
    """`trivox worker` as its own process, for what is queued."""
    command = [sys.executable, "-m", "trivox.cli", "worker", "--once", "-w", str(ws.root)]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def window(folder: Path) -> Iterator[Chrome]:
    """A browser; where a wait in it ends without its condition, what stood on the page is told."""
    with chromium(folder / "profile") as chrome:
        chrome.set_window_size(1400, 1400)
        try:
            yield chrome
        except WebDriverException as error:
            seen = str(chrome.execute_script("return document.body.innerText"))
            shown = [one for one in seen.splitlines() if one.strip()]
            error.add_note("\n".join(["the page:", *shown, *complaints(chrome)]))
            raise


def sign_in(chrome: Chrome, address: str, login: str) -> None:
    chrome.delete_all_cookies()
    chrome.get(f"{address}/rounds?view=New+round")
    until(chrome, "location.pathname === '/sign-in'")
    chrome.find_element(By.NAME, "login").send_keys(login)
    chrome.find_element(By.NAME, "password").send_keys(PASSWORD, Keys.ENTER)
    sees(chrome, "Signed in as", START_S)


def test_a_researcher_starts_watches_and_promotes_and_a_viewer_cannot(
    workspace: Workspace, tmp_path: Path
) -> None:
    with window(tmp_path) as chrome:
        with served(workspace) as address:
            sign_in(chrome, address, "researcher")
            round_ = start(chrome, workspace)
            chrome.get("about:blank")
        with working(workspace) as work, served(workspace) as address:
            watch(chrome, address, round_)
            assert work.wait(60) == 0
            promote(chrome, workspace, round_)
            sign_in(chrome, address, "viewer")
            look(chrome, address, round_, tmp_path / "saved")
    told = [(one.actor == "system", one.action) for one in workspace.records.find(AuditEntry)]
    assert (False, "enqueue round") in told and (False, "promote policy") in told


def start(chrome: Chrome, ws: Workspace) -> str:
    """Fill in the form, see the estimate, start; returns the round's id."""
    sees(chrome, "Dry run", START_S)
    for table, fields in SMALL.items():
        unfold(chrome, table)
        for name, value in fields.items():
            fill(chrome, table, name, value)
    unfold(chrome, "label")
    choose(chrome, "label", "judges", "simulated")
    press(chrome, "Dry run")
    sees(chrome, "It can run.", START_S)
    sees(chrome, "Judged by simulated judges.")
    press(chrome, "Start")
    sees(chrome, "is queued", START_S)
    (made,) = ws.records.find(Round)
    assert made.config["rollout"]["prompts"] == 4 and made.config["label"]["judges"] == "simulated"
    return made.id


def watch(chrome: Chrome, address: str, round_: str) -> None:
    """The page moves by itself, without being loaded anew."""
    chrome.get(f"{address}/rounds?round={round_}")
    sees(chrome, "Stages", START_S)
    until(chrome, "window.stayed = true")
    until(chrome, "/is done at stage publish/.test(document.body.innerText)", seconds=ROUND_S)
    assert chrome.execute_script("return window.stayed")


def promote(chrome: Chrome, ws: Workspace, round_: str) -> None:
    (made,) = ws.records.find(PolicyVersion, round=round_)
    if made.status not in (PolicyStatus.PROMOTED, PolicyStatus.PROXY):
        press(chrome, f"Promote {made.name}")
        reason = "//input[contains(@aria-label, 'Reason to promote')]"
        WebDriverWait(chrome, 20).until(lambda driver: driver.find_elements(By.XPATH, reason))
        chrome.find_element(By.XPATH, reason).send_keys("a test of promotion", Keys.TAB)
        press(chrome, "Promote")
    until(chrome, "/which is promoted/.test(document.body.innerText)", seconds=60)
    assert ws.records.get(PolicyVersion, made.id).status in (
        PolicyStatus.PROMOTED,
        PolicyStatus.PROXY,
    )
    assert ws.records.get(Round, round_).status is RoundStatus.DONE


def look(chrome: Chrome, address: str, round_: str, folder: Path) -> None:
    """What a viewer sees: the same round, tables to take along, and nothing to start or decide with. The address
    says what was picked."""
    sees(chrome, "You may look at rounds", START_S)
    chrome.get(f"{address}/rounds?round={round_}")
    sees(chrome, "Stages", START_S)
    named = "return [...document.querySelectorAll('button')].map(one => one.innerText).join('|')"
    buttons = str(chrome.execute_script(named))
    assert not re.search("Promote|Pause|Cancel|Retry|Start|Dry run", buttons)
    save(chrome, "Stages", folder)
    press(chrome, "Compare")
    until(chrome, "location.search.includes('view=Compare')")


def save(chrome: Chrome, table: str, folder: Path) -> None:
    """A table as CSV, made when it is asked for: here the first of the page."""
    folder.mkdir()
    where = {"behavior": "allow", "downloadPath": str(folder)}
    chrome.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    press(chrome, "CSV", place=0)
    file = folder / f"trivox-{table.lower()}.csv"
    WebDriverWait(chrome, 60).until(lambda driver: file.is_file() and file.stat().st_size)
    head, *rows = file.read_text(encoding="utf-8").splitlines()
    assert head.startswith("stage,state,") and len(rows) == 8


def unfold(chrome: Chrome, table: str) -> None:
    summary = (
        f"//details//summary[normalize-space()='{table}' or .//p[normalize-space()='{table}']]"
    )
    click(chrome, summary)
    until(
        chrome,
        "[...document.querySelectorAll('details[open] summary')].some(s => s.innerText.includes(arguments[0]))",
        table,
    )


def click(chrome: Chrome, place: str) -> Any:
    """Click on an element, in the middle of the window, where no bar lies over it; returns it."""
    found = _into_view(chrome, chrome.find_element(By.XPATH, place))
    found.click()
    return found


def _into_view(chrome: Chrome, element: Any) -> Any:
    chrome.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    return element


def _field(table: str, name: str) -> str:
    return f"//details[.//summary[contains(., '{table}')]]//input[@aria-label='{name}']"


def fill(chrome: Chrome, table: str, name: str, value: str) -> None:
    """Type into a field of the form and leave it."""
    field = WebDriverWait(chrome, 20).until(
        lambda driver: driver.find_element(By.XPATH, _field(table, name))
    )
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(value, Keys.TAB)
    idle(chrome)


def choose(chrome: Chrome, table: str, name: str, option: str) -> None:
    """Pick from a list by typing."""
    inside = f"//details[.//summary[contains(., '{table}')]]"
    place = f"{inside}//*[@data-testid='stSelectbox'][.//label[contains(., '{name}')]]//input"
    box = click(chrome, place)
    box.send_keys(option, Keys.ENTER)
    idle(chrome)


def press(chrome: Chrome, text: str, place: int = -1) -> None:
    button = f"//button[normalize-space()='{text}' or .//p[normalize-space()='{text}']]"
    found = WebDriverWait(chrome, 20).until(lambda driver: driver.find_elements(By.XPATH, button))
    _into_view(chrome, found[place]).click()
    idle(chrome)


def idle(chrome: Chrome) -> None:
    """Wait until the page is not being drawn."""
    until(
        chrome,
        "!document.querySelector('[data-testid=stStatusWidget]') && !document.querySelector('[data-stale=true]')",
        seconds=60,
    )
