"""What the packaged model does with input that it was not made for: an answer or a typed error, and an end."""

from pathlib import Path

import numpy as np
import pytest

from trivox.platform.errors import BrokenAudio, ConfigError, UnspeakableText
from trivox.platform.records import FinishReason, Sampling
from trivox.policy.backbone import locate
from trivox.policy.branches.realtime import Said
from trivox.policy.resident import ResidentPolicy
from trivox.policy.speaker import Dialogue, Utterance, Wave

RATE = 16_000
SHORT = Sampling(temperature=0.0, max_tokens=24)
PERSONA = "anna says aye and calls me captain"
NOISE = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
WAVES = {
    "silence": np.zeros(RATE, np.float32),
    "noise": NOISE,
    "one sample": np.full(1, 0.5, np.float32),
    "clipped": np.sign(NOISE),
    "constant": np.full(RATE, 0.3, np.float32),
}


@pytest.fixture(scope="module")
def policy() -> ResidentPolicy:
    return ResidentPolicy(locate("package:trivox-nano-v2", Path()))


@pytest.mark.parametrize("name", WAVES)
def test_any_sound_is_heard_to_an_end(policy: ResidentPolicy, name: str) -> None:
    with policy.using(None) as speaker:
        (heard,) = speaker.transcribe([WAVES[name]], SHORT)
        (reply,) = speaker.reply([Dialogue(PERSONA, (WAVES[name],))], [0], SHORT)
    for generation in (heard.generation, reply.generation):
        assert generation.finish_reason in (FinishReason.END, FinishReason.LENGTH)
        assert 1 <= len(generation.tokens) <= SHORT.max_tokens


@pytest.mark.parametrize(
    ("wave", "error"),
    [
        (np.zeros(0, np.float32), "shape"),
        (np.full(10, np.nan, np.float32), "not finite"),
        (np.zeros(600 * RATE, np.float32), "hears .* s at most"),
        (np.zeros((10, 2), np.float32), "one channel"),
    ],
    ids=["empty", "nan", "ten minutes", "stereo"],
)
def test_what_cannot_be_heard_is_refused(policy: ResidentPolicy, wave: Wave, error: str) -> None:
    with policy.using(None) as speaker, pytest.raises(BrokenAudio, match=error):
        speaker.transcribe([wave])


@pytest.mark.parametrize(
    "text", ["", "   ", "🙂", "你好", "turn on lamp 7", "(slow)", "(", "<eos>"]
)
def test_what_cannot_be_said_is_refused(policy: ResidentPolicy, text: str) -> None:
    with policy.using(None) as speaker, pytest.raises(UnspeakableText):
        speaker.speak([text], [0], SHORT)


@pytest.mark.parametrize(("persona", "said"), [("", "hello"), ("🙂", "hello"), (PERSONA, "你好")])
def test_a_dialogue_in_no_words_of_its_own_is_refused(
    policy: ResidentPolicy, persona: str, said: str
) -> None:
    with policy.using(None) as speaker, pytest.raises(UnspeakableText):
        speaker.reply([Dialogue(persona, (Said("user", said),))], [0], SHORT)


def test_a_text_beyond_the_context(policy: ResidentPolicy) -> None:
    """No room for a prompt is refused with both numbers; little room ends at the limit."""
    with policy.using(None) as speaker:
        limit = speaker.backbone.position_limit
        with pytest.raises(ConfigError, match=f"context {limit}"):
            speaker.speak(["turn on " * (limit // 8 + 1)], [0])
        room = "turn on " * ((limit - 40) // 8)
        (spoken,) = speaker.speak([Utterance(room)], [0])
    assert spoken.generation.finish_reason is FinishReason.LENGTH
    assert len(spoken.generation.tokens) <= 40
