"""The checkpoint that ships: its size, that transformers alone reads it, and what it can do.

Tests under FINAL need the finished weights; the others hold for any checkpoint of this format.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from trivox.platform.audio.io import read_audio
from trivox.platform.records import FinishReason
from trivox.platform.text.error_rate import error_counts, pooled_rate
from trivox.policy.backbone import locate
from trivox.policy.resident import ResidentPolicy
from trivox.policy.vocabulary import TokenMap, nano_token_map

CHECKPOINT = locate("package:trivox-nano-v2", Path())
SPEECH = Path(__file__).parents[1] / "data" / "speech"
CLIPS = (
    "turn_off_the_light_in_the_bedroom",
    "call_john_tomorrow_in_the_morning",
    "set_a_timer_for_fifteen_minutes",
)
ALONE = """
import json, sys, torch
import trivox.policy.modeling
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
ids = tokenizer("<|tts|><|text|>turn on the light<|speech|>", return_tensors="pt").input_ids
ids = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)
print(json.dumps({
    "said": tokenizer.decode(ids[0]), "ids": ids[0].tolist(),
}))
"""


@pytest.fixture(scope="module")
def policy() -> ResidentPolicy:
    return ResidentPolicy(CHECKPOINT)


def clip(name: str) -> npt.NDArray[np.float32]:
    samples, rate = read_audio(SPEECH / f"{name}.flac")
    assert rate == 16_000
    return samples


def test_at_most_25_megabytes() -> None:
    files = [path for path in CHECKPOINT.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 25_000_000
    assert not [path for path in files if path.suffix in {".bin", ".pt", ".partial", ".pkl"}]


def test_transformers_loads_it_and_continues() -> None:
    """In a fresh process that knows the model's class: a prompt as text, an answer of audio marks."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(CHECKPOINT)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    tokens = TokenMap.load(CHECKPOINT)
    assert found["ids"][:2] == [tokens.tts, tokens.text]
    begin = "<|tts|><|text|>turn on the light<|speech|> "
    assert found["said"].startswith(begin) and "<|a0_" in found["said"][len(begin) :]


def test_vocabulary_and_codec_belong_together(policy: ResidentPolicy) -> None:
    backbone = policy.backbone
    assert backbone.tokens == nano_token_map(backbone.codec.spec, ("heart", "michael", "emma"))
    assert backbone.lm.config.vocab_size == backbone.tokens.vocab_size


def test_codec_keeps_the_length_and_the_loudness(policy: ResidentPolicy) -> None:
    """Resynthesis within 6 dB of the original over speech."""
    codec = policy.backbone.codec
    for name in CLIPS:
        wave = clip(name)
        spoken = codec.decode(codec.encode(wave))
        assert 0 <= len(spoken) - len(wave) < 640
        levels = [np.sqrt((part**2).mean()) for part in (wave, spoken)]
        assert abs(20 * np.log10(levels[1] / levels[0])) < 6


def test_speaks_and_ends(policy: ResidentPolicy) -> None:
    """One to six seconds, voiced, ended by itself; and again the same."""
    texts = [name.replace("_", " ") for name in CLIPS]
    with policy.using(None) as speaker:
        spoken = speaker.speak(texts, [1, 2, 3])
        again = speaker.speak(texts, [1, 2, 3])
    for one, same in zip(spoken, again, strict=True):
        assert one.generation.finish_reason is FinishReason.END
        assert 1.0 < len(one.samples) / 16_000 < 6.0
        assert np.sqrt((one.samples**2).mean()) > 0.01
        np.testing.assert_array_equal(one.samples, same.samples)


def word_errors(policy: ResidentPolicy, waves: list[npt.NDArray[np.float32]]) -> float:
    texts = [name.replace("_", " ") for name in CLIPS]
    with policy.using(None) as speaker:
        heard = [transcript.text for transcript in speaker.transcribe(waves)]
    counts = [error_counts(t, h, "en-US") for t, h in zip(texts, heard, strict=True)]
    return pooled_rate(counts)


def test_transcribes_the_clips(policy: ResidentPolicy) -> None:
    """Three clips, 19 words: the bound leaves room for two slips (`trivox nano evaluate` measures on hundreds of
    sentences)."""
    assert word_errors(policy, [clip(name) for name in CLIPS]) <= 0.12


def test_understands_its_own_speech(policy: ResidentPolicy) -> None:
    with policy.using(None) as speaker:
        spoken = speaker.speak([name.replace("_", " ") for name in CLIPS], [1, 2, 3])
    assert word_errors(policy, [one.samples for one in spoken]) <= 0.25
