"""The leads' pages: campaigns, people, what waits for an answer. Each form is a service; the API does the same."""

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from trivox.annotation.aggregation import MIN_CONFIDENCE, MIN_MARGIN, Method
from trivox.annotation.leads import campaigns, figures, guidelines, inquiries, results, review
from trivox.annotation.people import accounts, invites
from trivox.annotation.people.door import door_of
from trivox.annotation.people.principal import Here, Principal, roles_of
from trivox.annotation.people.rules import managed_by
from trivox.annotation.web.render import page
from trivox.annotation.work import faults, paid, report
from trivox.platform.records import (
    Branch,
    Campaign,
    CampaignStatus,
    Control,
    Invite,
    Role,
    Round,
    WorkPlan,
)
from trivox.platform.store import Workspace

router = APIRouter(include_in_schema=False)
Line = Annotated[str, Form(min_length=1, max_length=200)]
Reason = Annotated[str, Form(min_length=1, max_length=4000)]
Optional = Annotated[str, Form(max_length=4000)]
LongText = Annotated[str, Form(max_length=50_000)]
Count = Annotated[int, Form(ge=1, le=1000)]
MANY = 2 << 20


def _workspace(request: Request) -> Workspace:
    return door_of(request).workspace


def _back(path: str) -> Response:
    return RedirectResponse(path, 303)


@router.get("/leads")
def home(request: Request, who: Here) -> Response:
    """Campaigns, pauses, and what people asked."""
    ws = _workspace(request)
    return page(
        request,
        "leads/home.html",
        who,
        campaigns=ws.records.find(Campaign, project=ws.project)[::-1],
        inquiries=inquiries.waiting(ws),
        pauses=review.pauses(ws),
        names={one.id: one.name for one in accounts.people_of(ws)},
        rounds=ws.records.find(Round, project=ws.project)[::-1],
        branches=list(Branch),
        may_change=_leads(who),
    )


def _leads(who: Principal) -> bool:
    return bool({Role.LEAD, Role.ADMIN} & who.here)


@router.post("/leads/campaigns")
def create(
    request: Request,
    who: Here,
    name: Line,
    branch: Annotated[Branch, Form()],
    languages: Line,
    english: LongText,
    chinese: LongText = "",
    warning: Optional = "",
    overlap: Annotated[int, Form(ge=1, le=100)] = 1,
    training_size: Annotated[int, Form(ge=0, le=1000)] = 0,
    skills: Optional = "",
    level: Annotated[str, Form(pattern="^(|native|fluent|basic)$")] = "",
    round: Optional = "",
) -> Response:
    """A new campaign; with a round, its rollouts are compared."""
    plan = WorkPlan(
        training_size=training_size, skills=tuple(skills.split()), language_level=level or None
    )
    wanted = campaigns.NewCampaign(
        name=name,
        branch=branch,
        languages=tuple(languages.replace(",", " ").split()),
        guideline=_texts(english, chinese),
        warning={"en": warning} if warning.strip() else {},
        overlap=overlap,
        round=round or None,
        plan=plan,
    )
    ws = _workspace(request)
    made = campaigns.create(ws, who.by, wanted)
    if round:
        campaigns.add_round(ws, who.by, made.id, round)
    return _back(f"/leads/campaigns/{made.id}")


def _texts(english: str, chinese: str) -> dict[str, str]:
    texts = {"en": english.strip(), "zh": chinese.strip()}
    return {language: text for language, text in texts.items() if text}


@router.get("/leads/campaigns/{campaign}")
def show(request: Request, campaign: str, who: Here, seed: int = 0) -> Response:
    """One campaign: who works in it, samples to listen to, controls, guideline."""
    ws = _workspace(request)
    held = campaigns.campaign_of(ws, campaign)
    return page(
        request,
        "leads/campaign.html",
        who,
        campaign=held,
        judges=figures.judges(ws, campaign),
        pauses={one.person: one.id for one in review.pauses(ws, campaign)},
        reviews=review.sample(ws, campaign, 5, seed=seed),
        seed=seed,
        controls=ws.records.find(Control, campaign=campaign, retired_at=None),
        versions=guidelines.versions(ws, campaign)[::-1],
        statuses=list(CampaignStatus),
        rounds=ws.records.find(Round, project=ws.project)[::-1],
        faults=faults.faults_of(ws, campaign),
        budget_spent=paid.spent_out(ws, held),
    )


@router.get("/leads/campaigns/{campaign}/results")
def show_results(request: Request, campaign: str, who: Here, committed: str = "") -> Response:
    """How far judges agree, which policy leads, and what would come of it."""
    ws = _workspace(request)
    held = campaigns.campaign_of(ws, campaign)
    may_commit = bool({Role.LEAD, Role.RESEARCHER, Role.ADMIN} & who.here)
    return page(
        request,
        "leads/results.html",
        who,
        found=report.report(ws, held),
        campaign=held,
        may_change=_leads(who),
        may_commit=may_commit,
        yields=results.yields(ws, campaign) if may_commit else [],
        committed=results.set_of(ws, committed) if committed and may_commit else None,
    )


