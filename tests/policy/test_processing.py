"""Processor and rows: what people have, as what the model reads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoProcessor,
    Qwen3ASRFeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
)

from trivox.platform.errors import BrokenAudio, ConfigError
from trivox.policy.backbone import Backbone
from trivox.policy.encoder.features import QUIET, log_mel
from trivox.policy.modeling import TrivoxConfig
from trivox.policy.processing import NanoFeatureExtractor, TrivoxProcessor, features_of
from trivox.policy.rows import Row, collate, pad_features
from trivox.policy.vocabulary import TokenMap, nano_tokenizer


def noise(samples: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=samples).astype(np.float32) * 0.1


@pytest.fixture
def processor(hearing: Backbone) -> TrivoxProcessor:
    tokenizer = nano_tokenizer(hearing.tokens)
    return TrivoxProcessor.of(hearing.lm.config, NanoFeatureExtractor(), tokenizer)


@pytest.mark.parametrize("side", ["left", "right"])
def test_marks_become_placeholders(processor: TrivoxProcessor, tokens: TokenMap, side: Any) -> None:
    """1 s, 1 sample and 0.19 s are 100, 1 and 19 frames: 13, 1 and 3 embeddings of 8 frames."""
    texts = ["<|asr|><|audio|><|text|>", "<|user|><|audio|><|user|><|audio|>", "<|tts|>hi"]
    made = processor(texts, [noise(16_000), noise(1), noise(3_000)], 16_000, padding_side=side)
    rows = [
        [tokens.asr, *[tokens.audio] * 13, tokens.text],
        [tokens.user, tokens.audio, tokens.user, *[tokens.audio] * 3],
        [tokens.tts, *tokens.text_ids("hi")],
    ]
    for ids, mask, row in zip(made["input_ids"], made["attention_mask"], rows, strict=True):
        assert ids[mask.bool()].tolist() == row
        gap = [0] * (15 - len(row))
        assert mask.tolist() == (gap + [1] * len(row) if side == "left" else [1] * len(row) + gap)
    assert made["input_features"].shape == (3, 100, 64)
    assert made["feature_mask"].sum(1).tolist() == [100, 1, 19]


def test_what_it_makes_the_model_takes(processor: TrivoxProcessor, hearing: Backbone) -> None:
    made = processor("<|asr|><|audio|><|text|>", noise(8_000), 16_000)
    assert hearing.lm.generate(**made, max_new_tokens=3, do_sample=False).shape[0] == 1
    text = processor("<|tts|>hi")
    assert set(text) == {"input_ids", "attention_mask"}


def test_saved_and_loaded(processor: TrivoxProcessor, hearing_folder: Path, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    inputs = ("<|asr|><|audio|><|text|>", noise(5_000), 16_000)
    expected = processor(*inputs)
    for loaded in (
        TrivoxProcessor.from_pretrained(tmp_path),
        AutoProcessor.from_pretrained(hearing_folder),
    ):
        assert isinstance(loaded, TrivoxProcessor)
        made = loaded(*inputs)
        assert made.keys() == expected.keys()
        assert all(torch.equal(made[name], expected[name]) for name in expected)
    assert isinstance(AutoFeatureExtractor.from_pretrained(hearing_folder), NanoFeatureExtractor)


def test_processor_of_another_encoder(tokens: TokenMap, tmp_path: Path) -> None:
    """Whisper's: 50 encoder frames a second, in fours: half a second is 25 frames, 7 embeddings."""
    config = TrivoxConfig(encoder_config=WhisperConfig(encoder_layers=1), adapter_stack=4)
    made = TrivoxProcessor.of(config, WhisperFeatureExtractor(), nano_tokenizer(tokens))
    made.save_pretrained(tmp_path)
    loaded = TrivoxProcessor.from_pretrained(tmp_path)
    batch = loaded("<|audio|>", noise(8_000), 16_000)
    assert batch["input_ids"].tolist() == [[tokens.audio] * 7]
    assert batch["input_features"].shape == (1, 50, 80)
    with pytest.raises(BrokenAudio, match="3001 feature frames and encoder whisper hears 3000"):
        loaded("<|audio|>", noise(16_000 * 30 + 1), 16_000)


