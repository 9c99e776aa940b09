"""The screens to judge on. What their scripts ask of the server is the REST API, as for everybody else."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from trivox.annotation.api.work import card_of
from trivox.annotation.people.principal import Here, Principal
from trivox.annotation.web.home_pages import guideline_of, nothing_page
from trivox.annotation.web.house import House
from trivox.annotation.web.render import html, markdown, page, sections, words_of
from trivox.annotation.work.shapes import REPORTS, Lease, Nothing, SkipReason, Why

ONWARD = {Why.GUIDELINE: "/campaigns/{campaign}", Why.DEVICE: "/check?campaign={campaign}"}
MODULES = (
    "site",
    "api",
    "board",
    "player",
    "fade",
    "stretch",
    "wave",
    "keys",
    "kinds",
    "diff",
    "marks",
)
"""What task.js imports: named in the page, they come at once and not one after the other."""


def work_routes(house: House) -> APIRouter:
    """The page of a campaign's task, and the part of it that changes from task to task."""
    router = APIRouter(prefix="/work", include_in_schema=False)

    @router.get("/{campaign}")
    def screen(request: Request, campaign: str, who: Here) -> Response:
        due = house.work.next_lease(who.person, campaign)
        if isinstance(due, Nothing):
            if due.reason in ONWARD:
                return RedirectResponse(ONWARD[due.reason].format(campaign=campaign), 303)
            return nothing_page(request, house, who, campaign, due)
        return task_page(request, house, who, due)

    @router.get("/{campaign}/task")
    def task(request: Request, campaign: str, who: Here) -> Response:
        due = house.work.next_lease(who.person, campaign)
        shown = None if isinstance(due, Nothing) else html(request, "fragment.html", **_named(due))
        return JSONResponse({"html": shown}, headers={"Cache-Control": "no-store"})

    return router


def _named(lease: Lease) -> dict[str, Any]:
    return {"lease": lease, "draft": json.dumps(lease.draft.values if lease.draft else {})}


def task_page(request: Request, house: House, who: Principal, lease: Lease) -> HTMLResponse:
    """The whole screen: the task, its guideline, the dialogs."""
    card = card_of(house.work, who, lease.campaign)
    return page(
        request,
        "task.html",
        who,
        campaign_name=card.name,
        guideline=markdown(guideline_of(house, card, words_of(request))[0]),
        modules=MODULES,
        skip_reasons=list(SkipReason),
        reports=REPORTS,
        words=sections(words_of(request), ["js"]),
        **_named(lease),
    )