@router.post("/leads/campaigns/{campaign}/preferences")
def commit(
    request: Request,
    campaign: str,
    who: Here,
    method: Annotated[Method, Form()] = Method.MAJORITY,
    min_margin: Annotated[float, Form(ge=0, le=3, allow_inf_nan=False)] = MIN_MARGIN,
    min_confidence: Annotated[float, Form(ge=0, le=1, allow_inf_nan=False)] = MIN_CONFIDENCE,
    heard_only: Annotated[bool, Form()] = False,
) -> Response:
    wanted = results.Wanted(method, min_margin, min_confidence, heard_only)
    made = results.commit(_workspace(request), who.by, campaign, wanted)
    return _back(f"/leads/campaigns/{campaign}/results?committed={made.id}")


@router.post("/leads/faults/{fault}/ask-again")
def ask_again(request: Request, fault: str, who: Here) -> Response:
    cleared = faults.ask_again(_workspace(request), who.by, fault)
    return _back(f"/leads/campaigns/{cleared.campaign}")


@router.post("/leads/campaigns/{campaign}/status")
def set_status(
    request: Request, campaign: str, who: Here, status: Annotated[CampaignStatus, Form()]
) -> Response:
    campaigns.change(_workspace(request), who.by, campaign, status=status)
    return _back(f"/leads/campaigns/{campaign}")


@router.post("/leads/campaigns/{campaign}/guideline")
def publish(
    request: Request,
    campaign: str,
    who: Here,
    english: LongText,
    chinese: LongText = "",
    warning: Optional = "",
    requalify: Annotated[bool, Form()] = False,
) -> Response:
    ws, told = _workspace(request), {"en": warning} if warning.strip() else {}
    campaigns.campaign_of(ws, campaign)
    texts = _texts(english, chinese)
    guidelines.publish(ws, who.by, campaign, texts, warning=told, requalify=requalify)
    return _back(f"/leads/campaigns/{campaign}")


@router.post("/leads/campaigns/{campaign}/round")
def add_round(
    request: Request, campaign: str, who: Here, round: Line, pairs: Count = 1
) -> Response:
    campaigns.add_round(_workspace(request), who.by, campaign, round, pairs_per_prompt=pairs)
    return _back(f"/leads/campaigns/{campaign}")


@router.post("/leads/campaigns/{campaign}/judges/{person}/void")
def void(request: Request, campaign: str, person: str, who: Here, reason: Reason) -> Response:
    review.void(_workspace(request), who.by, campaign, person, reason)
    return _back(f"/leads/campaigns/{campaign}")


@router.post("/leads/campaigns/{campaign}/judges/{person}/pause")
def pause(request: Request, campaign: str, person: str, who: Here, reason: Reason) -> Response:
    accounts.person_of(_workspace(request), person)
    review.pause(_workspace(request), who.by, campaign, person, reason)
    return _back(f"/leads/campaigns/{campaign}")


@router.post("/leads/pauses/{pause}/lift")
def lift(request: Request, pause: str, who: Here) -> Response:
    lifted = review.lift(_workspace(request), who.by, pause)
    return _back(f"/leads/campaigns/{lifted.campaign}")


@router.post("/leads/controls/{control}/retire")
def retire(request: Request, control: str, who: Here, reason: Reason) -> Response:
    retired = campaigns.retire_control(_workspace(request), who.by, control, reason)
    return _back(f"/leads/campaigns/{retired.campaign}")


@router.post("/leads/inquiries/{inquiry}")
def answer(request: Request, inquiry: str, who: Here, text: Reason) -> Response:
    inquiries.answer(_workspace(request), who.by, inquiry, text)
    return _back("/leads")


@router.get("/leads/people")
def people(request: Request, who: Here) -> Response:
    return _people_page(request, who)


def _people_page(
    request: Request, who: Principal, links: list[tuple[str, str]] | None = None
) -> Response:
    ws = _workspace(request)
    rows = [
        (one, sorted(roles_of(ws, one.id).get(ws.project, ()))) for one in accounts.people_of(ws)
    ]
    return page(
        request,
        "leads/people.html",
        who,
        people=rows,
        links=links or [],
        roles=sorted(managed_by(who.here)),
        invited=ws.records.find(Invite, project=ws.project, used_at=None, revoked_at=None),
        columns=", ".join(invites.COLUMNS),
    )


@router.post("/leads/people", max_body_size=MANY)
def invite(
    request: Request,
    who: Here,
    rows: Annotated[str, Form(max_length=1_000_000)],
    role: Annotated[Role, Form()] = Role.ANNOTATOR,
) -> Response:
    """Invite the rows of a CSV: the links are shown this once."""
    guests = invites.read_csv(rows, (role,))
    if refused := {role for one in guests for role in one.roles} - managed_by(who.here):
        raise HTTPException(403, f"only an admin invites as {', '.join(sorted(refused))}")
    door = door_of(request)
    made = invites.invite(door.workspace, who.by, guests)
    return _people_page(
        request, who, [(one.name, door.link(f"/invite/{token}")) for one, token in made]
    )
