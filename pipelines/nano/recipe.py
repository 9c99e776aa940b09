"""Every number of the trivox-nano recipe, in one place. Users override them in a TOML file."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from trivox.platform.config import load_toml


class NanoRecipe(BaseModel):
    """Data, codec and language model of trivox-nano v2."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    kokoro_voices: Path | None = None
    """The folder package/voices of `npm pack kokoro-js@1.2.1`: every voice but "heart" comes from there."""
    prepare_workers: int = Field(2, ge=1)

    tts_voices: tuple[str, ...] = ("heart", "michael", "emma")
    """Voices that nano speaks in."""
    unseen_voices: tuple[str, ...] = ("eric", "nova")
    """Voices that only the test split has."""
    train_sentences: dict[str, int] = {
        "heart": 4200,
        "michael": 330,
        "emma": 330,
        **dict.fromkeys(("bella", "fenrir", "george", "isabella", "sarah", "puck"), 50),
    }
    """Requests by voice; those in tts_voices are spoken in many manners."""
    train_replies: dict[str, int] = {"heart": 2400, "michael": 150, "emma": 150}
    """Answers of personas by voice."""
    word_sequences: int = Field(900, ge=0)
    """Sequences of random words: nothing in one foretells the next."""
    validation_sentences: int = Field(10, ge=1)
    test_sentences: int = Field(50, ge=1)
    """Held-out requests for each voice: never seen by encoder, codec or language model."""

    codec_steps: int = Field(7000, ge=1)
    codec_batch: int = Field(8, ge=1)
    codec_segment_frames: int = Field(20, ge=4)
    """Length of a training segment in frames of 40 ms."""
    codec_learning_rate: float = 1e-3
    codec_utterances: int = Field(2000, ge=2)
    """How many of the training sentences the decoder learns from."""

    lm_hidden: int = 224
    lm_layers: int = 5
    lm_heads: int = 4
    lm_feed_forward: int = 608
    lm_dropout: float = 0.1
    lm_steps: int = Field(2600, ge=1)
    lm_batch: int = Field(24, ge=1)
    lm_learning_rate: float = 2e-3
    lm_tts_share: float = Field(0.6, ge=0, le=1)
    """Share of batches that are tts; the rest are asr."""
    lm_code_noise: float = Field(0.03, ge=0, le=1)
    """Share of audio tokens in asr prompts that are replaced by random ones."""
    lm_position_limit: int = 1024
    lm_bf16: bool = True
    """bfloat16 matrix products in training; the saved weights are float32."""

    reading_steps: int = Field(1500, ge=0)
    """Steps of that phase; 0 leaves it out."""
    reading_batch: int = Field(32, ge=1)
    reading_learning_rate: float = 1.2e-3
    reading_words_share: float = Field(0.65, ge=0, le=1)
    """Share of batches that are word sequences; the rest are sentences."""
    reading_tts_share: float = Field(0.85, ge=0, le=1)

    streaming_steps: int = Field(1000, ge=0)
    """Steps of the third phase, in which tts completions carry their text along; 0 leaves it out."""
    streaming_batch: int = Field(24, ge=1)
    streaming_learning_rate: float = 1.2e-3
    streaming_words_share: float = Field(0.4, ge=0, le=1)
    streaming_tts_share: float = Field(0.85, ge=0, le=1)

    balance_steps: int = Field(450, ge=0)
    """Steps of the last phase, in which both branches share evenly again; 0 leaves it out."""
    balance_batch: int = Field(24, ge=1)
    balance_learning_rate: float = 7e-4
    balance_words_share: float = Field(0.15, ge=0, le=1)
    balance_tts_share: float = Field(0.5, ge=0, le=1)

    checkpoint_every: int = Field(200, ge=1)
    """Steps between the checkpoints that a stopped run resumes from."""

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """The recipe of a TOML file, or the default one; raises ConfigError."""
        return cls() if path is None else load_toml(path, cls)
