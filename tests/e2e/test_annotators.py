"""Annotators at work in a real Chromium, by keyboard alone, against the real app and real sound."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from tests.annotation.web.sites import Site, plain_site, trained_site
from tests.e2e.browser import chromium, complaints, press, sees, shoot, tab_to, until
from trivox.annotation.web.checks import GAP_S, RATE, ROUNDS, TONE_S
from trivox.annotation.web.serving import ServedApp, listen
from trivox.platform.records import (
    Judgement,
    LeaseStatus,
    Person,
    Purpose,
    Task,
    TaskLease,
)
from trivox.platform.store import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.browser]
PASSWORD = "a sentence that is mine"
WORKING = "document.querySelector('#task .clip canvas')"
PLAYING = "document.querySelector('.clip.playing')"
HEARD = "document.querySelectorAll('.clip.heard').length === arguments[0]"
OPEN = "!document.querySelector('fieldset.answers').disabled"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "workspace") as made:
        yield made


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[Chrome]:
    with chromium(tmp_path / "chrome") as driver:
        yield driver


def join(chrome: Chrome, served: ServedApp, link: str) -> None:
    """From the invitation to the start page."""
    chrome.get(served.address + link)
    sees(chrome, "Welcome to Trivox")
    shoot(chrome, "invite")
    press(chrome, "ann" + Keys.TAB)
    press(chrome, Keys.TAB)
    press(chrome, PASSWORD + Keys.ENTER)
    sees(chrome, "What is waiting")


def enter_campaign(chrome: Chrome) -> None:
    shoot(chrome, "home")
    tab_to(chrome, "Read the guideline")
    press(chrome, Keys.ENTER)
    sees(chrome, "What to listen for")
    shoot(chrome, "guideline")
    press(chrome, Keys.ENTER)


def quietest(site: Site, round_: int) -> int:
    """What ears with headphones on find: each channel alone."""
    (name,) = site.house.checks._open
    person = site.house.checks._open[name].person
    sound = site.house.checks.sound(person, name, round_)
    step = round((TONE_S + GAP_S) * RATE)
    return int(np.argmin([np.abs(sound[place * step :][:step]).max() for place in range(3)]))


def pass_the_check(chrome: Chrome, site: Site) -> None:
    sees(chrome, "Headphones and volume")
    press(chrome, " ")
    until(chrome, "!document.getElementById('volume-done').disabled")
    shoot(chrome, "volume")
    press(chrome, Keys.ENTER)
    until(chrome, "!document.getElementById('phones').hidden")
    press(chrome, " ")
    for round_ in range(ROUNDS):
        text = f"Round {round_ + 1} of {ROUNDS}"
        sees(chrome, text)
        until(chrome, "!document.querySelector('[data-tone]').disabled", seconds=30)
        shoot(chrome, "headphones") if round_ == 0 else None
        press(chrome, str(quietest(site, round_) + 1))
    sees(chrome, "Headphones and volume are fine")
    press(chrome, Keys.ENTER)


def listen_to_both(chrome: Chrome) -> None:
    until(chrome, WORKING)
    hear(chrome, "a", 1)
    assert not chrome.execute_script(f"return {OPEN}")
    hear(chrome, "b", 2)
    until(chrome, OPEN)


def hear(chrome: Chrome, key: str, count: int) -> None:
    """Play a clip to its end, until so many are heard; again, as a person would, where a busy machine lost part
    of the sound: then the server says that it was not heard; and where the key came while a question went."""
    for _ in range(5):
        press(chrome, key)
        with suppress(TimeoutException):
            until(chrome, f"{PLAYING} || {HEARD}", count, seconds=15)
            until(chrome, f"!{PLAYING} || {HEARD}", count, seconds=60)
            until(chrome, HEARD, count, seconds=8)
            return
    pytest.fail(f"after five times clip {key} is not heard")


def open_lease(site: Site, person: Person) -> TaskLease:
    (held,) = site.workspace.records.find(TaskLease, person=person.id, status=LeaseStatus.OPEN)
    return held


def the_person(site: Site) -> Person:
    (person,) = site.workspace.records.find(Person, subject="ann")
    return person


def test_from_invite_to_ten_judged_pairs_by_keyboard_alone(
    chrome: Chrome, workspace: Workspace
) -> None:
    site = trained_site(workspace, 10)
    with ServedApp(site.app, listen()) as served:
        join(chrome, served, site.invite())
        enter_campaign(chrome)
        pass_the_check(chrome, site)
        person = the_person(site)
        assert person.device_checked_at is not None
        for _ in range(2):
            train(chrome, site, person)
        for number in range(10):
            sees(chrome, f"{number} done, {10 - number} to go")
            listen_to_both(chrome)
            if number == 0:
                shoot(chrome, "compare")
            press(chrome, str(number % 9 + 1))
            press(chrome, Keys.ENTER)
        sees(chrome, "All done here")
        shoot(chrome, "done")
        assert complaints(chrome) == []

    mine = workspace.records.find(Judgement, judge=f"human:{person.id}")
    assert [one.purpose for one in mine] == [Purpose.TRAINING] * 2 + [Purpose.JUDGE] * 10
    judged = mine[2:]
    assert len({one.task for one in judged}) == 10
    for number, one in enumerate(judged):
        assert answer_as_shown(workspace, one) == [3, 2, 1, -1, -2, -3, *TIES][number % 9]
        assert all(seconds >= 0.95 for seconds in one.heard_s.values())
        assert one.gains_db and one.ui_version == "web@1" and one.guideline_version == 1


TIES = ["both_good", "both_bad", "cannot_tell"]


def answer_as_shown(workspace: Workspace, judgement: Judgement) -> Any:
    """The answer turned to the order in which the page had the clips."""
    if judgement.answer.tie is not None:
        return judgement.answer.tie.value
    task = workspace.records.get(Task, judgement.task)
    strength = judgement.answer.comparison or 0
    return strength if judgement.presentation == task.items else -strength


def train(chrome: Chrome, site: Site, person: Person) -> None:
    sees(chrome, "Practice")
    listen_to_both(chrome)
    held = open_lease(site, person)
    first_shown_first = held.presentation == site.workspace.records.get(Task, held.task).items
    press(chrome, "2" if first_shown_first else "5")
    press(chrome, Keys.ENTER)
    sees(chrome, "As expected")
    sees(chrome, "The other one swallows a word.")
    shoot(chrome, "feedback")
    press(chrome, Keys.ENTER)


def judged(workspace: Workspace) -> list[Judgement]:
    return workspace.records.find(Judgement)


def begin(chrome: Chrome, served: ServedApp, site: Site) -> None:
    """Straight to the first question."""
    join(chrome, served, site.invite())
    enter_campaign(chrome)
    until(chrome, WORKING)


FORGE = """
const done = arguments[0];
const task = document.getElementById("task");
const token = document.querySelector("meta[name=csrf-token]").content;
fetch(`/api/v1/leases/${task.dataset.lease}/answer`, {
  method: "POST",
  headers: { "Content-Type": "application/json", "X-CSRF-Token": token },
  body: JSON.stringify({ kind: "comparison", comparison: 3, idempotency_key: "forged-answer" }),
}).then(async (response) => done([response.status, (await response.json()).error]));
"""
COMPOSE = """
for (const [key, more] of [["s", { isComposing: true }], ["u", { keyCode: 229 }]]) {
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...more }));
}
return document.querySelector("dialog[open]") === null;
"""
KEPT = """
return ["[name=comment]", "[name=choice]:checked"].map((one) => document.querySelector(one).value)
"""
STATE = """
const playing = [...document.querySelectorAll(".clip.playing")].map((row) => row.dataset.label);
return playing.join("")
"""


def test_hearing_skipping_undoing_and_typing(chrome: Chrome, workspace: Workspace) -> None:
    site = plain_site(workspace, 3)
    with ServedApp(site.app, listen()) as served:
        begin(chrome, served, site)
        status, text = chrome.execute_async_script(FORGE)
        assert status == 409 and "listen to it" in text
        press(chrome, "2", Keys.ENTER)
        sees(chrome, "First listen to all of it.")
        assert judged(workspace) == []

        for keys, playing in [("a", "A"), ("b", "B"), (" ", ""), ("x", "A"), ("x", "B"), ("b", "")]:
            press(chrome, keys)
            until(chrome, f"(() => {{ {STATE} }})() === arguments[0]", playing)
        hear(chrome, "r", 1)
        hear(chrome, "a", 2)
        until(chrome, OPEN)

        # What is typed is text, and what is composed is not for us.
        press(chrome, "c")
        press(chrome, "sub? 12")
        assert chrome.execute_script(COMPOSE)
        press(chrome, Keys.TAB)
        press(chrome, "m", "m", "5")
        sees(chrome, "draft saved")
        chrome.refresh()
        until(chrome, OPEN)
        assert chrome.execute_script(KEPT) == ["sub? 12", "-2"]
        assert len(chrome.find_elements("css selector", ".spans li")) == 1
        press(chrome, Keys.ENTER)
        sees(chrome, "1 done, 2 to go")
        (first,) = judged(workspace)
        assert first.comment == "sub? 12" and len(first.spans) == 1
        assert answer_as_shown(workspace, first) == -2

        press(chrome, "u")
        sees(chrome, "You are changing your last answer")
        until(chrome, OPEN)
        press(chrome, "7", Keys.ENTER)
        until(chrome, "!document.body.innerText.includes('changing your last')")
        sees(chrome, "1 done, 2 to go")
        assert [one.supersedes for one in judged(workspace)] == [None, first.id]

        press(chrome, "s")
        press(chrome, "1", Keys.ENTER)
        sees(chrome, "2 done, 1 to go")
        assert judged(workspace)[-1].answer.abstention == "broken_audio"
        refused = [one for one in complaints(chrome) if "409" not in one]
        assert refused == []


STRETCH = """
const [speed, done] = arguments;
import("/static/stretch.js").then(({ stretch }) => {
  const rate = 24000;
  const tone = new AudioBuffer({ length: rate, numberOfChannels: 1, sampleRate: rate });
  const sine = (_, i, all) => { all[i] = 0.5 * Math.sin(2 * Math.PI * 440 * i / rate); };
  tone.getChannelData(0).forEach(sine);
  const made = stretch(tone, speed).getChannelData(0);
  let crossings = 0;
  let jump = 0;
  for (let i = 1; i < made.length; i += 1) {
    crossings += made[i - 1] < 0 && made[i] >= 0;
    jump = Math.max(jump, Math.abs(made[i] - made[i - 1]));
  }
  done([made.length / rate, crossings / (made.length / rate), jump]);
});
"""


def test_slower_and_faster_keep_the_pitch(chrome: Chrome, workspace: Workspace) -> None:
    """A tone of 440 Hz steps by at most 0.5 * 2 pi * 440 / 24000 = 0.0576 between samples: more is a click."""
    site = plain_site(workspace, 1)
    with ServedApp(site.app, listen()) as served:
        chrome.get(served.address + "/sign-in")
        for speed in (0.5, 0.75, 1, 1.25, 1.5):
            seconds, hertz, jump = chrome.execute_async_script(STRETCH, speed)
            assert seconds == pytest.approx(1 / speed, abs=0.001)
            assert hertz == pytest.approx(440, rel=0.02)
            assert jump < 0.06


SWITCHING = """
const [fade, done] = arguments;
import("/static/fade.js").then(async ({ begin, end, AHEAD_S }) => {
  const rate = 48000;
  const context = new OfflineAudioContext(1, rate, rate);
  const tone = (hertz) => {
    const made = new AudioBuffer({ length: 2 * rate, numberOfChannels: 1, sampleRate: rate });
    const sine = (_, i, all) => { all[i] = 0.5 * Math.sin(2 * Math.PI * hertz * i / rate); };
    made.getChannelData(0).forEach(sine);
    return made;
  };
  const clips = [tone(220), tone(330)];
  let live = begin(context, clips[0], 0, AHEAD_S, context.destination);
  // What the player does, at moments of its own; the third comes while the second still fades.
  [0.2137, 0.41, 0.4165, 0.77].forEach((moment, place) => context.suspend(moment).then(() => {
    const at = context.currentTime + AHEAD_S;
    if (fade) end(live, at); else live.source.stop(at);
    if (fade) live = begin(context, clips[(place + 1) % 2], at, at, context.destination);
    else {
      const source = context.createBufferSource();
      source.buffer = clips[(place + 1) % 2];
      source.connect(context.destination);
      source.start(at, at);
      live = { source };
    }
    context.resume();
  }));
  const made = (await context.startRendering()).getChannelData(0);
  let jump = 0;
  let quiet = 0;
  let where = 0;
  for (let i = 1; i < made.length; i += 1) {
    const step = Math.abs(made[i] - made[i - 1]);
    if (step > jump) { jump = step; where = i / rate; }
  }
  for (let i = rate / 2; i < 0.7 * rate; i += 1) quiet = Math.max(quiet, Math.abs(made[i]));
  done([jump, quiet, where]);
});
"""


def test_switching_clips_makes_no_click(chrome: Chrome, workspace: Workspace) -> None:
    """The sound of four switches between tones of 0.5, rendered: the steeper of them moves by at most
    0.5 * 2 pi * 330 / 48000 = 0.0216 from sample to sample, two ramps of 12 ms by 0.5 / 576 = 0.0009 each, and
    where a switch comes within a fade two tones move at once. A hard cut, as a check of the test, steps further.
    """
    site = plain_site(workspace, 1)
    with ServedApp(site.app, listen()) as served:
        chrome.get(served.address + "/sign-in")
        jump, loudest, where = chrome.execute_async_script(SWITCHING, True)
        assert jump < 0.0216 + 0.0144 + 2 * 0.0009, where
        assert loudest == pytest.approx(0.5, abs=0.01)  # it does play
        hard, _, _ = chrome.execute_async_script(SWITCHING, False)
        assert hard > 0.1
