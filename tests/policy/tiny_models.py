"""Folders as a hub would have them: real classes, random weights, tiny; a tokenizer trained on a few words."""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerFast

WORDS = ["the quick brown fox jumps over the lazy dog", "what time is it now", "say hello to heart"]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "bos_token_id": None,
}
LAYERS = {"encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "d_model": 16}


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE as Llama 3's and Qwen's, with an end token and none for padding."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def lm_folder(folder: Path, name: str, tied: bool = True, spare: int = 20, **changed: Any) -> Path:
    """name: Llama, Qwen2, Qwen3, ...; spare: rows beyond the tokenizer's, as Qwen's models have them."""
    tokenizer = tiny_tokenizer()
    settings = SIZES | {
        "vocab_size": len(tokenizer) + spare,
        "tie_word_embeddings": tied,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": None,
    }
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**(settings | changed))
    getattr(transformers, f"{name}ForCausalLM")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def whisper_folder(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        **LAYERS,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        num_mel_bins=80,
        vocab_size=32,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=2,
    )
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor().save_pretrained(folder)
    return folder


def qwen2_audio_folder(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.Qwen2AudioConfig(
        audio_config={"model_type": "qwen2_audio_encoder", **LAYERS, "num_mel_bins": 128},
        text_config={"model_type": "qwen2", "vocab_size": 32, **SIZES},
    )
    transformers.Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=128).save_pretrained(folder)
    return folder


def qwen3_asr_folder(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.Qwen3ASRConfig(
        audio_config={
            "model_type": "qwen3_asr_encoder",
            **LAYERS,
            "num_mel_bins": 128,
            "downsample_hidden_size": 8,
            "output_dim": 32,
        },
        text_config={"model_type": "qwen3", "vocab_size": 32, "head_dim": 16, **SIZES},
    )
    transformers.Qwen3ASRForConditionalGeneration(config).save_pretrained(folder)
    transformers.Qwen3ASRFeatureExtractor(feature_size=128).save_pretrained(folder)
    return folder
