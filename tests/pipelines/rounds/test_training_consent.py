"""Consent is asked again when preferences train: it may end while comparisons wait for people."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tests.pipelines.conftest import Queue
from trivox.pipelines.rounds.context import RoundContext
from trivox.pipelines.rounds.stages import train
from trivox.platform.errors import RefusedByConsent
from trivox.platform.records import Branch, Consent, Prompt, Speaker
from trivox.platform.store import Workspace

PAST = datetime.now(UTC) - timedelta(hours=1)
BOTH = (Consent.TRAIN, Consent.CLONE)


class PastConsent(Exception):
    """Raised where the voice is read (FAKES the codec, which a record of a base model has not)."""


@pytest.mark.parametrize(
    ("consents", "ends", "told"),
    [
        (BOTH, PAST, "'Ann' does not allow an imitation of the voice now .consent ended"),
        ((Consent.TRAIN,), None, "'Ann' does not allow an imitation of the voice now"),
        ((Consent.CLONE,), None, "'Ann' does not allow training now"),
        (BOTH, PAST + timedelta(days=9), None),
    ],
    ids=["expired", "no imitation", "no training", "allowed"],
)
def test_a_voice_without_consent_trains_nothing(
    ws: Workspace, queued: Queue, monkeypatch: pytest.MonkeyPatch,
    consents: tuple[Consent, ...], ends: datetime | None, told: str | None,
) -> None:  # fmt: skip
    ws.records.add(Speaker("sp_ann", ws.project, "Ann", consents, False, expires_at=ends))
    voice = ws.audio.put(
        np.zeros(800, np.float32), 8000, project=ws.project, source="t", speaker="sp_ann"
    )
    asked = Prompt.of(Branch.TTS, ("en",), text="hello", voice_audio=voice.id)
    plain = Prompt.of(Branch.TTS, ("en",), text="no voice")
    ws.records.add(voice, asked, plain)

    def read(*_: Any) -> None:
        raise PastConsent

    monkeypatch.setattr(train, "stored_voice", read)
    ctx, tokens = RoundContext.of(ws, queued()), None
    expected = PastConsent if told is None else RefusedByConsent
    with pytest.raises(expected, match=told):
        train._prompts(ctx, tokens, {asked.id, plain.id})  # type: ignore[arg-type]
    with pytest.raises(PastConsent):
        train._prompts(ctx, tokens, {plain.id})  # type: ignore[arg-type]
