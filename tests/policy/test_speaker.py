"""Transcribes, speaks and replies over a tiny model of random weights: what is asked, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from trivox.platform.errors import BrokenAudio, ConfigError, UnspeakableText
from trivox.platform.records import FinishReason, Sampling
from trivox.platform.text.error_rate import error_counts
from trivox.policy.branches.realtime import Said
from trivox.policy.resident import ResidentPolicy
from trivox.policy.speaker import Dialogue, Speaker, Speech, Utterance
from trivox.policy.text import speakable

SAMPLING = Sampling(temperature=1.0, max_tokens=40)
GREEDY = Sampling(temperature=0.0, max_tokens=24)
Wave = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def speaker(hearing_folder: Path) -> Iterator[Speaker]:
    with ResidentPolicy(hearing_folder, slots=3).using(None) as found:
        yield found


def noise(samples: int, seed: int = 0) -> Wave:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def test_transcribes_silence_noise_and_a_single_sample(speaker: Speaker) -> None:
    waves = [np.zeros(1, np.float32), np.ones(1, np.float32), np.zeros(16_000, np.float32)]
    heard = speaker.transcribe([*waves, noise(16_000)], GREEDY)
    assert len(heard) == 4
    for one in heard:
        assert one.text == speaker.tokens.read_text(one.generation.tokens)
        assert 1 <= len(one.generation.tokens) <= 24


def test_neighbours_change_no_transcript(speaker: Speaker) -> None:
    waves = [noise(n, n) for n in (4000, 9000, 16_000, 700)]
    together = [t.generation.tokens for t in speaker.transcribe(waves, GREEDY)]
    assert [t.generation.tokens for t in speaker.transcribe(waves[::-1], GREEDY)] == together[::-1]
    assert [speaker.transcribe([w], GREEDY)[0].generation.tokens for w in waves] == together
    assert len(set(map(tuple, together))) > 1, "the model hears"


@pytest.mark.parametrize(
    ("wave", "said"),
    [
        (np.zeros(0, np.float32), "at least 1 sample"),
        (np.full(100, np.nan, np.float32), "not finite"),
        # 128 positions less a quarter for the transcript and 2 marks: 94 embeddings, 12.5 and a half a second.
        (np.zeros(600 * 16_000, np.float32), r"audio of 600.0 s: this policy hears 7.2 s at most"),
    ],
)
def test_audio_that_is_refused(speaker: Speaker, wave: Wave, said: str) -> None:
    with pytest.raises(BrokenAudio, match=said):
        speaker.transcribe([wave])
    with pytest.raises(BrokenAudio, match=said):
        speaker.reply([Dialogue("a", (wave,))], [0])


def check_speech(speech: Speech) -> None:
    assert speech.codes.shape == (len(speech.codes), 2)
    assert len(speech.samples) == 640 * len(speech.codes)
    assert np.isfinite(speech.samples).all()


@pytest.mark.parametrize(
    "asked",
    [
        Utterance("Turn on!"),
        Utterance("a (slow) b (pause)", "slow fast low high loud soft"),
        Utterance("a", "heart", np.array([[3, 4], [5, 6]], np.int32)),
        Utterance("a", context=(Said("user", "b"), Said("assistant", "c"))),
    ],
)
def test_speaks_the_words_that_are_given(speaker: Speaker, asked: Utterance) -> None:
    (speech,) = speaker.speak([asked], [0], SAMPLING)
    check_speech(speech)
    wanted = speakable(asked.text)
    whole = speech.generation.finish_reason is FinishReason.END
    assert speech.text == wanted if whole else wanted.startswith(speech.text)
    assert speech.thought == ""


def test_what_is_asked_changes_what_is_said(speaker: Speaker) -> None:
    """Instruction, voice and context are heard by the model; a text is an utterance without them."""
    voice = np.array([[3, 4]], np.int32)
    asked = [
        Utterance("a"),
        Utterance("a", "slow"),
        Utterance("a", voice=voice),
        Utterance("a", context=(Said("user", "b"),)),
    ]
    said = [s.generation.logprobs[2] for s in speaker.speak(asked, [0] * 4, SAMPLING)]
    assert len({round(logprob, 4) for logprob in said}) == 4, "by more than rounding"
    (plain,) = speaker.speak(["a"], [0], SAMPLING)
    assert plain.generation.logprobs[2] == pytest.approx(said[0])


@pytest.mark.parametrize("text", ["", "🙂", "(slow)", "room 7", "你好"])
def test_text_that_is_refused(speaker: Speaker, text: str) -> None:
    with pytest.raises(UnspeakableText):
        speaker.speak([text], [0])
    with pytest.raises(UnspeakableText):
        speaker.reply([Dialogue(text if text != "(slow)" else "", (noise(100),))], [0])


def test_a_prompt_longer_than_the_context(speaker: Speaker) -> None:
    with pytest.raises(ConfigError, match=r"its prompt has 203 tokens and the model's context 128"):
        speaker.speak(["ab " * 66 + "ab"], [0])
    with pytest.raises(ConfigError, match="shorten the prompt"):
        speaker.reply([Dialogue("a", tuple([noise(32_000)] * 5))], [0])


def test_replies_to_speech_and_text(speaker: Speaker) -> None:
    """Any of the turns may be text; words are followed by their audio."""
    dialogues = [
        Dialogue("Peter says aye", (noise(8000),)),
        Dialogue("b", (noise(8000), Said("assistant", "c d"), noise(300, 1)), "heart"),
        Dialogue("b", (Said("user", "Hello!"),)),
    ]
    replies = speaker.reply(dialogues, [0, 1, 2], SAMPLING)
    for reply in replies:
        check_speech(reply)
        assert reply.text and reply.thought == ""
        assert reply.generation.tokens[0] == speaker.tokens.characters[" "]
    again = speaker.reply(dialogues[::-1], [2, 1, 0], SAMPLING)[::-1]
    assert [r.generation.tokens for r in again] == [r.generation.tokens for r in replies]


def test_reasoning_is_apart_from_what_is_said(speaker: Speaker) -> None:
    """A thought that was cut off is all that there is."""
    tokens, found = speaker.tokens, set[bool]()
    dialogue = Dialogue("a", (noise(1000),))
    for reply in speaker.reply([dialogue] * 9, range(9), SAMPLING, thinks=True):
        check_speech(reply)
        ids = reply.generation.tokens
        assert ids[0] == tokens.think
        ended = tokens.end_think in ids
        cut = ids.index(tokens.end_think) if ended else len(ids)
        assert reply.thought == tokens.read_text(ids[:cut])
        assert reply.text == tokens.read_text(ids[cut:])
        found.add(bool(reply.text))
    assert found == {True, False}


def test_speech_without_a_frame_is_a_sample_of_silence(speaker: Speaker) -> None:
    (speech,) = speaker.speak(["abc"], [0], Sampling(max_tokens=3))
    assert len(speech.codes) == len(speech.samples) == 0
    np.testing.assert_array_equal(speaker.audible(speech), np.zeros(1, np.float32))


def test_verified_speech_is_the_best_understood_of_its_takes(speaker: Speaker) -> None:
    """One take is what `speak` says; of several none is understood better than the one that is kept."""
    text = "Turn (slow) on"
    (first,) = speaker.speak([text], [3], SAMPLING)
    (only,) = speaker.speak_verified([text], [3], SAMPLING, takes=1)
    (best,) = speaker.speak_verified([text], [3], SAMPLING, takes=4)
    np.testing.assert_array_equal(first.samples, only.samples)
    heard = speaker.transcribe([speaker.audible(one) for one in (first, best)])
    errors = [error_counts("turn on", one.text, "en-US").errors for one in heard]
    assert errors[1] <= errors[0]
