"""What people write for the tts branch, as the model takes it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from trivox.pipelines.speaking import read_context, utterance, words_for_nano
from trivox.platform.audio.io import write_wav
from trivox.platform.errors import (
    BadDirective,
    BrokenAudio,
    ConfigError,
    ContradictoryStyle,
    NotFound,
)
from trivox.policy.backbone import Backbone
from trivox.policy.branches.realtime import Said

VOICES = ("heart", "emma")


@dataclass
class Spec:
    sample_rate: int = 8000


@dataclass
class Codec:
    """One codebook, one frame of zeros per sample."""

    spec: Spec = field(default_factory=Spec)

    def encode(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        return np.zeros((len(samples), 1), np.int32)


@dataclass
class Tokens:
    text_by: str
    voices: tuple[str, ...] = ("heart", "michael", "emma")


@dataclass
class Fake:
    tokens: Tokens
    codec: Codec = field(default_factory=Codec)


def backbone(text_by: str = "characters") -> Backbone:
    return cast(Any, Fake(Tokens(text_by)))


def test_all_that_can_be_asked(tmp_path: Path) -> None:
    said = (Said("user", "hello"),)
    asked = utterance(backbone(), " Turn on (SLOW)the light", "High soft", "Emma", said)
    assert asked.text == "Turn on (slow) the light"
    assert (asked.instruction, asked.voice, asked.context) == ("emma high soft", None, said)


def test_words_in_the_order_of_training() -> None:
    assert words_for_nano("loud, slow emma low", "", VOICES) == "emma slow low loud"
    assert words_for_nano("emma", "emma", VOICES) == "emma"
    assert words_for_nano("", "", VOICES) == ""


def test_what_nano_refuses() -> None:
    with pytest.raises(NotFound, match="no voice 'anna': known are heart, emma"):
        words_for_nano("", "anna", VOICES)
    with pytest.raises(ContradictoryStyle, match="'heart' and 'emma' are asked for at once"):
        words_for_nano("emma", "heart", VOICES)
    with pytest.raises(ContradictoryStyle, match="'slow' and 'fast' at once"):
        words_for_nano("slow fast", "", VOICES)
    with pytest.raises(BadDirective, match="'sadly' at character 1 is no instruction"):
        words_for_nano("sadly", "", VOICES)
    with pytest.raises(BadDirective, match="'quick' at character 9 is no directive"):
        utterance(backbone(), "turn on (quick) the light")


def test_a_model_with_a_tokenizer_gets_the_instruction_as_written() -> None:
    asked = utterance(backbone("tokenizer"), "Hello.", "start slow, end fast", "Lena")
    assert asked.instruction == "Lena start slow, end fast"


def test_a_file_to_speak_like_from_its_first_speech_on(tmp_path: Path) -> None:
    """0.5 s of silence, then 1 s of tone at 16 kHz: 8000 samples at the codec's rate are left."""
    file = tmp_path / "voice.wav"
    tone = 0.1 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
    write_wav(file, np.concatenate([np.zeros(8000), tone]).astype(np.float32), 16_000)
    asked = utterance(backbone(), "hello", "slow", str(file))
    assert asked.instruction == "slow"
    assert asked.voice is not None and asked.voice.shape == (8000, 1)


def test_files_without_a_voice(tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    write_wav(silent, np.zeros(8000, np.float32), 16_000)
    with pytest.raises(BrokenAudio, match="no speech in 0.50 s"):
        utterance(backbone(), "hello", voice=str(silent))
    with pytest.raises(BrokenAudio, match="no such file"):
        utterance(backbone(), "hello", voice=str(tmp_path / "missing.wav"))


def test_context(tmp_path: Path) -> None:
    file = tmp_path / "before.txt"
    file.write_text("User: what is the time\n\nassistant: it is: ten\n")
    assert read_context(file) == (Said("user", "what is the time"), Said("assistant", "it is: ten"))
    with pytest.raises(NotFound, match="no such file"):
        read_context(tmp_path / "none.txt")


@pytest.mark.parametrize("line", ["hello", "anna: hello", "user:", ": hello"])
def test_lines_that_are_no_turns(tmp_path: Path, line: str) -> None:
    file = tmp_path / "before.txt"
    file.write_text(f"user: hello\n{line}\n")
    with pytest.raises(ConfigError, match=r"before.txt:2: .* is no turn"):
        read_context(file)
