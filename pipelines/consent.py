"""What speakers allow to be done with their recordings, asked where a recording is used."""

from datetime import UTC, datetime

from trivox.platform.errors import RefusedByConsent
from trivox.platform.records import Audio, Consent, Speaker
from trivox.platform.store import Workspace

_USES = {
    Consent.TRAIN: "training",
    Consent.CLONE: "an imitation of the voice",
    Consent.ANNOTATE: "annotation",
    Consent.REDISTRIBUTE: "redistribution",
}


def require_consent(ws: Workspace, audio: str, use: Consent) -> None:
    """Raises RefusedByConsent when the speaker of a recording does not allow the use now; a recording without a
    speaker may be used."""
    speaker = ws.records.get(Audio, audio).speaker
    if speaker is None:
        return
    record = ws.records.get(Speaker, speaker)
    if not record.allows(use, datetime.now(UTC)):
        raise RefusedByConsent(
            f"speaker {record.name!r} does not allow {_USES[use]} now: leave the recordings out"
        )
