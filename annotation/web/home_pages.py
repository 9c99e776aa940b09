"""The start page, guidelines, the page that says why there is nothing to do, and the language of the pages."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from trivox.annotation.api.work import card_of
from trivox.annotation.leads import guidelines, inquiries
from trivox.annotation.people.principal import Here, Principal
from trivox.annotation.web.figures import figures_of
from trivox.annotation.web.house import House
from trivox.annotation.web.pauses import reason_in
from trivox.annotation.web.render import LANGUAGE_COOKIE, markdown, own_path, page, words_of
from trivox.annotation.web.words import LANGUAGES, Words
from trivox.annotation.work.gates import pause_of
from trivox.annotation.work.shapes import Nothing, Waiting, Why
from trivox.platform.records import Inquiry, Role

LEADS = frozenset({Role.LEAD, Role.ADMIN, Role.RESEARCHER, Role.VIEWER})
WORKERS = frozenset({Role.ANNOTATOR, Role.EXPERT})
YEAR_S = 365 * 86_400
SHOWN = 20
_TITLED = {Why.NOTHING_LEFT, Why.PAUSED, Why.BREAK, Why.DAY_DONE, Why.TRAINING_FAILED}


def home_routes(house: House) -> APIRouter:
    """What a person sees between the screens to judge on."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def home(request: Request, who: Here) -> Response:
        words = words_of(request)
        at_work = bool(WORKERS & who.here)
        return page(
            request,
            "home.html",
            who,
            at_work=at_work,
            waiting=_cards(house, who.person, words) if at_work else [],
            figures=figures_of(house.workspace, who.person, words) if at_work else [],
            inquiries=inquiries.of_person(house.workspace, who.person)[:SHOWN],
            lead_area=house.lead_area if LEADS & who.here else None,
        )

    @router.post("/language")
    def language(language: Annotated[str, Form()], back: Annotated[str, Form()] = "/") -> Response:
        response = RedirectResponse(own_path(back), 303)
        if language in LANGUAGES:
            response.set_cookie(LANGUAGE_COOKIE, language, YEAR_S, httponly=True, samesite="lax")
        return response

    @router.get("/campaigns/{campaign}")
    def guideline(request: Request, campaign: str, who: Here) -> Response:
        card, words = card_of(house.work, who, campaign), words_of(request)
        text, warning = guideline_of(house, card, words)
        return page(
            request, "guideline.html", who, card=card, guideline=markdown(text), warning=warning
        )

    return router


def _cards(house: House, person: str, words: Words) -> list[Waiting]:
    """What waits, its warnings in the language of the pages."""
    cards = house.work.overview(person)
    return [
        replace(card, warning=guideline_of(house, card, words)[1]) if card.warning else card
        for card in cards
    ]


def guideline_of(house: House, card: Waiting, words: Words) -> tuple[str, str | None]:
    """A campaign's guideline and warning in the language of the pages, or as they are."""
    found = guidelines.text_of(
        house.workspace, card.campaign, card.guideline_version, words.language
    )
    return found[0] or card.guideline, found[1] or card.warning


def own_inquiries(house: House, person: str, campaign: str) -> list[Inquiry]:
    """What a person asked the leads about a campaign, the newest first."""
    found = inquiries.of_person(house.workspace, person)
    return [one for one in found if one.campaign == campaign][:SHOWN]


def nothing_page(
    request: Request, house: House, who: Principal, campaign: str, nothing: Nothing
) -> HTMLResponse:
    """Why there is nothing to do, and the way out of it."""
    words = words_of(request)
    if nothing.reason is Why.NOTHING_LEFT:
        house.on_finished()
    return page(
        request,
        "nothing.html",
        who,
        title=words(_title(nothing.reason)),
        nothing=nothing,
        paused=_paused(house, who.person, campaign, nothing, words),
        campaign=campaign,
        campaign_name=card_of(house.work, who, campaign).name,
        next_step=house.next_step,
        inquiries=own_inquiries(house, who.person, campaign),
    )


def _paused(house: House, person: str, campaign: str, nothing: Nothing, words: Words) -> str:
    """Why work is paused; "" where it is not."""
    if nothing.reason is not Why.PAUSED:
        return ""
    held = pause_of(house.workspace, person, campaign)
    return nothing.message if held is None else reason_in(words, held)


def _title(reason: Why) -> str:
    return f"nothing.title_{reason.value if reason in _TITLED else 'other'}"
