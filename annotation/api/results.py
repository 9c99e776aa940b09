"""What comes of a campaign by API: figures, leaderboard, yield, preferences, judgements; and tasks left out."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from trivox.annotation.api.common import ANSWERS, Served
from trivox.annotation.api.result_models import (
    CommitBody,
    FaultRow,
    Faults,
    JudgeTrust,
    Leaderboard,
    QuestionRow,
    SetRow,
    Sets,
    SideRow,
    Statistics,
    Trusts,
    WholeSet,
    Yields,
)
from trivox.annotation.leads import results
from trivox.annotation.leads.campaigns import campaign_of
from trivox.annotation.people.principal import Here
from trivox.annotation.work import faults, report
from trivox.annotation.work.report import Status

router = APIRouter(tags=["results"], responses=ANSWERS)
Form = Annotated[Literal["jsonl", "csv"], Query()]
_EXPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/jsonl": {}, "text/csv": {}},
        "description": "a judgement a line",
    }
}


@router.get("/api/v1/campaigns/{campaign}/status", operation_id="campaign_status")
def status(campaign: str, workspace: Served) -> Status:
    """How far it is: tasks finished, judgements by kind of judge, what waits for an expert."""
    return report.status(workspace, campaign_of(workspace, campaign))


@router.get("/api/v1/campaigns/{campaign}/statistics", operation_id="campaign_statistics")
def statistics(campaign: str, workspace: Served) -> Statistics:
    """Agreement question by question with 95 % intervals, agreement classes, the pull of the first side."""
    found = report.agreement(workspace, campaign_of(workspace, campaign))
    return Statistics(
        agreement=[QuestionRow.of(one) for one in found.questions],
        classes=found.classes,
        side=SideRow.of(found.side),
    )


@router.get("/api/v1/campaigns/{campaign}/reliability", operation_id="judges_reliability")
def reliability(campaign: str, workspace: Served) -> Trusts:
    """How reliable each judge is, and which checks of their work fail."""
    found = report.trust(workspace, campaign_of(workspace, campaign))
    return Trusts(judges=[JudgeTrust.of(one) for one in found])


@router.get("/api/v1/campaigns/{campaign}/leaderboard", operation_id="leaderboard")
def leaderboard(campaign: str, workspace: Served) -> Leaderboard:
    """Policies ranked by the lower bound of their strength, with win rates by tie policy."""
    return Leaderboard.of(*report.leaderboard(workspace, campaign_of(workspace, campaign)))


@router.get("/api/v1/campaigns/{campaign}/yield", operation_id="preview_yield")
def preview_yield(campaign: str, workspace: Served) -> Yields:
    """How many preferences would come of it by method and thresholds; nothing is stored."""
    return Yields(yields=results.yields(workspace, campaign))


@router.post("/api/v1/campaigns/{campaign}/preferences", operation_id="commit_preferences")
def commit_preferences(campaign: str, body: CommitBody, who: Here, workspace: Served) -> SetRow:
    """Store the preferences; the same judgements and thresholds again give the same set."""
    return SetRow.of(results.commit(workspace, who.by, campaign, body.wanted()))


@router.get("/api/v1/preferences", operation_id="list_preference_sets")
def list_preference_sets(workspace: Served) -> Sets:
    return Sets(sets=[SetRow.of(one) for one in results.sets(workspace)])


@router.get("/api/v1/preferences/{preference_set}", operation_id="show_preference_set")
def show_preference_set(preference_set: str, workspace: Served) -> WholeSet:
    return WholeSet.of(results.set_of(workspace, preference_set))


@router.get(
    "/api/v1/campaigns/{campaign}/judgements",
    operation_id="export_judgements",
    response_class=Response,
    responses=_EXPORT,
)
def export_judgements(campaign: str, workspace: Served, form: Form = "jsonl") -> Response:
    """jsonl: every judgement in full, with whether it counts. csv: those that an import takes back."""
    named = {"Content-Disposition": f'attachment; filename="judgements.{form}"'}
    if form == "csv":
        return Response(results.to_csv(workspace, campaign), 200, named, "text/csv")
    lines = results.to_jsonl(workspace, campaign)
    return StreamingResponse(lines, 200, named, "application/jsonl")


@router.get("/api/v1/campaigns/{campaign}/faults", operation_id="list_faults")
def list_faults(campaign: str, workspace: Served) -> Faults:
    """Tasks that are asked of nobody, because something of them cannot be shown or played."""
    campaign_of(workspace, campaign)
    return Faults(faults=[FaultRow.of(one) for one in faults.faults_of(workspace, campaign)])


@router.post("/api/v1/faults/{fault}/ask-again", operation_id="ask_again")
def ask_again(fault: str, who: Here, workspace: Served) -> FaultRow:
    """What was missing is back: people are asked the task again."""
    return FaultRow.of(faults.ask_again(workspace, who.by, fault))
