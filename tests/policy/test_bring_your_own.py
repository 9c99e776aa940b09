"""Models that users bring: tiny folders of real classes are extended, loaded, sampled, trained and published."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.policy.codec.tiny import tiny_mimi, tiny_single
from tests.policy.tiny_models import (
    lm_folder,
    qwen2_audio_folder,
    qwen3_asr_folder,
    tiny_tokenizer,
    whisper_folder,
)
from trivox.platform.errors import ConfigError, MissingModel, NotFound, UnsupportedLayout
from trivox.platform.records import Sampling
from trivox.policy.backbone import Backbone
from trivox.policy.branches.asr import asr_prompt
from trivox.policy.branches.speech import speech_completion
from trivox.policy.branches.tts import tts_prompt
from trivox.policy.codec import NanoCodec, codec_folder_hash
from trivox.policy.extend import Extended, Extension, extend, grow
from trivox.policy.modeling import TrivoxForCausalLM
from trivox.policy.resident import ResidentPolicy
from trivox.policy.rows import Row
from trivox.policy.speaker import Dialogue
from trivox.policy.trainers.dpo import DPOSettings, TokenPair, train_dpo
from trivox.policy.trainers.sft import SFTSettings, train_sft

SHORT = Sampling(temperature=1.0, max_tokens=24)
ENCODERS: dict[str, Callable[[Path], Path]] = {
    "whisper": whisper_folder,
    "qwen2_audio": qwen2_audio_folder,
    "qwen3_asr": qwen3_asr_folder,
}


def codec_folder(folder: Path, name: str) -> Path:
    (tiny_mimi() if name == "mimi" else tiny_single(name)).save_pretrained(folder)
    return folder


def made(
    root: Path,
    lm: str = "Llama",
    codec: str = "mimi",
    encoder: str | None = None,
    tied: bool = True,
    **rest: Any,
) -> Extended:
    wanted = Extension(
        backbone=str(lm_folder(root / "lm", lm, tied)),
        codec=str(codec_folder(root / "codec", codec)),
        encoder=None if encoder is None else str(ENCODERS[encoder](root / "encoder")),
        **rest,
    )
    return extend(wanted, root / "backbone")


def wave(rate: int, seconds: float = 0.6) -> np.ndarray[Any, np.dtype[np.float32]]:
    noise = np.random.default_rng(0).standard_normal(int(rate * seconds))
    return (0.1 * noise).astype(np.float32)


def rows_of(backbone: Backbone) -> list[Row]:
    """tts, and asr where the backbone hears."""
    tokens = backbone.tokens
    codes = np.zeros((3, backbone.codec.spec.codebooks), np.int32)
    said = speech_completion(tokens, codes)
    rows = [Row(tts_prompt(tokens, "hello fox"), said, [True] * len(said))]
    if backbone.hears:
        features = backbone.features(wave(backbone.hearing_rate))
        text = [*tokens.text_ids("what time"), tokens.eos]
        prompt = asr_prompt(tokens, backbone.embeddings(features))
        rows.append(Row(prompt, text, [True] * len(text), (features,)))
    return rows


def pairs_of(backbone: Backbone) -> list[TokenPair]:
    tokens = backbone.tokens
    books = backbone.codec.spec.codebooks
    low, high = (np.full((2, books), code, np.int32) for code in (1, 14))
    prompt = tts_prompt(tokens, "say hello")
    return [TokenPair(prompt, speech_completion(tokens, low), speech_completion(tokens, high))]


def whole_way(root: Path, **wanted: Any) -> None:
    """Load, generate, train a step of SFT and of DPO, publish the adapters."""
    folder = made(root, **wanted).folder
    policy = ResidentPolicy(folder, slots=2)
    backbone = policy.backbone
    with policy.using(None) as speaker:
        speech = speaker.speak(["hello fox", "now"], [1, 2], SHORT)
        before = speech[0].generation
        assert all(
            len(one.samples) == len(one.codes) * backbone.codec.spec.samples_per_frame
            for one in speech
        )
        if backbone.hears:
            sound = wave(speaker.hearing_rate)
            heard = speaker.transcribe([sound], SHORT)[0].generation.tokens
            assert {*heard} <= {*backbone.tokens.writable_ids(), backbone.tokens.eos}
            # Any one of them may end at once: the weights are random.
            replies = speaker.reply([Dialogue("say hello", (sound,))] * 6, range(6), SHORT)
            assert any(len(reply.codes) for reply in replies)
    sft = SFTSettings(epochs=1, learning_rate=0.01, lora_rank=4, train_tokens=True)
    trained = train_sft(folder, rows_of(backbone), sft, root / "sft", seed=0)
    dpo = DPOSettings(epochs=2, batch_size=1, learning_rate=0.01, lora_rank=4)
    preferred = train_dpo(folder, pairs_of(backbone), dpo, root / "dpo", seed=0)
    for adapter in (trained, preferred):
        assert np.isfinite([step["loss"] for step in adapter.metrics]).all()
        with policy.using(adapter.folder) as speaker:
            after = speaker.speak(["hello fox"], [1], SHORT)[0].generation
            assert after.logprobs != before.logprobs
    with policy.using(None) as speaker:
        again = speaker.speak(["hello fox", "now"], [1, 2], SHORT)[0].generation
        assert again.tokens == before.tokens
        assert again.logprobs == pytest.approx(before.logprobs, abs=1e-5)


def test_llama_with_mimi_and_whisper_the_whole_way(tmp_path: Path) -> None:
    whole_way(tmp_path, encoder="whisper", layout="delayed")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lm", "tied", "codec", "encoder", "layout"),
    [
        ("Llama", False, "mimi", None, "flat"),
        ("Qwen2", True, "mimi", "qwen2_audio", "interleaved:2"),
        ("Qwen2", False, "NeuCodec", "whisper", "flat"),
        ("Qwen3", True, "Xcodec2", None, "flat"),
        ("Qwen3", False, "mimi", "qwen3_asr", "flat"),
        ("Llama", True, "NeuCodec", "qwen3_asr", "flat"),
    ],
)
def test_the_whole_way(
    tmp_path: Path, lm: str, tied: bool, codec: str, encoder: str | None, layout: str
) -> None:
    whole_way(tmp_path, lm=lm, tied=tied, codec=codec, encoder=encoder, layout=layout)


@pytest.mark.parametrize("tied", [True, False])
def test_old_rows_stay_and_new_ones_are_drawn_around_their_mean(tmp_path: Path, tied: bool) -> None:
    """299 text tokens (spare rows beyond them are drawn anew); 82 are added: padding, 13 marks, 4 * 17 codes."""
    lm = AutoModelForCausalLM.from_pretrained(lm_folder(tmp_path / "lm", "Qwen2", tied))
    known = len(tiny_tokenizer())
    before = [lm.get_input_embeddings().weight.detach().clone()]
    before.append(lm.get_output_embeddings().weight.detach().clone())
    grow(lm, known, 4096, seed=3)
    after = [lm.get_input_embeddings().weight, lm.get_output_embeddings().weight]
    assert lm.config.vocab_size == 4096
    assert (after[0].data_ptr() == after[1].data_ptr()) == tied
    for old, new in zip(before, after, strict=True):
        assert torch.equal(new[:known], old[:known])
        assert torch.allclose(new[known:].mean(0), old[:known].mean(0), atol=0.02)
        assert torch.allclose(new[known:].std(0), 0.3 * old[:known].std(0), rtol=0.1)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "lm")
    grow(again, known, 4096, seed=3)
    assert torch.equal(again.get_output_embeddings().weight, after[1])
    grow(again, known, 4096, seed=4)
    assert not torch.equal(again.get_output_embeddings().weight, after[1])


def test_tokens(tmp_path: Path) -> None:
    """Padding of its own, marks, then the codes; none of them special, or trl would decode them away."""
    done = made(tmp_path, codebooks=3, layout="delayed")
    tokenizer = AutoTokenizer.from_pretrained(done.folder)
    tokens = Backbone.load(done.folder).tokens
    assert (tokens.text_by, tokens.characters, tokens.carries) == ("tokenizer", {}, "none")
    assert tokens.codebook_sizes == (16, 16, 16)
    first = len(tiny_tokenizer())
    assert (tokens.pad, tokens.eos, tokens.asr) == (first, 0, first + 1)
    assert tokens.audio_offsets == (first + 14, first + 31, first + 48)
    assert tokenizer.convert_ids_to_tokens([first + 14, first + 30, first + 31]) == [
        "<|a0_0|>",
        "<|a0_pad|>",
        "<|a1_0|>",
    ]
    assert done.added_tokens == 14 + 51
    assert done.audio_tokens == 51
    assert done.vocab_size == tokens.vocab_size == 384
    assert done.tokens_per_second == 37.5
    spoken = "<|tts|><|a0_7|><|a2_15|>"
    ids = tokenizer(spoken, add_special_tokens=False)["input_ids"]
    assert ids == [tokens.tts, tokens.audio_offsets[0] + 7, tokens.audio_offsets[2] + 15]
    assert tokenizer.decode(ids, skip_special_tokens=True) == spoken
    plain = tiny_tokenizer()("what time", add_special_tokens=False)["input_ids"]
    assert tokens.text_ids("what time") == plain
    assert tokens.read_text([*plain, *ids]) == "what time"


def test_the_weights_are_those_that_were_given(tmp_path: Path) -> None:
    done = made(tmp_path, lm="Qwen3", encoder="whisper", adapter_stack=5)
    loaded = Backbone.load(done.folder)
    assert isinstance(loaded.lm, TrivoxForCausalLM)
    assert loaded.lm.config.adapter_stack == 5
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "lm")
    ids = torch.tensor([loaded.tokens.text_ids("the quick brown fox")])
    known = len(tiny_tokenizer())
    with torch.no_grad():
        ours = loaded.lm(input_ids=ids).logits[..., :known]
        assert torch.allclose(ours, theirs(input_ids=ids).logits[..., :known], atol=1e-5)
    encoder = ENCODERS["whisper"](tmp_path / "again")
    from transformers import WhisperModel

    wanted = WhisperModel.from_pretrained(encoder).encoder.state_dict()
    assert loaded.lm.model.encoder is not None
    for name, weight in loaded.lm.model.encoder.state_dict().items():
        assert torch.equal(weight, wanted[name]), name


@pytest.mark.parametrize(
    ("encoder", "stack"), [("whisper", 4), ("qwen2_audio", 2), ("qwen3_asr", 1)]
)
def test_a_second_of_sound_is_12_or_13_embeddings(tmp_path: Path, encoder: str, stack: int) -> None:
    backbone = Backbone.load(made(tmp_path, encoder=encoder).folder)
    assert backbone.lm.config.adapter_stack == stack
    features = backbone.features(wave(backbone.hearing_rate, 1.0))
    assert backbone.embeddings(features) == 13


def test_a_codec_by_its_place_and_the_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = made(tmp_path, copy_codec=False).folder
    config = json.loads((named / "codec" / "config.json").read_text())
    assert config["source"] == str(tmp_path / "codec")
    assert not (named / "codec" / "model").exists()
    assert codec_folder_hash(named / "codec") == Backbone.load(named).codec.weights_hash
    monkeypatch.setattr("trivox.policy.backbone._CHECKPOINTS", tmp_path / "shipped")
    NanoCodec(codebooks=2, size=16, width=8).save(tmp_path / "shipped" / "nano" / "codec")
    wanted = Extension(str(tmp_path / "lm"), "package:nano")
    nano = extend(wanted, tmp_path / "nano").folder
    assert isinstance(Backbone.load(nano).codec, NanoCodec)


def test_a_folder_is_complete_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise OSError("no room")

    monkeypatch.setattr("trivox.policy.extend.save_codec", fails)
    with pytest.raises(OSError, match="no room"):
        made(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codec", "lm"]


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    lm, codec = (
        str(lm_folder(tmp_path / "lm", "Llama")),
        str(codec_folder(tmp_path / "codec", "mimi")),
    )
    done = extend(Extension(lm, codec), tmp_path / "done").folder
    out = tmp_path / "out"
    refused: list[tuple[Extension, Path, type[Exception], str]] = [
        (Extension(lm, codec, layout="depth"), out, UnsupportedLayout, "'depth' needs"),
        (Extension(lm, codec, layout="spiral"), out, ConfigError, "'spiral' is not known"),
        (Extension(lm, codec, layout="delayed", carries="words"), out, ConfigError, "only flat"),
        (Extension(lm, codec), done, ConfigError, "is not empty: give a new folder"),
        (Extension(str(done), codec), out, ConfigError, "extended, or use the folder"),
        (Extension(str(tmp_path / "no"), codec), out, NotFound, "backbone .*/no: no such folder"),
        (Extension("nobody/nothing", codec), out, MissingModel, "hf download nobody/nothing"),
        (Extension(lm, lm), out, ConfigError, "'llama' is no codec"),
        (Extension(lm, codec, encoder=lm), out, ConfigError, "encoder .* is a llama"),
        (Extension(lm, codec, codebooks=5), out, ConfigError, "has 4 codebooks and 5"),
        (Extension(codec, codec), out, ConfigError, "is a mimi, of which transformers has no"),
    ]
    for wanted, folder, error, said in refused:
        with pytest.raises(error, match=said):
            extend(wanted, folder)
    assert not out.exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "csm"}, "is a csm, of which transformers has no causal LM"),
        ({"model_type": "whisper"}, "is a whisper, an encoder-decoder"),
        (
            {"model_type": "musicgen_decoder", "hidden_size": 16, "num_attention_heads": 2},
            "musicgen_decoder",
        ),
        ({"model_type": "of-next-year"}, "transformers cannot load it"),
    ],
)
def test_models_without_one_head_are_refused_by_name(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "lm"
    tiny_tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=said):
        extend(Extension(str(folder), "package:nano"), tmp_path / "out")


def test_heads_of_codebooks_are_refused(tmp_path: Path) -> None:
    """MusicGen's decoder has a list of heads."""
    from transformers import MusicgenDecoderConfig, MusicgenForCausalLM

    from trivox.policy.parts import check_head

    config = MusicgenDecoderConfig(
        vocab_size=16, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16
    )
    with pytest.raises(ConfigError, match="MusicgenForCausalLM with ModuleList for outputs"):
        check_head("some/model", MusicgenForCausalLM(config))


def test_commands(tmp_path: Path) -> None:
    """A backbone made, registered and used by its name: its adapters would be candidates of it."""
    from typer.testing import CliRunner

    from trivox.cli import app
    from trivox.platform.registry import promoted, resolve
    from trivox.platform.store import Workspace

    lm, codec = lm_folder(tmp_path / "lm", "Qwen3"), codec_folder(tmp_path / "codec", "NeuCodec")
    out, root = tmp_path / "own", tmp_path / "workspace"

    def run(*words: object) -> dict[str, Any]:
        ended = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
        assert ended.exit_code == 0, ended.output
        told: dict[str, Any] = json.loads(ended.stdout)
        return told

    told = run("policy", "init", "--backbone", lm, "--codec", codec, "--out", out, "--seed", 4)
    assert (told["audio_tokens"], told["tokens_per_second"]) == (16, 50.0)
    ws = Workspace.create(root)
    added = run("policy", "add", out, "--name", "own", "-w", root)
    assert resolve(ws, "own").artefact == added["artefact"] == str(out)
    assert promoted(ws, None) is None
    assert run("policy", "add", out, "--name", "own", "-w", root)["id"] == added["id"]
