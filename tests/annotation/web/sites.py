"""The whole app over a workspace with a campaign in it, as tests of pages and browsers need it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from fastapi import FastAPI

from tests.annotation.work.conftest import PLAIN, campaign
from trivox.annotation.people.audit import By
from trivox.annotation.people.invites import Guest, invite
from trivox.annotation.web.house import House
from trivox.annotation.webapp import make_site
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Campaign,
    Control,
    Guideline,
    Person,
    Pool,
    Purpose,
    Task,
    WorkPlan,
)
from trivox.platform.store import Workspace

LEAD = "lead"
GUIDELINE = {
    "en": "# What to listen for\n\nWrong or missing **words** weigh most.",
    "zh": "# 听什么\n\n说错或漏掉的**词**最重要。",
}


@dataclass(frozen=True)
class Site:
    """app: all pages and the API. house: with its checks and work, as the app has them."""

    workspace: Workspace
    app: FastAPI
    house: House
    campaign: Campaign

    def invite(self, name: str = "Ann", **about: object) -> str:
        """The path of a new invitation's link."""
        guest = replace(Guest(name, languages={"en": "native"}), **about)  # type: ignore[arg-type]
        ((_, token),) = invite(self.workspace, By(LEAD), [guest])
        return f"/invite/{token}"


def site_of(workspace: Workspace, held: Campaign) -> Site:
    workspace.records.add(Person(LEAD, "Lea", Pool.STAFF, datetime.now(UTC)))
    app = make_site(workspace, hosts=["*"], next_step="The round goes on.")
    return Site(workspace, app, app.state.house, held)


def plain_site(
    workspace: Workspace, pairs: int = 3, plan: WorkPlan = PLAIN, overlap: int = 1
) -> Site:
    """One campaign of so many pairs, with a guideline in both languages."""
    held = campaign(workspace, pairs, plan=plan, overlap=overlap)
    now = datetime.now(UTC)
    workspace.records.add(Guideline("gl_1", workspace.project, held.id, 1, GUIDELINE, LEAD, now))
    return site_of(workspace, held)


def trained_site(workspace: Workspace, pairs: int) -> Site:
    """With a check of headphones and a training block of two, in which the first item is the better one."""
    plan = replace(PLAIN, device_check=True, training_size=2)
    site = plain_site(workspace, pairs + 2, plan)
    for task in workspace.records.find(Task, campaign=site.campaign.id)[:2]:
        expected = Answer(AnswerKind.COMPARISON, comparison=2)
        why = {"en": "The other one swallows a word."}
        made = Control(
            f"ct_{task.id}", workspace.project, site.campaign.id, task.id, Purpose.TRAINING,
            expected, datetime.now(UTC), why,
        )  # fmt: skip
        workspace.records.add(made)
    return site
