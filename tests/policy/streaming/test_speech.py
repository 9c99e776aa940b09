"""Speech that streams is speech that was generated whole, bit for bit, and says which words were heard."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trivox.platform.records import Sampling
from trivox.policy.branches.realtime import Said, realtime_constraint
from trivox.policy.engine import Request
from trivox.policy.resident import ResidentPolicy
from trivox.policy.speaker import Dialogue, Speaker, Speech, Utterance
from trivox.policy.streaming import Piece, SpeechStream, stream_of

SAMPLING = Sampling(temperature=1.0, max_tokens=100)
SEED = 3
ASKED = Dialogue("john", (Said("user", "hi"),))


@pytest.fixture(scope="module")
def speaker(hearing_folder: Path) -> Iterator[Speaker]:
    with ResidentPolicy(hearing_folder, slots=2).using(None) as found:
        yield found


def streamed(speaker: Speaker, request: Request, thinks: bool) -> tuple[SpeechStream, list[Piece]]:
    stream = SpeechStream(speaker.tokens, speaker.backbone.codec, thinks)
    return stream, list(stream_of(speaker.engine, request, stream))


def check(stream: SpeechStream, pieces: list[Piece], whole: Speech) -> None:
    assert stream.ids == whole.generation.tokens
    np.testing.assert_array_equal(np.concatenate([p.samples for p in pieces]), whole.samples)
    assert (stream.text, stream.thought) == (whole.text, whole.thought)
    assert "".join(piece.text for piece in pieces) == whole.text


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("thinks", [False, True])
def test_a_reply(speaker: Speaker, thinks: bool, seed: int) -> None:
    request = speaker.reply_request(
        ASKED, realtime_constraint(speaker.tokens, thinks), seed, SAMPLING
    )
    (whole,) = speaker.reply([ASKED], [seed], SAMPLING, thinks)
    check(*streamed(speaker, request, thinks), whole)


def test_an_utterance(speaker: Speaker) -> None:
    request = speaker.tts_request(Utterance("go on and on"), SEED, SAMPLING)
    (whole,) = speaker.speak(["go on and on"], [SEED], SAMPLING)
    stream, pieces = streamed(speaker, request, thinks=False)
    check(stream, pieces, whole)
    sounding = [number for number, piece in enumerate(pieces) if len(piece.samples)]
    assert sounding and sounding[0] < len(pieces) - 1, "sound before the last token"


def test_leaving_early_frees_the_slot(speaker: Speaker) -> None:
    stream = SpeechStream(speaker.tokens, speaker.backbone.codec)
    request = speaker.tts_request(Utterance("hello there"), SEED, SAMPLING)
    pieces = stream_of(speaker.engine, request, stream)
    next(pieces)
    assert speaker.engine.busy == 1
    pieces.close()
    assert speaker.engine.busy == 0


def test_words_that_were_heard(speaker: Speaker) -> None:
    """ "hi" before frame 0, " joe" before frame 50 (2 s of 25 a second): until 2 s only the first was heard."""
    tokens = speaker.tokens
    frame = tokens.audio_ids(np.zeros((1, 2), np.int32))
    stream = SpeechStream(tokens, speaker.backbone.codec)
    for index in [*tokens.text_ids("hi"), *frame * 50, *tokens.text_ids(" joe"), *frame * 5]:
        stream.push(index)
    assert stream.text == "hi joe" and stream.seconds == 2.2
    heard = [stream.said_until(seconds) for seconds in (0.0, 0.02, 2.0, 2.01)]
    assert heard == ["", "hi", "hi", "hi joe"]
