"""Recordings of any length, with a listener that notes what it was given."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trivox.platform.audio.io import Samples, resample
from trivox.platform.errors import BrokenAudio
from trivox.policy.hearing.long import BATCH, LongTranscript, transcribe_long

SPEECH = Path(__file__).parents[2] / "data" / "speech" / "turn_off_the_light_in_the_bedroom.flac"


@dataclass(frozen=True)
class Said:
    text: str


@dataclass
class Listener:
    """Says how long, in tenths of a second, each piece was; and remembers the sizes of its batches."""

    longest_s: float = 5.0
    hearing_rate: int = 24_000
    batches: list[int] = field(default_factory=list)

    def transcribe(self, waves: Sequence[Samples]) -> list[Said]:
        self.batches.append(len(waves))
        assert all(0 < len(wave) <= self.longest_s * self.hearing_rate for wave in waves)
        return [Said(str(round(10 * len(wave) / self.hearing_rate))) for wave in waves]


@pytest.fixture(scope="module")
def sentence() -> Samples:
    """2.3 s at 16 kHz, then 0.7 s of silence."""
    samples = soundfile.read(SPEECH, dtype="float32")[0]
    return np.concatenate([samples, np.zeros(11_200, np.float32)])


def test_pieces_have_their_times_and_the_rate_of_the_policy(sentence: Samples) -> None:
    listener = Listener()
    found = transcribe_long(listener, np.tile(sentence, 2), 16_000)
    assert found.duration_s == 6 and found.has_speech
    assert found.text == " ".join(segment.text for segment in found.segments)
    for segment, begin in zip(found.segments, (0, 3), strict=True):
        assert begin <= segment.start_s < begin + 0.5 and begin + 2 < segment.end_s < begin + 2.6
        assert segment.text == str(round(10 * (segment.end_s - segment.start_s)))


def test_ten_minutes_in_pieces_of_a_batch(sentence: Samples) -> None:
    listener = Listener()
    found = transcribe_long(listener, np.tile(sentence, 200), 16_000)
    assert found.duration_s == 600 and len(found.segments) == 200
    assert max(listener.batches) == BATCH and sum(listener.batches) == 200


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_other_rates(sentence: Samples, rate: int) -> None:
    found = transcribe_long(Listener(), resample(sentence, 16_000, rate), rate)
    (segment,) = found.segments
    assert segment.start_s < 0.5 and segment.end_s == pytest.approx(2.1, abs=0.1)


def test_channels_are_mixed(sentence: Samples) -> None:
    stereo = np.stack([sentence, np.zeros_like(sentence)], axis=1)
    assert len(transcribe_long(Listener(), stereo, 16_000).segments) == 1


def test_a_shorter_limit_than_the_policys(sentence: Samples) -> None:
    listener = Listener()
    found = transcribe_long(listener, np.tile(sentence, 2), 16_000, longest_s=1)
    assert len(found.segments) > 3
    assert all(segment.end_s - segment.start_s <= 1 for segment in found.segments)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.ones(1, np.float32),
        np.zeros(16_000, np.float32),
        np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32),
        np.zeros((0, 2), np.float32),
    ],
    ids=["no samples", "one sample", "silence", "noise", "no stereo samples"],
)
def test_no_speech_is_an_empty_transcript(samples: Samples) -> None:
    listener = Listener()
    found = transcribe_long(listener, samples, 16_000)
    assert found == LongTranscript((), len(samples) / 16_000)
    assert (found.text, found.has_speech, listener.batches) == ("", False, [])


@pytest.mark.parametrize(
    "samples, rate, says",
    [
        (np.array([0, np.nan], np.float32), 16_000, "NaN or infinite"),
        (np.array([np.inf], np.float32), 16_000, "NaN or infinite"),
        (np.zeros(5, np.float32), 0, r"\(5,\) at 0 Hz"),
        (np.zeros((2, 2, 2), np.float32), 16_000, r"shape \(2, 2, 2\)"),
    ],
)
def test_refusals(samples: Samples, rate: int, says: str) -> None:
    with pytest.raises(BrokenAudio, match=says):
        transcribe_long(Listener(), samples, rate)
