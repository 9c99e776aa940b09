"""What speakers and licences allow, of a recording and of all that it was made from, at a time that is handed
in."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from trivox.pipelines.consent import UseOf, refusals, require_consent, terms_of
from trivox.platform.errors import NotFound, RefusedByConsent
from trivox.platform.records import Audio, Consent, Speaker
from trivox.platform.store import Workspace

END = datetime(2026, 6, 1, tzinfo=UTC)
TRAIN, HAND_ON = UseOf(Consent.TRAIN), UseOf(Consent.REDISTRIBUTE)


def sound(ws: Workspace, pitch: float, **given: str | None) -> Audio:
    wave = np.sin(np.arange(4000) * pitch) * 0.3
    made = ws.audio.put(wave, 16_000, project=ws.project, source="test", **given)  # type: ignore[arg-type]
    ws.records.add(made)
    return made


def test_derivatives_inherit_the_strictest_terms(tmp_path: Path) -> None:
    """anna allows training until June, ben all but redistribution; one recording is made from another's."""
    with Workspace.create(tmp_path / "ws") as ws:
        ws.records.add(
            Speaker(
                "sp_a",
                ws.project,
                "anna",
                (Consent.TRAIN, Consent.REDISTRIBUTE),
                False,
                expires_at=END,
            ),
            Speaker("sp_b", ws.project, "ben", (Consent.TRAIN, Consent.ANNOTATE), False),
        )
        first = sound(ws, 0.1, speaker="sp_a", licence="CC-BY-NC-ND-4.0")
        mixed = sound(ws, 0.2, speaker="sp_b", licence="CC-BY-4.0", derived_from=first.id)
        last = sound(ws, 0.3, derived_from=mixed.id)
        terms = terms_of(ws, [last.id])[last.id]
        assert terms.consents == (Consent.TRAIN,) and terms.expires_at == END and terms.derived
        assert terms.licences == (None, "CC-BY-4.0", "CC-BY-NC-ND-4.0")
        before, after = (lambda: END - timedelta(seconds=1)), (lambda: END)
        require_consent(ws, last.id, Consent.TRAIN, before)
        with pytest.raises(
            RefusedByConsent, match=r"'anna' does not allow training now .*2026-06-01"
        ):
            require_consent(ws, last.id, Consent.TRAIN, after)
        assert refusals(ws, [first.id, last.id], TRAIN, before) == {}
        assert (
            "'ben' does not allow redistribution"
            in refusals(ws, [last.id], HAND_ON, before)[last.id]
        )
        commercial = UseOf(Consent.TRAIN, commercial=True)
        told = refusals(ws, [last.id, first.id], commercial, before)
        assert set(told) == {last.id, first.id}
        assert "CC-BY-NC-ND-4.0 forbids commercial use" in told[first.id]
        ws.records.replace(Speaker("sp_b", ws.project, "ben", tuple(Consent), False))
        told = refusals(ws, [last.id, first.id], HAND_ON, before)
        assert list(told) == [last.id]  # the original may be handed on, what was made of it not
        assert "no licence is stated" in told[last.id]
        with pytest.raises(NotFound):
            require_consent(ws, "0" * 64, Consent.TRAIN)


def test_what_nothing_is_known_of_may_not_be_used(tmp_path: Path) -> None:
    with Workspace.create(tmp_path / "ws") as ws:
        lost = sound(ws, 0.1, speaker="sp_gone")
        orphan = sound(ws, 0.2, derived_from="0" * 64)
        free = sound(ws, 0.3)
        told = refusals(ws, [lost.id, orphan.id, free.id], TRAIN)
        assert set(told) == {lost.id, orphan.id} and "'sp_gone'" in told[lost.id]
