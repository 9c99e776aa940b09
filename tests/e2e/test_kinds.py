"""Questions other than the plain comparison, each answered by keyboard in a real Chromium."""

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from tests.annotation.web.sites import Site
from tests.e2e.browser import chromium, complaints, press, sees, shoot, until
from tests.e2e.kinds import HEARD as HYPOTHESIS
from tests.e2e.kinds import every_kind
from tests.e2e.test_annotators import PLAYING, WORKING, hear, join
from trivox.annotation.web.serving import ServedApp, listen
from trivox.platform.records import Judgement, Person, TaskLease
from trivox.platform.store import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.browser]
SHOWN = "document.querySelector(arguments[0])?.innerText ?? ''"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Workspace.create(tmp_path_factory.mktemp("kinds") / "ws") as ws:
        yield every_kind(ws)


@pytest.fixture(scope="module")
def served(site: Site) -> Iterator[ServedApp]:
    with ServedApp(site.app, listen()) as one:
        yield one


@pytest.fixture(scope="module")
def chrome(
    tmp_path_factory: pytest.TempPathFactory, site: Site, served: ServedApp
) -> Iterator[Chrome]:
    """Signed in, every guideline read."""
    with chromium(tmp_path_factory.mktemp("chrome")) as driver:
        join(driver, served, site.invite())
        (ann,) = site.workspace.records.find(Person, subject="ann")
        for name in ("rating", "ranking", "yesno", "reasons", "words", "dialogue"):
            site.house.work.acknowledge(ann.id, f"cp_{name}", 1)
        yield driver


def open_(chrome: Chrome, served: ServedApp, name: str) -> None:
    chrome.get(f"{served.address}/work/cp_{name}")
    until(chrome, WORKING, seconds=60)


def finished(chrome: Chrome, site: Site, name: str) -> Judgement:
    """The one judgement of the campaign; the browser had nothing to complain of."""
    sees(chrome, "All done here")
    assert complaints(chrome) == []
    (one,) = site.workspace.records.find(Judgement, task=f"task_{name}")
    return one


def shown(chrome: Chrome, selector: str) -> str:
    return str(chrome.execute_script(f"return {SHOWN}", selector))


def test_a_rating_goes_scale_by_scale(chrome: Chrome, served: ServedApp, site: Site) -> None:
    open_(chrome, served, "rating")
    press(chrome, "4")
    assert chrome.execute_script("return document.querySelector('[name^=rating-]:checked')") is None
    hear(chrome, "a", 1)
    press(chrome, "4", Keys.ENTER)
    sees(chrome, "2 / 3")
    press(chrome, "2", Keys.ENTER)
    sees(chrome, "3 / 3")
    press(chrome, Keys.BACKSPACE)
    sees(chrome, "2 / 3")
    press(chrome, "3")
    shoot(chrome, "rating")
    press(chrome, Keys.ENTER, "5", Keys.ENTER)
    answer = finished(chrome, site, "rating").answer
    assert answer.ratings == {"naturalness": 4, "sound": 3, "style": 5}


def test_four_clips_are_put_in_order(chrome: Chrome, served: ServedApp, site: Site) -> None:
    """The last is moved to the top by keys; the order is stored by item, best first."""
    open_(chrome, served, "ranking")
    for count, key in enumerate("1234", 1):
        hear(chrome, key, count)
    for _ in range(3):
        press(chrome, Keys.ARROW_UP)
    sees(chrome, "D is now in place 1.")
    shoot(chrome, "ranking")
    press(chrome, Keys.ENTER)
    one = finished(chrome, site, "ranking")
    first = one.presentation
    assert one.answer.ranking == (first[3], *first[:3])


def test_yes_or_no(chrome: Chrome, served: ServedApp, site: Site) -> None:
    open_(chrome, served, "yesno")
    hear(chrome, "a", 1)
    press(chrome, "n")
    shoot(chrome, "yesno")
    press(chrome, Keys.ENTER)
    assert finished(chrome, site, "yesno").answer.check is False


def test_a_reason_in_words_is_asked_for(chrome: Chrome, served: ServedApp, site: Site) -> None:
    """Without one nothing is sent; the reference voice plays by key and opens nothing."""
    open_(chrome, served, "reasons")
    press(chrome, "v")
    until(chrome, "document.querySelector('.reference')")
    hear(chrome, "a", 1)
    hear(chrome, "b", 2)
    press(chrome, "2", Keys.ENTER)
    sees(chrome, "Say in words why, then send.")
    assert site.workspace.records.find(Judgement, task="task_reasons") == []
    press(chrome, "B swallows the last word.")
    shoot(chrome, "reasons")
    press(chrome, Keys.TAB)
    until(chrome, "!document.activeElement.matches('textarea')")
    chrome.find_element("css selector", "[data-do=send]").send_keys(Keys.ENTER)
    one = finished(chrome, site, "reasons")
    assert one.comment == "B swallows the last word." and one.answer.comparison in (2, -2)


def test_a_transcript_is_corrected_with_its_changes_marked(
    chrome: Chrome, served: ServedApp, site: Site
) -> None:
    open_(chrome, served, "words")
    assert shown(chrome, ".diff") == HYPOTHESIS
    hear(chrome, "a", 1)
    chrome.execute_script("document.querySelector('[name=transcript]').value = ''")
    press(chrome, "i")
    press(chrome, HYPOTHESIS.replace("quite", "quiet").replace("before rain", "before the rain"))
    until(chrome, "document.querySelectorAll('.diff ins').length > 0")
    marks = (
        "return [...document.querySelectorAll(arguments[0])]"
        ".map((one) => one.textContent.trim()).filter(Boolean)"
    )
    assert chrome.execute_script(marks, ".diff del") == ["quite"]
    assert chrome.execute_script(marks, ".diff ins") == ["quiet", "the"]
    shoot(chrome, "transcript")
    chrome.find_element("css selector", "[data-do=send]").send_keys(Keys.ENTER)
    said = finished(chrome, site, "words").answer.transcript
    assert said == "the small boat crossed the quiet bay before the rain came"


def test_replies_are_judged_in_their_dialogue(
    chrome: Chrome, served: ServedApp, site: Site
) -> None:
    """The character, three turns that play by key one after the other, then the two replies."""
    open_(chrome, served, "dialogue")
    assert "night-shift nurse" in shown(chrome, ".asked")
    assert shown(chrome, ".turns").count("Play") == 3
    played = "[...document.querySelectorAll('.turns .small-clip')].length === 3"
    until(chrome, played)
    press(chrome, "t")
    until(chrome, f"!{PLAYING}")
    fetched = "performance.getEntriesByType('resource').filter((one) => one.name.includes('/audio/')).length >= 5"
    until(chrome, fetched, seconds=60)  # the history is loaded beside the replies
    assert chrome.execute_script("return document.querySelector('fieldset.answers').disabled")
    hear(chrome, "a", 1)
    hear(chrome, "b", 2)
    press(chrome, "6")
    shoot(chrome, "dialogue")
    press(chrome, Keys.ENTER)
    one = finished(chrome, site, "dialogue")
    (held,) = site.workspace.records.find(TaskLease, task="task_dialogue")
    assert {clip.role for clip in held.clips} == {"item", "history"}
    side = one.answer.comparison or 0
    items = site.workspace.records.find(type(held), id=held.id)[0].presentation
    assert abs(side) == 3 and set(items) == set(one.heard_s)
