"""Codecs of transformers' real classes, tiny and of random weights: codes, lengths, streams, folders."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.policy.codec.tiny import tiny_dac, tiny_encodec, tiny_mimi, tiny_single
from trivox.platform.errors import ConfigError, CorruptObject, MissingModel, NotFound
from trivox.policy.codec import (
    HubCodec,
    NanoCodec,
    codec_folder_hash,
    load_codec,
    save_codec,
)
from trivox.policy.codec.families import CODEC_FAMILIES, causal_reach

MAKERS: dict[str, Callable[[], Any]] = {
    "mimi": tiny_mimi,
    "encodec": tiny_encodec,
    "dac": tiny_dac,
    "neucodec": tiny_single,
    "xcodec2": lambda: tiny_single("Xcodec2"),
}
# sample rate, samples per frame, codebooks
SHAPES = {
    "mimi": (24_000, 1920, 4),
    "encodec": (24_000, 320, 8),
    "dac": (16_000, 320, 3),
    "neucodec": (24_000, 480, 1),
    "xcodec2": (16_000, 320, 1),
}


@pytest.fixture(scope="module", params=list(MAKERS))
def codec(request: pytest.FixtureRequest) -> HubCodec:
    return HubCodec(MAKERS[request.param](), request.param)


def sweep(codec: HubCodec, seconds: float) -> npt.NDArray[np.float32]:
    time = np.arange(int(seconds * codec.spec.sample_rate)) / codec.spec.sample_rate
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * (200 + 300 * time) * time) * (0.2 + 0.2 * np.sin(9 * time))
    return (wave + 0.02 * rng.standard_normal(len(time))).astype(np.float32)


def random_codes(codec: HubCodec, frames: int) -> npt.NDArray[np.int32]:
    rng = np.random.default_rng(frames)
    return np.stack(
        [rng.integers(0, size, frames) for size in codec.spec.codebook_sizes], 1
    ).astype(np.int32)


def of_whole(codec: HubCodec, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """The model's own decode of the clip in one piece, zeros where odd strides fall short."""
    ids = torch.from_numpy(codes.T.astype(np.int64))[None]
    with torch.no_grad():
        if codec.spec.name == "encodec":
            out = codec.model.decode(ids[None], [None])
        else:
            out = codec.model.decode(audio_codes=ids)
    wave = out.audio_values.reshape(-1).clamp(-1, 1).numpy()
    short = len(codes) * codec.spec.samples_per_frame - len(wave)
    return np.pad(wave, (0, short)).astype(np.float32)


def test_spec_and_lengths(codec: HubCodec) -> None:
    rate, hop, books = SHAPES[codec.spec.name]
    assert (codec.spec.sample_rate, codec.spec.samples_per_frame) == (rate, hop)
    assert codec.spec.codebook_sizes == (16,) * books
    for samples, frames in [
        (0, 1),
        (1, 1),
        (hop, 1),
        (hop + 1, 2),
        (7 * hop, 7),
        (20 * hop + 3, 21),
    ]:
        codes = codec.encode(sweep(codec, 2.0)[:samples])
        assert (codes.shape, codes.dtype) == ((frames, books), np.int32)
        assert ((codes >= 0) & (codes < 16)).all()
        spoken = codec.decode(codes)
        assert (spoken.shape, spoken.dtype) == ((frames * hop,), np.float32)


def test_codes_hear_the_signal(codec: HubCodec) -> None:
    """Random weights hear little: in the first codebook, a sweep and loud noise after it are not all one code."""
    noise = np.random.default_rng(1).standard_normal(codec.spec.sample_rate).astype(np.float32)
    wave = np.concatenate([sweep(codec, 1.0), noise])
    codes = codec.encode(wave)
    assert len(np.unique(codes[:, 0])) > 1
    np.testing.assert_array_equal(codec.encode(wave.copy()), codes)


