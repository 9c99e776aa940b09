"""A backbone of random weights, small enough to run in milliseconds, as a folder on disk."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trivox.policy.backbone import CODEC_FOLDER, Backbone
from trivox.policy.codec import NanoCodec
from trivox.policy.encoder.nano import NanoEncoderConfig
from trivox.policy.modeling import TrivoxConfig, TrivoxForCausalLM
from trivox.policy.processing import NanoFeatureExtractor, TrivoxProcessor
from trivox.policy.vocabulary import TokenMap, nano_token_map, nano_tokenizer

if TYPE_CHECKING:
    from trivox.policy.trainers.dpo import DPOSettings, TokenPair, TrainedAdapter

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
    return LlamaForCausalLM(lm_config(tokens)).eval()


def lm_config(tokens: TokenMap) -> LlamaConfig:
    return LlamaConfig(
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


def random_hearing_lm(tokens: TokenMap, seed: int = 0) -> TrivoxForCausalLM:
    """The same LM behind an encoder of one block of width 16: 64 bins at 100 Hz -> 12.5 embeddings a second. Its
    dropout of 0.5 must never act."""
    torch.manual_seed(seed)
    encoder = NanoEncoderConfig(hidden_size=16, layers=1, heads=2, feed_forward=32, dropout=0.5)
    config = TrivoxConfig(
        text_config=lm_config(tokens), encoder_config=encoder, audio_token_id=tokens.audio
    )
    return TrivoxForCausalLM(config).eval()


def write_backbone(folder: Path, seed: int = 0) -> Path:
    codec = random_codec(seed)
    tokens = nano_token_map(codec.spec)
    codec.save(folder / CODEC_FOLDER)
    random_lm(tokens, seed).save_pretrained(folder)
    nano_tokenizer(tokens).save_pretrained(folder)
    tokens.save(folder)
    return folder


def write_hearing_backbone(folder: Path, seed: int = 0) -> Path:
    """The backbone of `write_backbone` with an encoder in front."""
    write_backbone(folder, seed)
    tokens = TokenMap.load(folder)
    lm = random_hearing_lm(tokens, seed)
    lm.save_pretrained(folder)
    TrivoxProcessor.of(lm.config, NanoFeatureExtractor(), nano_tokenizer(tokens)).save_pretrained(
        folder
    )
    return folder


def preference_pairs(tokens: TokenMap, count: int = 6) -> "list[TokenPair]":
    """tts-like pairs of different lengths: the chosen speak with low codes, the rejected with high ones."""
    from trivox.policy.trainers.dpo import TokenPair

    first, last = tokens.audio_range(0)
    second = tokens.audio_range(1)[0]
    pairs = []
    for index in range(count):
        prompt = [tokens.tts, tokens.text, *tokens.text_ids("ab"[: 1 + index % 2]), tokens.speech]
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
def hearing_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hearing_backbone(tmp_path_factory.mktemp("hearing_backbone"))


@pytest.fixture
def hearing(hearing_folder: Path) -> Backbone:
    return Backbone.load(hearing_folder)


@pytest.fixture(scope="session")
def tokens(backbone_folder: Path) -> TokenMap:
    return TokenMap.load(backbone_folder)


@pytest.fixture(scope="session")
def pairs(tokens: TokenMap) -> "list[TokenPair]":
    return preference_pairs(tokens)


@pytest.fixture(scope="session")
def settings() -> "DPOSettings":
    """Two batches an epoch, the second of them smaller."""
    from trivox.policy.trainers.dpo import DPOSettings

    return DPOSettings(learning_rate=0.01, epochs=2, batch_size=4, lora_rank=4, lora_alpha=8)


@pytest.fixture(scope="session")
def adapters(
    backbone_folder: Path,
    pairs: "list[TokenPair]",
    settings: "DPOSettings",
    tmp_path_factory: pytest.TempPathFactory,
) -> "list[TrainedAdapter]":
    """Two adapters of the tiny backbone, of seeds 1 and 2."""
    from trivox.policy.trainers.dpo import train_dpo

    root = tmp_path_factory.mktemp("adapters")
    return [train_dpo(backbone_folder, pairs, settings, root / str(seed), seed) for seed in (1, 2)]
