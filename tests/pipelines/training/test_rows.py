"""Prompts to rows: what the branches' functions write, and what is refused and why."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.pipelines.training.conftest import (
    NOW,
    Record,
    asr_prompt_of,
    realtime_prompt_of,
    tts_prompt_of,
)
from trivox.pipelines.training.align import ByLetters
from trivox.pipelines.training.rows import UNUSABLE, RowMaker
from trivox.platform.errors import RefusedByConsent
from trivox.platform.records import Branch, Consent, Prompt, Turn
from trivox.platform.store import Workspace
from trivox.policy.backbone import Backbone
from trivox.policy.branches.asr import asr_completion, asr_prompt
from trivox.policy.branches.realtime import Heard, Said, realtime_prompt, reasoning
from trivox.policy.branches.tts import tts_prompt


@pytest.fixture
def maker(ws: Workspace, backbone: Backbone) -> RowMaker:
    return RowMaker(ws, backbone, ByLetters())


def test_asr(maker: RowMaker, record: Record) -> None:
    """0.4 s are 40 feature frames, 5 embeddings; the text is written as nano writes."""
    row = maker.row(asr_prompt_of(record(300), "Ab, a!"))
    tokens = maker.backbone.tokens
    assert row.prompt == asr_prompt(tokens, 5)
    assert row.completion == asr_completion(tokens, "ab a")
    assert row.loss == [True] * 5
    assert [clip.shape for clip in row.audio] == [(40, 64)]


def test_tts(maker: RowMaker, ws: Workspace, record: Record) -> None:
    """0.4 s are 10 frames: the words have 3 and 2 of 5 letters, so 6 and 4 frames of 2 codes. No loss covers the
    letters that are given, but the space with which the second word is begun."""
    audio = record(300)
    tokens, codec = maker.backbone.tokens, maker.backbone.codec
    row = maker.row(tts_prompt_of(audio, "Ab a.", instruction="heart slow"))
    assert row.prompt == tts_prompt(tokens, "ab a", "heart slow")
    codes = tokens.audio_ids(codec.encode(ws.audio.read(audio)[0]))
    first, second = tokens.text_ids(" ab"), tokens.text_ids(" a")
    assert row.completion == [*first, *codes[:12], *second, *codes[12:], tokens.eos]
    assert row.loss == [False] * 3 + [True] * 12 + [True, False] + [True] * 8 + [True]
    assert row.audio == ()


def test_tts_with_directives_and_a_voice(maker: RowMaker, ws: Workspace, record: Record) -> None:
    """A directive stands in prompt and completion before its word and takes no time of its own."""
    voice = record(200, speaker="ben", consents=(Consent.TRAIN, Consent.CLONE))
    prompt = tts_prompt_of(
        record(300), "ab a", inline_instructions=((3, 4, "slow"),), voice_audio=voice
    )
    row, tokens = maker.row(prompt), maker.backbone.tokens
    codes = maker.backbone.codec.encode(ws.audio.read(voice)[0])
    assert row.prompt == tts_prompt(tokens, "ab (slow) a", voice=codes)
    spoken = row.completion.index(tokens.text_ids("(")[0])
    assert (
        row.completion[: spoken - 1][-12:] == maker.row(tts_prompt_of(record(300))).completion[3:15]
    )
    assert tokens.read_text(row.completion) == "ab (slow) a"
    assert not any(row.loss[spoken : spoken + 8])


def test_a_directive_at_the_end_has_one_frame(maker: RowMaker, record: Record) -> None:
    row = maker.row(tts_prompt_of(record(300), "ab a (pause)"))
    tokens = maker.backbone.tokens
    last = len(row.completion) - 1 - row.completion[::-1].index(tokens.text_ids(")")[0])
    assert len(row.completion) - 1 - last - 1 == 2


def test_realtime(maker: RowMaker, record: Record) -> None:
    """Users are heard where they were recorded; persona and reply in nano's words; all of the reply is learned."""
    row = maker.row(realtime_prompt_of(record(300), record(200), instruction="heart"))
    tokens = maker.backbone.tokens
    turns = (Said("user", "b"), Said("assistant", "a b"), Heard(5))
    wanted = realtime_prompt(tokens, "anna says aye and calls me sir", turns, "heart")
    assert row.prompt == wanted
    assert tokens.read_text(row.completion) == "aye sir"
    assert row.completion[-1] == tokens.eos
    assert all(row.loss)
    assert len(row.audio) == 1


def test_hidden_reasoning(ws: Workspace, backbone: Backbone, record: Record) -> None:
    """What was heard and what is to be said, before the reply, in about the share asked for; the same prompts for
    the same seed; not where nobody wrote down what was heard."""
    thought = reasoning(backbone.tokens, "what is it (aye sir)")
    prompt = realtime_prompt_of(record(300), record(100))
    always = RowMaker(ws, backbone, ByLetters(), 1.0).row(prompt)
    never = RowMaker(ws, backbone, ByLetters(), 0.0).row(prompt)
    assert always.completion == thought + never.completion
    prompts = [replace(prompt, id=str(index)) for index in range(200)]

    def thinks(seed: int) -> list[bool]:
        maker = RowMaker(ws, backbone, ByLetters(), 0.5, seed)
        return [maker._thought(one, one.turns[-1], "Aye, sir.") == thought for one in prompts]

    assert 70 < sum(thinks(0)) < 130
    assert thinks(0) == thinks(0) != thinks(1)
    maker = RowMaker(ws, backbone, ByLetters(), 1.0)
    for unwritten in (Turn("user", None, "a"), Turn("user", "a", None)):
        assert maker._thought(prompt, unwritten, "Aye, sir.") == []