@pytest.mark.parametrize("frames", [1, 2, 11, 60, 160])
def test_stream_is_decode_bit_for_bit(codec: HubCodec, frames: int) -> None:
    codes = random_codes(codec, frames)
    whole = codec.decode(codes)
    one_by_one, pieces = codec.stream(), codec.stream()
    parts = [one_by_one.push(codes[t : t + 1]) for t in range(frames)]
    np.testing.assert_array_equal(np.concatenate([*parts, one_by_one.flush()]), whole)
    parts = [pieces.push(part) for part in np.split(codes, [frames // 3, frames // 2])]
    np.testing.assert_array_equal(np.concatenate([*parts, pieces.flush()]), whole)


@pytest.mark.parametrize("frames", [1, 2, 11, 60, 160])
def test_stream_agrees_with_the_models_own_decode(codec: HubCodec, frames: int) -> None:
    """Exact but for rounding; attention that saw less of a long clip leaves a difference at a sixth of the signal
    (random weights attend everywhere)."""
    codes = random_codes(codec, frames)
    spoken, wanted = codec.decode(codes), of_whole(codec, codes)
    assert np.abs(wanted).max() > 1e-3
    if codec.spec.name in ("neucodec", "xcodec2") and frames > 50:
        assert np.sqrt(((spoken - wanted) ** 2).mean()) < 0.2 * np.sqrt((wanted**2).mean())
    else:
        np.testing.assert_allclose(spoken, wanted, atol=1e-4 * np.abs(wanted).max())


def seen_by(
    decode: Callable[[torch.Tensor], torch.Tensor], channels: int, hop: int
) -> tuple[int, int]:
    """Columns to the left and right of one in the middle of 80 that its samples depend on, by gradient."""
    columns = torch.randn(1, channels, 80, requires_grad=True)
    decode(columns).reshape(-1)[40 * hop : 41 * hop].abs().sum().backward()
    assert columns.grad is not None
    touched = columns.grad.abs().sum((0, 1)).nonzero()[:, 0]
    return 40 - int(touched.min()), int(touched.max()) - 40


@pytest.mark.parametrize("ratios", [(2, 4, 5, 8), (2, 4, 8, 8)])
def test_dac_chunks_have_all_that_its_convolutions_see(ratios: tuple[int, ...]) -> None:
    model = tiny_dac(ratios=ratios).double()
    seen = seen_by(
        lambda z: model.decoder(z.double()), model.config.hidden_size, model.config.hop_length
    )
    chunking = CODEC_FAMILIES["dac"].chunking(model.config)
    assert max(seen) <= chunking.before == chunking.after <= max(seen) + 3


@pytest.mark.parametrize("name", ["mimi", "encodec"])
def test_causal_tails_have_all_that_their_convolutions_see(name: str) -> None:
    model = MAKERS[name]().double()
    if name == "mimi":
        layers, channels, hop = model.decoder.decoder_seanet, model.config.hidden_size, 960
    else:
        layers, channels, hop = torch.nn.Sequential(*model.decoder.layers[2:]), 64, 320
    left, right = seen_by(lambda z: layers(z.double()), channels, hop)
    assert right == 0
    assert left <= causal_reach(model.config) <= left + 8


def test_latency(codec: HubCodec) -> None:
    """Frames until the first samples: as the table of families says."""
    first = {"mimi": 2, "encodec": 12, "dac": 31, "neucodec": 50, "xcodec2": 50}[codec.spec.name]
    stream, codes = codec.stream(), random_codes(codec, first)
    assert len(stream.push(codes[:-1])) == 0
    assert len(stream.push(codes[-1:])) > 0


def test_fewer_codebooks_are_the_first_ones() -> None:
    for name in ("mimi", "encodec", "dac"):
        model = MAKERS[name]()
        every, two = HubCodec(model, name), HubCodec(model, name, 2)
        assert two.spec.codebooks == 2
        wave = sweep(every, 0.7)
        np.testing.assert_array_equal(two.encode(wave), every.encode(wave)[:, :2])
        assert len(two.decode(two.encode(wave))) > 0
        assert two.weights_hash == every.weights_hash


@pytest.mark.parametrize("codebooks", [0, 5])
def test_codebooks_that_there_are_not(codebooks: int) -> None:
    with pytest.raises(ConfigError, match=f"has 4 codebooks and {codebooks} are asked for"):
        HubCodec(tiny_mimi(), "mimi", codebooks)


def test_copied_folder(codec: HubCodec, tmp_path: Path) -> None:
    save_codec(codec, tmp_path)
    loaded = load_codec(tmp_path)
    assert loaded.spec == codec.spec
    assert loaded.weights_hash == codec.weights_hash == codec_folder_hash(tmp_path)
    codes = random_codes(codec, 15)
    np.testing.assert_array_equal(loaded.decode(codes), codec.decode(codes))


def test_folder_that_names_another(tmp_path: Path) -> None:
    tiny_mimi().save_pretrained(tmp_path / "mimi")
    (tmp_path / "mimi" / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Mimi\n")
    codec = load_codec(tmp_path / "mimi", codebooks=3)
    assert codec.spec.licence == "cc-by-4.0"
    save_codec(codec, tmp_path / "codec", copy=False)
    assert [path.name for path in (tmp_path / "codec").iterdir()] == ["config.json"]
    assert load_codec(tmp_path / "codec").spec == codec.spec
    with pytest.raises(ConfigError, match="3 codebooks fixed and 2 are asked for"):
        load_codec(tmp_path / "codec", codebooks=2)
    tiny_mimi(seed=1).save_pretrained(tmp_path / "mimi")
    with pytest.raises(CorruptObject, match="give the weights of that time"):
        load_codec(tmp_path / "codec")


def test_nano_folder(tmp_path: Path) -> None:
    codec = NanoCodec(codebooks=2, size=16, width=8)
    save_codec(codec, tmp_path)
    loaded = load_codec(tmp_path)
    assert isinstance(loaded, NanoCodec)
    assert loaded.weights_hash == codec_folder_hash(tmp_path)


def test_what_is_no_codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NotFound, match="no such folder"):
        load_codec(tmp_path / "nothing")
    with pytest.raises(MissingModel, match="hf download nobody/nothing --local-dir"):
        load_codec("nobody/nothing")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(
        ConfigError, match="'llama' is no codec.*mimi, encodec, dac, xcodec2, neucodec"
    ):
        load_codec(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "of-next-year"}))
    with pytest.raises(ConfigError, match="transformers cannot load it"):
        load_codec(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"codec": "wax"}))
    with pytest.raises(ConfigError, match="kind 'wax' is not known"):
        load_codec(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        {"audio_channels": 2},
        {"use_causal_conv": False},
        {"normalize": True},
        {"chunk_length_s": 1.0},
    ],
)
def test_stereo_and_chunked_encodec_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(changed))} = .*use the mono, causal one"):
        HubCodec(tiny_encodec(**changed), "encodec")
