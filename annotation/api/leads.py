"""What leads do by API, and their pages with it: campaigns, guidelines, reviews, pauses, questions, hours."""

from datetime import date
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response

from trivox.annotation.api.common import ANSWERS, Served
from trivox.annotation.api.lead_models import (
    Added,
    AnswerTextBody,
    CampaignBody,
    CampaignChange,
    CampaignRow,
    Campaigns,
    ControlBody,
    ControlRow,
    Controls,
    GuidelineBody,
    GuidelineRow,
    Guidelines,
    Hours,
    Judges,
    MyWork,
    PauseRow,
    Pauses,
    ReasonBody,
    ReviewRow,
    Reviews,
    RoundBody,
    TasksBody,
    VoidedAnswer,
    WorkedRow,
)
from trivox.annotation.api.work_models import InquiryRow, InquiryRows
from trivox.annotation.clips import to_wav
from trivox.annotation.leads import campaigns, figures, guidelines, hours, inquiries, review
from trivox.annotation.people import accounts
from trivox.annotation.people.principal import Here
from trivox.platform.records import Campaign, Control, Judgement, Task
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

router = APIRouter(tags=["campaigns"], responses=ANSWERS)
WAV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"audio/wav": {}}, "description": "the whole clip"}
}
Size = Annotated[int, Query(ge=1, le=200)]
Seed = Annotated[int, Query(ge=0, le=2**53)]


def _row(workspace: Workspace, one: Campaign) -> CampaignRow:
    tasks, judged = table_of(Task), table_of(Judgement)
    count = sa.select(sa.func.count()).select_from(tasks).where(tasks.c.campaign == one.id)
    judgements = (
        sa.select(sa.func.count())
        .select_from(judged.join(tasks, tasks.c.id == judged.c.task))
        .where(tasks.c.campaign == one.id)
    )
    with workspace.records.statements(write=False) as connection:
        found = [connection.execute(query).scalar_one() for query in (count, judgements)]
    return CampaignRow.of(one, *found)


@router.get("/api/v1/campaigns", operation_id="list_campaigns")
def list_campaigns(workspace: Served) -> Campaigns:
    found = workspace.records.find(Campaign, project=workspace.project)
    return Campaigns(campaigns=[_row(workspace, one) for one in found])


@router.post("/api/v1/campaigns", operation_id="create_campaign")
def create_campaign(body: CampaignBody, who: Here, workspace: Served) -> CampaignRow:
    """A new campaign; it waits for tasks."""
    return _row(workspace, campaigns.create(workspace, who.by, body.wanted()))


@router.get("/api/v1/campaigns/{campaign}", operation_id="show_campaign")
def show_campaign(campaign: str, workspace: Served) -> CampaignRow:
    return _row(workspace, campaigns.campaign_of(workspace, campaign))


@router.patch("/api/v1/campaigns/{campaign}", operation_id="change_campaign")
def change_campaign(
    campaign: str, body: CampaignChange, who: Here, workspace: Served
) -> CampaignRow:
    """Change what is given: pause or close it, its budget, its plan."""
    held = campaigns.campaign_of(workspace, campaign)
    changes = {name: getattr(body, name) for name in body.model_fields_set if name != "plan"}
    changes = {name: value for name, value in changes.items() if value is not None}
    if body.plan is not None:
        changes["plan"] = body.plan.plan(held.plan.trained_from)
    return _row(workspace, campaigns.change(workspace, who.by, campaign, **changes))


@router.get("/api/v1/campaigns/{campaign}/guidelines", operation_id="list_guidelines")
def list_guidelines(campaign: str, workspace: Served) -> Guidelines:
    campaigns.campaign_of(workspace, campaign)
    found = guidelines.versions(workspace, campaign)
    return Guidelines(versions=[GuidelineRow.of(one) for one in found])


@router.post("/api/v1/campaigns/{campaign}/guidelines", operation_id="publish_guideline")
def publish_guideline(
    campaign: str, body: GuidelineBody, who: Here, workspace: Served
) -> GuidelineRow:
    """The next version; with requalify, who trained for earlier ones trains anew."""
    campaigns.campaign_of(workspace, campaign)
    made = guidelines.publish(
        workspace, who.by, campaign, body.texts, warning=body.warning, requalify=body.requalify
    )
    return GuidelineRow.of(made)


@router.post("/api/v1/campaigns/{campaign}/tasks", operation_id="add_tasks", max_body_size=16 << 20)
def add_tasks(campaign: str, body: TasksBody, who: Here, workspace: Served) -> Added:
    """Add tasks; those that are there already are not added again."""
    wanted = [one.wanted() for one in body.tasks]
    return Added(added=campaigns.add_tasks(workspace, who.by, campaign, wanted))


@router.post("/api/v1/campaigns/{campaign}/tasks/of-round", operation_id="add_tasks_of_round")
def add_tasks_of_round(campaign: str, body: RoundBody, who: Here, workspace: Served) -> Added:
    """Add comparisons of the rollouts of a round."""
    added = campaigns.add_round(
        workspace,
        who.by,
        campaign,
        body.round,
        pairs_per_prompt=body.pairs_per_prompt,
        seed=body.seed,
        asked=body.question,
    )
    return Added(added=added)


