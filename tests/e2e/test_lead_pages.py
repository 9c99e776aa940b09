"""A lead in a real Chromium: campaigns, invitations, reviews, struck-out work, guidelines, hours, results."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By as Where
from selenium.webdriver.common.keys import Keys

from tests.annotation.conftest import ROUND, waiting_round
from tests.annotation.web.sites import Site, site_of
from tests.annotation.work.conftest import FIRST, Desk
from tests.e2e.browser import chromium, complaints, press, sees, shoot, until
from trivox.annotation.leads import inquiries
from trivox.annotation.people import accounts
from trivox.annotation.people.audit import By
from trivox.annotation.people.invites import Guest, invite
from trivox.annotation.web.serving import ServedApp, listen
from trivox.platform.records import (
    Campaign,
    Guideline,
    InquiryKind,
    Invite,
    Judgement,
    Person,
    PreferenceSet,
    Role,
    Task,
    TaskState,
    WorkPause,
)
from trivox.platform.store import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.browser]
PASSWORD = "a sentence that is mine"
CSV = """
const done = arguments[0];
fetch(document.querySelector("a[download]").href).then((one) => one.text()).then(done);
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A round of two prompts in English and Chinese that waits for people."""
    with Workspace.create(tmp_path / "ws") as ws:
        waiting_round(ws)
        (held,) = ws.records.find(Campaign)
        yield site_of(ws, held)


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[Chrome]:
    with chromium(tmp_path / "chrome") as driver:
        yield driver


def member(site: Site, name: str, role: Role, **about: object) -> Person:
    guest = replace(Guest(name.title(), roles=(role,), languages={"en": "native"}), **about)  # type: ignore[arg-type]
    ((_, token),) = invite(site.workspace, By("lead"), [guest])
    person, _ = accounts.accept(site.workspace, token, name, PASSWORD, address=None)
    return person


def fill(chrome: Chrome, name: str, text: str) -> None:
    field = chrome.find_element(Where.CSS_SELECTOR, f"details[open] [name={name}]")
    field.clear()
    field.send_keys(text)


def unfold(chrome: Chrome, summary: str) -> None:
    chrome.find_element(Where.XPATH, f"//summary[contains(., '{summary}')]").click()
    until(chrome, "document.querySelector('details[open]')")


def push(chrome: Chrome, words: str, place: str = "") -> None:
    """The button that says so, by keyboard."""
    button = chrome.find_element(Where.XPATH, f"{place}//button[contains(., '{words}')]")
    button.send_keys(Keys.ENTER)


def work_of(site: Site, person: Person, campaign: Campaign) -> None:
    """Somebody answers both comparisons without a browser, and asks something."""
    desk = Desk(site.workspace)
    desk.enter(person.id, campaign)
    for _ in range(2):
        desk.judge(person.id, campaign, FIRST)


def test_a_lead_runs_a_campaign(chrome: Chrome, site: Site) -> None:
    ws = site.workspace
    member(site, "lea", Role.LEAD)
    with ServedApp(site.app, listen()) as served:
        chrome.get(served.address + "/sign-in")
        press(chrome, "lea" + Keys.TAB, PASSWORD + Keys.ENTER)
        sees(chrome, "Campaigns and people")
        chrome.get(served.address + "/leads")
        campaign = create(chrome, ws)
        people(chrome, ws, served)
        ann = member(site, "ann", Role.ANNOTATOR, languages={"en": "native", "zh": "native"})
        work_of(site, ann, campaign)
        inquiries.ask(ws, ann.id, campaign.id, InquiryKind.QUESTION, "May I use loudspeakers?")
        answer(chrome, ws, served)
        results(chrome, ws, served, campaign)
        review_and_void(chrome, ws, served, campaign, ann)
        new_guideline(chrome, ws, campaign)
        assert complaints(chrome) == []


def create(chrome: Chrome, ws: Workspace) -> Campaign:
    unfold(chrome, "New campaign")
    fill(chrome, "name", "Replies of May")
    fill(chrome, "languages", "en zh-CN")
    fill(chrome, "overlap", "2")
    fill(chrome, "english", "# Listen\n\nWrong words weigh most.")
    fill(chrome, "chinese", "# 听\n\n错词最重要。")
    fill(chrome, "warning", "Some texts are sad.")
    for name, option in (("branch", "tts"), ("round", ROUND)):
        place = f"details[open] select[name={name}]"
        chrome.find_element(Where.CSS_SELECTOR, place).send_keys(option)
    shoot(chrome, "leads-create")
    push(chrome, "Create the campaign")
    sees(chrome, "Nobody has answered yet.")
    (made,) = [one for one in ws.records.find(Campaign) if one.name == "Replies of May"]
    assert (made.languages, made.overlap) == (("en", "zh-CN"), 2)
    assert len(ws.records.find(Task, campaign=made.id)) == 2
    return made


def people(chrome: Chrome, ws: Workspace, served: ServedApp) -> None:
    chrome.get(served.address + "/leads/people")
    rows = chrome.find_element(Where.CSS_SELECTOR, "[name=rows]")
    rows.clear()
    rows.send_keys(
        "name,email,languages\nBo,bo@example.org,en:native zh-CN:fluent\nCem,cem@example.org,en:fluent"
    )
    push(chrome, "Make the links")
    sees(chrome, "Links, shown this once")
    shoot(chrome, "leads-people")
    links = [one.text for one in chrome.find_elements(Where.CSS_SELECTOR, "td code")]
    assert len(links) == len(set(links)) == 2 and all("/invite/" in link for link in links)
    assert {one.name for one in ws.records.find(Invite, used_at=None)} == {"Bo", "Cem"}
    stored = str(ws.records.find(Invite))
    assert not any(link.rsplit("/", 1)[1] in stored for link in links)  # hashed


def answer(chrome: Chrome, ws: Workspace, served: ServedApp) -> None:
    chrome.get(served.address + "/leads")
    sees(chrome, "May I use loudspeakers?")
    chrome.find_element(Where.CSS_SELECTOR, "textarea[name=text]").send_keys("Headphones, please.")
    shoot(chrome, "leads-home")
    hours = chrome.execute_async_script(CSV)
    assert hours.splitlines()[0].startswith("day,campaign,person,name,answers")
    assert ",Ann,2,0," in hours
    push(chrome, "Send the answer")
    until(chrome, "!document.body.innerText.includes('loudspeakers')")
    (one,) = ws.records.find(inquiries.Inquiry)
    assert one.answer == "Headphones, please."


def results(chrome: Chrome, ws: Workspace, served: ServedApp, campaign: Campaign) -> None:
    chrome.get(f"{served.address}/leads/campaigns/{campaign.id}/results")
    sees(chrome, "2 of 4 judgements")
    shoot(chrome, "leads-results")
    push(chrome, "Store the preferences")
    sees(chrome, "2 preferences")
    assert len(ws.records.find(PreferenceSet)[0].preferences) == 2


def review_and_void(
    chrome: Chrome, ws: Workspace, served: ServedApp, campaign: Campaign, ann: Person
) -> None:
    """A sample plays; after voiding, both comparisons are asked anew, and Ann's work is paused with the reason."""
    chrome.get(f"{served.address}/leads/campaigns/{campaign.id}")
    sees(chrome, "A sample of the answers")
    loaded = (
        "const [audio] = document.querySelectorAll('audio'); audio.preload = 'auto'; audio.load();"
    )
    chrome.execute_script(loaded)
    until(chrome, "document.querySelector('audio').duration > 0")
    shoot(chrome, "leads-campaign")
    chrome.find_element(Where.CSS_SELECTOR, "form [name=reason]").send_keys("Let us talk first.")
    push(chrome, "Void all answers")
    sees(chrome, "Paused: Let us talk first.")
    shoot(chrome, "leads-voided")
    states = ws.records.find(TaskState, campaign=campaign.id)
    assert [(one.answered, one.taken) for one in states] == [(0, 0), (0, 0)]
    assert len(ws.records.find(Judgement, judge=f"human:{ann.id}")) == 2  # kept
    push(chrome, "Let them go on")
    until(chrome, "!document.body.innerText.includes('Paused:')")
    assert ws.records.find(WorkPause, person=ann.id, lifted_at=None) == []


def new_guideline(chrome: Chrome, ws: Workspace, campaign: Campaign) -> None:
    unfold(chrome, "New version of the guideline")
    fill(chrome, "english", "# Listen\n\nThen decide.")
    chrome.find_element(Where.NAME, "requalify").send_keys(" ")
    push(chrome, "Publish version 2")
    sees(chrome, "guideline 2")
    newest = ws.records.find(Guideline, campaign=campaign.id)[-1]
    assert newest.requalify and "Then decide." in newest.texts["en"] and newest.texts["zh"]
    assert ws.records.get(Campaign, campaign.id).plan.trained_from == 2
