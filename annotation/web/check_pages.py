"""The check of headphones and volume in the browser; the server keeps which answers are right."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from trivox.annotation.api.common import ANSWERS
from trivox.annotation.clips import to_wav
from trivox.annotation.people.principal import Here
from trivox.annotation.web.checks import RATE, ROUNDS, volume_sound
from trivox.annotation.web.house import House
from trivox.annotation.web.render import page, sections, words_of
from trivox.platform.records import Person

PREFIX = "/api/v1/me/device-check"
Place = Annotated[int, Field(ge=0, le=2)]


class Answers(BaseModel):
    """For each round the place of the tone that seemed the quietest."""

    model_config = ConfigDict(extra="forbid")

    answers: Annotated[list[Place], Field(min_length=ROUNDS, max_length=ROUNDS)]


class Begun(BaseModel):
    """id: the attempt's name, good for one set of answers."""

    id: str
    rounds: int = ROUNDS


class Checked(BaseModel):
    right: int
    asked: int
    needed: int
    passed: bool


def check_routes(house: House) -> tuple[APIRouter, ...]:
    """The page of the check, and what it asks of the server."""
    pages = APIRouter(include_in_schema=False)

    @pages.get("/check")
    def check(request: Request, who: Here, campaign: str = "") -> Response:
        known = {one.campaign for one in house.work.overview(who.person)}
        onward = f"/work/{campaign}" if campaign in known else "/"
        words = sections(words_of(request), ["js"])
        return page(request, "check.html", who, onward=onward, words=words)

    return pages, _data_routes(house)


def _data_routes(house: House) -> APIRouter:
    router = APIRouter(prefix=PREFIX, tags=["work"], responses=ANSWERS)
    checks = house.checks

    @router.post("", operation_id="begin_device_check")
    def begin(who: Here) -> Begun:
        """A new run of the check: six rounds of three tones, of which one is the quietest."""
        return Begun(id=checks.begin(who.person))

    @router.get("/volume", operation_id="volume_sound", response_class=Response)
    def volume() -> Response:
        """A WAV at the loudness of all clips, by which the volume is set."""
        return _sound(_volume_wav())

    @router.get("/{attempt}/{round}", operation_id="three_tones", response_class=Response)
    def tones(attempt: str, round: int, who: Here) -> Response:
        """The three tones of a round, from 0, as stereo WAV."""
        return _sound(to_wav(checks.sound(who.person, attempt, round), RATE))

    @router.post("/{attempt}", operation_id="finish_device_check")
    def finish(attempt: str, body: Answers, who: Here) -> Checked:
        """Close the run; passed, it is noted with the account."""
        outcome = checks.finish(who.person, attempt, body.answers)
        if outcome.passed:
            _passed(house, who.person)
        return Checked(**asdict(outcome), passed=outcome.passed)

    return router


def _passed(house: House, person: str) -> None:
    records = house.workspace.records
    with records.transaction():
        known = records.get(Person, person)
        records.replace(replace(known, device_checked_at=datetime.now(UTC)))


def _sound(content: bytes) -> Response:
    return Response(content, media_type="audio/wav", headers={"Cache-Control": "no-store"})


@cache
def _volume_wav() -> bytes:
    return to_wav(volume_sound(), RATE)
