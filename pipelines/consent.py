"""What may be done with a recording: the speaker's consent and the licence, its own and those of all it was
made from.

Derivatives inherit the strictest terms. Asked where a recording is used, at the time of use.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from trivox.pipelines.datasets.reading import by_id
from trivox.platform.errors import RefusedByConsent
from trivox.platform.records import Audio, Consent, Speaker
from trivox.platform.store import Workspace

Clock = Callable[[], datetime]
R = TypeVar("R")
_USES = {
    Consent.TRAIN: "training",
    Consent.CLONE: "an imitation of the voice",
    Consent.ANNOTATE: "annotation",
    Consent.REDISTRIBUTE: "redistribution",
}
_BATCH = 500


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class UseOf:
    """What recordings are wanted for. commercial: non-commercial licences forbid it too."""

    use: Consent
    commercial: bool = False


@dataclass(frozen=True)
class AudioTerms:
    """Of one recording and all that it was derived from. speakers without a record (unknown ids) allow nothing."""

    speakers: tuple[Speaker, ...]
    unknown: tuple[str, ...]
    licences: tuple[str | None, ...]
    derived: bool

    @property
    def expires_at(self) -> datetime | None:
        """When the first of the consents ends."""
        ends = [one.expires_at for one in self.speakers if one.expires_at is not None]
        return min(ends, default=None)

    @property
    def consents(self) -> tuple[Consent, ...]:
        """What all speakers allow; everything where nobody speaks."""
        allowed = set(Consent)
        for one in self.speakers:
            allowed &= set(one.consents)
        return tuple(sorted(allowed)) if not self.unknown else ()

    def refusal(self, wanted: UseOf, now: datetime) -> str | None:
        """Why the use is not allowed now, or None when it is."""
        if self.unknown:
            return f"nothing is recorded of speaker {self.unknown[0]!r}"
        for one in self.speakers:
            if not one.allows(wanted.use, now):
                return (
                    f"speaker {one.name!r} does not allow {_USES[wanted.use]} now{_ended(one, now)}"
                )
        reasons = (_licence_refusal(one, wanted, self.derived) for one in self.licences)
        return next((reason for reason in reasons if reason), None)


def _ended(one: Speaker, now: datetime) -> str:
    if one.revoked_at is not None and one.revoked_at <= now:
        return f" (revoked on {one.revoked_at:%Y-%m-%d})"
    if one.expires_at is not None and one.expires_at <= now:
        return f" (consent ended on {one.expires_at:%Y-%m-%d})"
    return ""


def _licence_refusal(licence: str | None, wanted: UseOf, derived: bool) -> str | None:
    """By the clauses that a licence's name shows, such as CC-BY-NC-ND-4.0; silence allows work within the
    house."""
    clauses = set(re.split(r"[^A-Z]+", (licence or "").upper()))
    if wanted.commercial and clauses & {"NC", "NONCOMMERCIAL"}:
        return f"licence {licence} forbids commercial use"
    if wanted.use is not Consent.REDISTRIBUTE:
        return None
    if not licence:
        return "no licence is stated, and redistribution needs one"
    if derived and clauses & {"ND", "NODERIVATIVES", "NODERIVS"}:
        return f"licence {licence} forbids handing on what was derived from it"
    return f"licence {licence} forbids handing it on" if "PROPRIETARY" in clauses else None


def terms_of(ws: Workspace, audios: Collection[str]) -> dict[str, AudioTerms]:
    """The terms of each recording; one that has no record is of an unknown speaker."""
    known = _lineage(ws, audios)
    speakers = _speakers(ws, {one.speaker for one in known.values() if one.speaker})
    return {id: _terms(id, known, speakers) for id in audios}


def _lineage(ws: Workspace, audios: Iterable[str]) -> dict[str, Audio]:
    """The recordings and everything above them, by id."""
    known: dict[str, Audio] = {}
    asked = set(audios)
    while asked:
        found = _find(ws, Audio, asked)
        known |= {one.id: one for one in found}
        asked = {one.derived_from for one in found if one.derived_from} - known.keys()
    return known


def _speakers(ws: Workspace, ids: set[str]) -> dict[str, Speaker]:
    return {one.id: one for one in _find(ws, Speaker, ids)}


def _find(ws: Workspace, kind: type[R], ids: Collection[str]) -> list[R]:
    return list(by_id(ws, kind, sorted(ids), _BATCH).values())


def _terms(id: str, known: dict[str, Audio], speakers: dict[str, Speaker]) -> AudioTerms:
    chain: list[Audio] = []
    above: str | None = id
    while above is not None and above in known and known[above] not in chain:
        chain.append(known[above])
        above = known[above].derived_from
    named = dict.fromkeys(one.speaker for one in chain if one.speaker)
    lost = [f"of audio {above}"] if above is not None and above not in known else []
    return AudioTerms(
        speakers=tuple(speakers[one] for one in named if one in speakers),
        unknown=(*(one for one in named if one not in speakers), *lost),
        licences=tuple(dict.fromkeys(one.licence for one in chain)),
        derived=len(chain) > 1,
    )


def refusals(
    ws: Workspace, audios: Collection[str], wanted: UseOf, clock: Clock = utc_now
) -> dict[str, str]:
    """Audio id -> why it may not be used so now; those that may are not in it."""
    now = clock()
    found = {id: one.refusal(wanted, now) for id, one in terms_of(ws, audios).items()}
    return {id: reason for id, reason in found.items() if reason}


def require_consent(ws: Workspace, audio: str, use: Consent, clock: Clock = utc_now) -> None:
    """Raises RefusedByConsent when consent or licence of a recording, or of one it was derived from, does not
    allow the use now, and NotFound for no recording; one without a speaker may be used."""
    ws.records.get(Audio, audio)
    reason = refusals(ws, [audio], UseOf(use), clock).get(audio)
    if reason:
        raise RefusedByConsent(f"{reason}: leave the recordings out")