@pytest.mark.parametrize("extractor", [WhisperFeatureExtractor(), Qwen3ASRFeatureExtractor()])
@pytest.mark.parametrize("samples", [1, 159, 160, 161, 16_000, 33_333])
def test_features_are_those_of_the_padded_clip(extractor: Any, samples: int) -> None:
    """What transformers makes of the clip in 30 s of silence, cut to the clip."""
    wave = noise(samples)
    theirs = extractor(wave, sampling_rate=16_000, padding="max_length", return_tensors="np")
    ours = features_of(extractor, wave, 16_000)
    assert ours.shape[0] == -(-samples // 160)
    assert np.allclose(ours, theirs["input_features"][0].T[: len(ours)], atol=1e-5)


def test_nano_extractor_is_log_mel() -> None:
    made = NanoFeatureExtractor()([noise(1_000), noise(500)], 16_000, return_tensors="np")
    assert made["feature_mask"].sum(1).tolist() == [7, 4]
    assert np.array_equal(made["input_features"][0], log_mel(noise(1_000)))
    assert not made["input_features"][1, 4:].any()


def test_silence_at_the_ends_is_left_out() -> None:
    """0.3 s of silence, 1000 samples, 0.5 s of silence: 3 frames stay before the sound and 3 behind it. The
    windows of 25 ms reach the sound 1 frame earlier and 1 later than its 7 frames."""
    silence = np.zeros(4_800, np.float32)
    extractor = NanoFeatureExtractor(edge=3)
    clip = np.concatenate([silence, noise(1_000), silence, silence[:3_200]])
    cut = features_of(extractor, clip)
    loud = np.flatnonzero(log_mel(clip).max(1) > QUIET)
    assert np.array_equal(cut, log_mel(clip)[loud[0] - 3 : loud[-1] + 4])
    assert 29 <= loud[0] <= 30 and 36 <= loud[-1] <= 37
    assert len(features_of(extractor, noise(1_000))) == 7  # nothing to leave out
    assert len(features_of(extractor, silence)) == 30  # nothing sounds
    assert features_of(NanoFeatureExtractor(), clip).shape == (87, 64)


def test_refused_audio(processor: TrivoxProcessor) -> None:
    extractor = NanoFeatureExtractor()
    with pytest.raises(BrokenAudio, match=r"shape \(0,\)"):
        features_of(extractor, noise(0))
    with pytest.raises(BrokenAudio, match=r"shape \(2, 50\): give one channel"):
        features_of(extractor, noise(100).reshape(2, 50))
    with pytest.raises(BrokenAudio, match="not finite"):
        features_of(extractor, noise(10) * np.nan)
    with pytest.raises(ConfigError, match="8000 Hz and a feature extractor for 16000 Hz"):
        features_of(extractor, noise(10), 8_000)
    with pytest.raises(ConfigError, match=r"have 1 <\|audio\|> marks and 2 clips"):
        processor("<|audio|>", [noise(10), noise(10)])
    with pytest.raises(ConfigError, match=r"have 1 <\|audio\|> marks and 0 clips"):
        processor("<|audio|>")


def test_collate_by_hand() -> None:
    """Two rows of 5 and 3 tokens, a clip each of 2 and 1 frames."""
    clips = [np.ones((2, 3), np.float32), np.full((1, 3), 2, np.float32)]
    rows = [
        Row([5, 6, 7], [8, 9], [False, True], (clips[0],)),
        Row([5], [6, 7], [True, True], (clips[1],)),
    ]
    right, left = collate(rows, pad=0), collate(rows, pad=0, side="left")
    assert right["input_ids"].tolist() == [[5, 6, 7, 8, 9], [5, 6, 7, 0, 0]]
    assert right["labels"].tolist() == [[-100, -100, -100, -100, 9], [-100, 6, 7, -100, -100]]
    assert right["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert left["input_ids"].tolist() == [[5, 6, 7, 8, 9], [0, 0, 5, 6, 7]]
    assert left["labels"].tolist() == [[-100, -100, -100, -100, 9], [-100, -100, -100, 6, 7]]
    assert left["position_ids"].tolist() == [[0, 1, 2, 3, 4], [0, 0, 0, 1, 2]]
    for batch in (left, right):
        assert batch["input_features"].tolist() == [[[1] * 3, [1] * 3], [[2] * 3, [0] * 3]]
        assert batch["feature_mask"].tolist() == [[1, 1], [1, 0]]
    assert set(collate([Row([1], [2], [True])], 0)) == set(right) - {
        "input_features",
        "feature_mask",
    }


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_side_changes_no_loss(hearing: Backbone, side: Any) -> None:
    """The loss of a batch is the mean over its covered tokens, each as in its row alone."""
    tokens = hearing.tokens
    clips = [noise(64 * n, n).reshape(-1, 64) for n in (20, 9)]
    rows = [
        Row([3, *[tokens.audio] * 3, 6], [20, 21, 1], [True, False, True], (clips[0],)),
        Row([4, 6], [22, 1], [True, True]),
        Row([3, *[tokens.audio] * 2, 6], [23], [True], (clips[1],)),
    ]
    together = float(hearing.lm(**collate(rows, tokens.pad, side)).loss.detach())
    alone = [float(hearing.lm(**collate([row], tokens.pad)).loss.detach()) for row in rows]
    assert together == pytest.approx((2 * alone[0] + 2 * alone[1] + alone[2]) / 5, abs=1e-4)


def test_refused_rows() -> None:
    with pytest.raises(ConfigError, match="2 completion tokens and a loss mask of 1"):
        Row([1], [2, 3], [True])
    with pytest.raises(BrokenAudio, match=r"clip 1 has features of shape \(0, 64\)"):
        Row([1], [], [], (np.ones((1, 64), np.float32), np.ones((0, 64), np.float32)))
    with pytest.raises(BrokenAudio, match="not finite"):
        Row([1], [], [], (np.full((1, 64), np.inf, np.float32),))
    with pytest.raises(ConfigError, match="row 1 has 5 tokens and the model's context 4"):
        collate([Row([1], [2], [True]), Row([1, 2, 3], [4, 5], [True, True])], 0, limit=4)
    with pytest.raises(ConfigError, match="0 rows"):
        collate([], 0)
    with pytest.raises(ConfigError, match=r"\[64, 80\] bins"):
        pad_features([np.ones((2, 64), np.float32), np.ones((2, 80), np.float32)])