def test_a_backbone_that_does_not_hear_reads_what_users_said(
    ws: Workspace, backbone: Backbone, record: Record
) -> None:
    deaf = replace(backbone, feature_extractor=None)
    row = RowMaker(ws, deaf, ByLetters()).row(realtime_prompt_of(record(300), record(200)))
    assert backbone.tokens.audio not in row.prompt
    assert row.audio == ()


def test_speech_without_words_needs_no_text(
    ws: Workspace, backbone: Backbone, record: Record
) -> None:
    plain = replace(backbone, tokens=replace(backbone.tokens, carries="none"))
    prompt = realtime_prompt_of(record(300), record(200), reference_text=None)
    row = RowMaker(ws, plain, ByLetters()).row(prompt)
    assert len(row.completion) == 21
    assert all(row.loss)


SILENT = (Turn("assistant", None, "a"), Turn("user", "a"))
NEEDS: list[tuple[str, Callable[[Record], Prompt]]] = [
    ("no recording: import", lambda r: Prompt.of(Branch.ASR, ("en",), reference_text="a")),
    ("no transcript: import", lambda r: Prompt.of(Branch.ASR, ("en",), audio=r(300))),
    ("no recording of the answer", lambda r: Prompt.of(Branch.TTS, ("en",), text="a")),
    ("no text: import", lambda r: Prompt.of(Branch.TTS, ("en",), reference_audio=r(300))),
    ("no persona: name one", lambda r: realtime_prompt_of(r(300), r(200), persona=None)),
    ("no text of the reply", lambda r: realtime_prompt_of(r(300), r(200), reference_text=None)),
    ("last turn is of 'assistant'", lambda r: realtime_prompt_of(r(300), r(200), turns=SILENT[:1])),
    ("no text in turn 1, of the assistant", lambda r: realtime_prompt_of(r(3), r(2), turns=SILENT)),
    ("no persona 'ben@1'|no persona 'ben'", lambda r: realtime_prompt_of(r(300), r(200), persona="ben@1")),
    ("'4' in 'a 4' is outside", lambda r: asr_prompt_of(r(300), "a 4")),
    ("'4' in 'a 4' is outside", lambda r: tts_prompt_of(r(300), "a 4")),
    ("'(pause)' has no words", lambda r: tts_prompt_of(r(300), "(pause)")),
    ("2 frames are too few for 3 words", lambda r: tts_prompt_of(r(300, 0.08), "a b c")),
    ("tokens and the model's context is 128", lambda r: tts_prompt_of(r(300, 3.0))),
    ("tokens and the model's context is 128", lambda r: asr_prompt_of(r(300, 11.0))),
    ("marks hold", lambda r: tts_prompt_of(r(300), "ab a", inline_instructions=((0, 2, "slow"),))),
]  # fmt: skip


@pytest.mark.parametrize(("message", "make"), NEEDS)
def test_what_is_missing_or_does_not_fit(
    message: str, make: Callable[[Record], Prompt], maker: RowMaker, record: Record
) -> None:
    with pytest.raises(UNUSABLE) as raised:
        maker.row(make(record))
    assert re.search(message if "|" in message else re.escape(message), str(raised.value))


@pytest.mark.parametrize(
    "terms",
    [{"consents": (Consent.ANNOTATE,)}, {"revoked_at": NOW}, {"expires_at": NOW}],
)
def test_who_does_not_allow_training(
    terms: dict[str, Any], maker: RowMaker, record: Record
) -> None:
    """In whatever part of a prompt the voice is."""
    theirs = record(500, speaker="ben", **terms)
    prompts = (
        asr_prompt_of(theirs),
        tts_prompt_of(theirs),
        tts_prompt_of(record(300), voice_audio=theirs),
        realtime_prompt_of(theirs, record(300)),
        realtime_prompt_of(record(300), theirs),
    )
    for prompt in prompts:
        with pytest.raises(RefusedByConsent, match="'ben' does not allow training"):
            maker.row(prompt)


def test_who_does_not_allow_to_be_imitated(maker: RowMaker, record: Record) -> None:
    theirs = record(500, speaker="ben")
    maker.row(tts_prompt_of(theirs))
    with pytest.raises(RefusedByConsent, match="'ben' does not allow an imitation of the voice"):
        maker.row(tts_prompt_of(record(300), voice_audio=theirs))


def test_audio_at_another_rate_and_of_two_channels(maker: RowMaker, ws: Workspace) -> None:
    wave = np.sin(np.arange(19_200) / 20).astype(np.float32)[:, None].repeat(2, 1) * 0.3
    audio = ws.audio.put(wave, 48_000, project=ws.project, source="test")
    ws.records.add(audio)
    assert len(maker.row(asr_prompt_of(audio.id)).audio[0]) == 40
    assert (
        len(maker.backbone.tokens.read_codes(maker.row(tts_prompt_of(audio.id)).completion)) == 10
    )
