"""The work of judges: what the screens do, and whoever writes another client. Everything goes by the lease, and a
lease is its person's alone: another's is 404."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response
from starlette.requests import HTTPConnection

from trivox.annotation.api.common import ANSWERS, Served
from trivox.annotation.api.models import Done
from trivox.annotation.api.work_models import (
    AcknowledgeBody,
    AnswerBody,
    Answered,
    Asked,
    DraftBody,
    GuidelineText,
    InquiryBody,
    InquiryRow,
    InquiryRows,
    Leased,
    Next,
    Overview,
    PlayedBody,
    SkipBody,
)
from trivox.annotation.leads import guidelines, inquiries
from trivox.annotation.people.audit import note
from trivox.annotation.people.principal import Here, Principal
from trivox.annotation.work.service import Work
from trivox.annotation.work.shapes import Lease, Nothing, Progress, Waiting
from trivox.platform.errors import NotFound
from trivox.platform.records import Person
from trivox.platform.store import Workspace

router = APIRouter(tags=["work"], responses=ANSWERS)
_AUDIO: dict[int | str, dict[str, Any]] = {
    200: {"content": {"audio/wav": {}}, "description": "the whole clip"},
    206: {"content": {"audio/wav": {}}, "description": "the bytes asked for"},
    416: {"description": "the range begins after the end"},
}


def at_work(connection: HTTPConnection) -> Work:
    """The work that the app was given."""
    work: Work = connection.app.state.work
    return work


AtWork = Annotated[Work, Depends(at_work)]
InLanguage = Annotated[str, Query(max_length=40)]


@router.get("/api/v1/work", operation_id="work")
def overview(who: Here, work: AtWork) -> Overview:
    """The campaigns that this person may see, each with what waits there."""
    return Overview(campaigns=work.overview(who.person))


@router.post("/api/v1/work/{campaign}/next", operation_id="next_lease")
def next_lease(campaign: str, who: Here, work: AtWork) -> Next:
    """What to judge now: the open lease again, a new one, or why there is none."""
    due = work.next_lease(who.person, campaign)
    return Next(nothing=due) if isinstance(due, Nothing) else Next(lease=due)


@router.post("/api/v1/work/{campaign}/ahead", operation_id="look_ahead")
def look_ahead(campaign: str, who: Here, work: AtWork) -> Leased:
    """The lease after the open one, so that its sound can be loaded before."""
    return Leased(lease=work.ahead(who.person, campaign))


@router.post("/api/v1/work/{campaign}/undo", operation_id="undo")
def undo(campaign: str, who: Here, work: AtWork) -> Leased:
    """Open the last answer again; the next one supersedes it."""
    return Leased(lease=work.undo(who.person, campaign))


@router.get("/api/v1/work/{campaign}/guideline", operation_id="guideline")
def guideline(
    campaign: str, who: Here, work: AtWork, workspace: Served, language: InLanguage = "en"
) -> GuidelineText:
    """The guideline to work by, in the language asked for where there is one; Markdown."""
    card = card_of(work, who, campaign)
    text, warning = guidelines.text_of(workspace, campaign, card.guideline_version, language)
    return GuidelineText(
        campaign=campaign,
        version=card.guideline_version,
        text=text or card.guideline,
        warning=warning or card.warning,
        acknowledged=card.acknowledged,
    )


def card_of(work: Work, who: Principal, campaign: str) -> Waiting:
    """The campaign as this person sees it; NotFound for one that is not for them."""
    for card in work.overview(who.person):
        if card.campaign == campaign:
            return card
    raise NotFound(f"no campaign {campaign!r} for you")


@router.post("/api/v1/work/{campaign}/acknowledge", operation_id="acknowledge")
def acknowledge(campaign: str, body: AcknowledgeBody, who: Here, work: AtWork) -> Done:
    """The guideline of that version was read."""
    work.acknowledge(who.person, card_of(work, who, campaign).campaign, body.version)
    return Done()


@router.put("/api/v1/work/{campaign}/opt-out", operation_id="opt_out")
def opt_out(campaign: str, who: Here, work: AtWork, workspace: Served) -> Done:
    """None of this campaign for me: its content may upset. It is not held against anyone."""
    card_of(work, who, campaign)
    _decline(workspace, who, campaign, out=True)
    return Done()


@router.delete("/api/v1/work/{campaign}/opt-out", operation_id="opt_in")
def opt_in(campaign: str, who: Here, work: AtWork, workspace: Served) -> Done:
    card_of(work, who, campaign)
    _decline(workspace, who, campaign, out=False)
    return Done()


def _decline(workspace: Workspace, who: Principal, campaign: str, *, out: bool) -> None:
    with workspace.records.exclusive("audit"):
        person = workspace.records.get(Person, who.person)
        others = tuple(one for one in person.declined if one != campaign)
        declined = (*others, campaign) if out else others
        workspace.records.replace(replace(person, declined=declined))
        note(workspace, who.by, "opt out" if out else "opt in", "Campaign", campaign)


@router.get("/api/v1/leases/{lease}", operation_id="show_lease")
def show_lease(lease: str, who: Here, work: AtWork) -> Lease:
    return work.lease(who.person, lease)


@router.get(
    "/api/v1/leases/{lease}/audio/{audio}",
    operation_id="audio",
    response_class=Response,
    responses=_AUDIO,
)
def audio(
    lease: str,
    audio: str,
    who: Here,
    work: AtWork,
    wanted: Annotated[str | None, Header(alias="Range", max_length=200)] = None,
) -> Response:
    """A clip of this lease as WAV; what is fetched counts as fetched. Its id is good under this lease alone."""
    sound = work.audio(who.person, lease, audio, wanted)
    headers = {"Cache-Control": "no-store", "Accept-Ranges": "bytes"}
    if wanted is None:
        return Response(sound.content, 200, headers, sound.media_type)
    last = sound.first + len(sound.content) - 1
    headers["Content-Range"] = f"bytes {sound.first}-{last}/{sound.size}"
    return Response(sound.content, 206, headers, sound.media_type)


@router.post("/api/v1/leases/{lease}/progress", operation_id="progress")
def progress(lease: str, body: PlayedBody, who: Here, work: AtWork) -> Progress:
    """What was played; the answer says what counts as heard. Nothing played: how things stand."""
    return work.progress(who.person, lease, [one.played() for one in body.played])


@router.post("/api/v1/leases/{lease}/answer", operation_id="answer")
def answer(
    lease: str, body: AnswerBody, who: Here, work: AtWork, language: InLanguage = "en"
) -> Answered:
    """Keep the answer and close the lease. The same idempotency key again gives the same answer back.

    language: of the feedback in training.
    """
    judgement, feedback = work.answer(
        who.person, lease, body.given(), body.idempotency_key, language=language
    )
    return Answered(judgement=judgement.id, feedback=feedback)


@router.post("/api/v1/leases/{lease}/skip", operation_id="skip")
def skip(lease: str, body: SkipBody, who: Here, work: AtWork) -> Answered:
    """Close the lease without an answer; no listening is asked for."""
    judgement = work.skip(who.person, lease, body.reason, body.comment, body.idempotency_key)
    return Answered(judgement=judgement.id)


@router.put("/api/v1/leases/{lease}/draft", operation_id="draft")
def draft(lease: str, body: DraftBody, who: Here, work: AtWork) -> Done:
    """Keep what is typed so far."""
    work.draft(who.person, lease, body.values)
    return Done()


@router.get("/api/v1/me/inquiries", operation_id="my_inquiries")
def my_inquiries(who: Here, workspace: Served) -> InquiryRows:
    """What I asked the leads, newest first, with their answers."""
    found = inquiries.of_person(workspace, who.person)
    return InquiryRows(inquiries=[InquiryRow.of(one) for one in found])


@router.post("/api/v1/me/inquiries", operation_id="ask")
def ask(body: InquiryBody, who: Here, work: AtWork, workspace: Served) -> Asked:
    """Ask the leads, report something, or appeal against a pause or a voided answer."""
    card_of(work, who, body.campaign)
    made = inquiries.ask(workspace, who.person, body.campaign, body.kind, body.text, body.subject)
    return Asked(id=made.id)