@router.get("/api/v1/campaigns/{campaign}/controls", operation_id="list_controls")
def list_controls(campaign: str, workspace: Served) -> Controls:
    campaigns.campaign_of(workspace, campaign)
    found = workspace.records.find(Control, campaign=campaign)
    return Controls(controls=[ControlRow.of(one) for one in found])


@router.post("/api/v1/controls", operation_id="add_control")
def add_control(body: ControlBody, who: Here, workspace: Served) -> ControlRow:
    """Make a task that nobody has judged training, gold or a trap."""
    expected = body.expected.answer()
    made = campaigns.add_control(
        workspace, who.by, body.task, body.purpose, expected, body.explanation
    )
    return ControlRow.of(made)


@router.post("/api/v1/controls/{control}/retire", operation_id="retire_control")
def retire_control(control: str, body: ReasonBody, who: Here, workspace: Served) -> ControlRow:
    """Ask it no more: its answer has leaked, or is wrong."""
    return ControlRow.of(campaigns.retire_control(workspace, who.by, control, body.reason))


@router.get("/api/v1/campaigns/{campaign}/judges", operation_id="list_judges")
def list_judges(campaign: str, workspace: Served) -> Judges:
    """Everyone who answered, with their checks."""
    return Judges(judges=figures.judges(workspace, campaign))


@router.get("/api/v1/campaigns/{campaign}/reviews", operation_id="sample_answers")
def sample_answers(
    campaign: str, workspace: Served, size: Size = 20, seed: Seed = 0, person: str | None = None
) -> Reviews:
    """Some answers to look at and listen to, drawn from the seed."""
    found = review.sample(workspace, campaign, size, person, seed)
    return Reviews(reviews=[ReviewRow.of(one) for one in found])


@router.get(
    "/api/v1/judgements/{judgement}/audio/{position}",
    operation_id="judged_audio",
    response_class=Response,
    responses=WAV,
)
def judged_audio(judgement: str, position: int, workspace: Served) -> Response:
    """An item of a judgement, in the order in which its judge heard them."""
    audio = review.audio_of(workspace, judgement, position)
    return Response(to_wav(*workspace.audio.read(audio)), media_type="audio/wav")


@router.post("/api/v1/campaigns/{campaign}/judges/{person}/void", operation_id="void_work")
def void_work(
    campaign: str, person: str, body: ReasonBody, who: Here, workspace: Served
) -> VoidedAnswer:
    """Strike out a person's answers, ask them anew of others, and pause the person there."""
    accounts.person_of(workspace, person)
    return VoidedAnswer(voided=review.void(workspace, who.by, campaign, person, body.reason))


@router.get("/api/v1/pauses", operation_id="list_pauses")
def list_pauses(workspace: Served, campaign: str | None = None) -> Pauses:
    return Pauses(pauses=[PauseRow.of(one) for one in review.pauses(workspace, campaign)])


@router.post("/api/v1/campaigns/{campaign}/judges/{person}/pause", operation_id="pause_work")
def pause_work(
    campaign: str, person: str, body: ReasonBody, who: Here, workspace: Served
) -> PauseRow:
    accounts.person_of(workspace, person)
    return PauseRow.of(review.pause(workspace, who.by, campaign, person, body.reason))


@router.post("/api/v1/pauses/{pause}/lift", operation_id="lift_pause")
def lift_pause(pause: str, who: Here, workspace: Served) -> PauseRow:
    return PauseRow.of(review.lift(workspace, who.by, pause))


@router.get("/api/v1/inquiries", operation_id="open_inquiries")
def open_inquiries(workspace: Served, campaign: str | None = None) -> InquiryRows:
    """Questions, reports and appeals that wait for an answer, the oldest first."""
    found = inquiries.waiting(workspace, campaign)
    return InquiryRows(inquiries=[InquiryRow.of(one) for one in found])


@router.post("/api/v1/inquiries/{inquiry}/answer", operation_id="answer_inquiry")
def answer_inquiry(inquiry: str, body: AnswerTextBody, who: Here, workspace: Served) -> InquiryRow:
    return InquiryRow.of(inquiries.answer(workspace, who.by, inquiry, body.answer))


@router.get("/api/v1/hours", operation_id="list_hours")
def list_hours(
    workspace: Served,
    campaign: str | None = None,
    person: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> Hours:
    """Hours and pay by day, campaign and person."""
    found = hours.hours(workspace, person=person, campaign=campaign, since=since, until=until)
    return Hours(hours=[WorkedRow.of(one) for one in found])


@router.get(
    "/api/v1/hours.csv",
    operation_id="export_hours",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "the same as CSV"}},
)
def export_hours(
    workspace: Served,
    campaign: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> Response:
    found = hours.hours(workspace, campaign=campaign, since=since, until=until)
    headers = {"Content-Disposition": 'attachment; filename="hours.csv"'}
    return Response(hours.to_csv(found), media_type="text/csv", headers=headers)


@router.get("/api/v1/me/work", operation_id="my_work")
def my_work(who: Here, workspace: Served) -> MyWork:
    """My hours, pay, accuracy in training, and when a break is due."""
    found = hours.hours(workspace, person=who.person)
    return MyWork(
        doing=figures.doing(workspace, who.person), hours=[WorkedRow.of(one) for one in found]
    )
