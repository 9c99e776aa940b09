"""A backbone of random weights, small enough to run in milliseconds, as a folder on disk."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trivox.policy.backbone import CODEC_FOLDER, Backbone
from trivox.policy.codec import NanoCodec
from trivox.policy.trainers.dpo import DPOSettings, TokenPair, TrainedAdapter, train_dpo
from trivox.policy.vocabulary import TokenMap, nano_token_map, nano_tokenizer

CONTEXT = 128


def random_codec(seed: int = 0) -> NanoCodec:
    """Two codebooks of 16 random entries, a vocoder of width 8 as torch initialises it."""
    torch.manual_seed(seed)
    codec = NanoCodec(codebooks=2, size=16, width=8).eval()
    codec.quantiser.codebooks.normal_(std=0.5)
    return codec


def random_lm(tokens: TokenMap, seed: int = 0) -> LlamaForCausalLM:
    """2 layers of 32; weights wide enough that its distributions are far from uniform."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokens.vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        attention_dropout=0.1,  # as the recipe trains it: must be off wherever log-probs are taken
        initializer_range=0.3,
        tie_word_embeddings=True,
        pad_token_id=tokens.pad,
        eos_token_id=tokens.eos,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def write_backbone(folder: Path, seed: int = 0) -> Path:
    codec = random_codec(seed)
    tokens = nano_token_map(codec.spec)
    codec.save(folder / CODEC_FOLDER)
    random_lm(tokens, seed).save_pretrained(folder)
    nano_tokenizer(tokens).save_pretrained(folder)
    tokens.save(folder)
    return folder


def preference_pairs(tokens: TokenMap, count: int = 6) -> list[TokenPair]:
    """tts-like pairs of different lengths: the chosen speak with low codes, the rejected with high ones."""
    first, last = tokens.audio_range(0)
    second = tokens.audio_range(1)[0]
    pairs = []
    for index in range(count):
        prompt = [tokens.tts, tokens.text, *tokens.text_ids("ab"[: 1 + index % 2]), tokens.audio]
        chosen = [first + index % 4, second + 1] * (2 + index % 3)
        rejected = [last - 1 - index % 4, second + 9] * (3 + index % 2)
        pairs.append(TokenPair(prompt, [*chosen, tokens.eos], [*rejected, tokens.eos]))
    return pairs


@pytest.fixture(scope="session")
def backbone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def backbone(backbone_folder: Path) -> Backbone:
    return Backbone.load(backbone_folder)


@pytest.fixture(scope="session")
def tokens(backbone_folder: Path) -> TokenMap:
    return TokenMap.load(backbone_folder)


@pytest.fixture(scope="session")
def pairs(tokens: TokenMap) -> list[TokenPair]:
    return preference_pairs(tokens)


@pytest.fixture(scope="session")
def settings() -> DPOSettings:
    """Two batches an epoch, the second of them smaller."""
    return DPOSettings(learning_rate=0.01, epochs=2, batch_size=4, lora_rank=4, lora_alpha=8)


@pytest.fixture(scope="session")
def adapters(
    backbone_folder: Path,
    pairs: list[TokenPair],
    settings: DPOSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[TrainedAdapter]:
    """Two adapters of the tiny backbone, of seeds 1 and 2."""
    root = tmp_path_factory.mktemp("adapters")
    return [train_dpo(backbone_folder, pairs, settings, root / str(seed), seed) for seed in (1, 2)]
