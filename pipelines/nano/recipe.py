"""Every number of the trivox-nano recipe, in one place. Users override them in a TOML file."""

from pathlib import Path
from typing import Annotated, Literal, Self

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
    later_sentences: dict[str, int] = {"michael": 100, "emma": 100}
    later_replies: dict[str, int] = {"michael": 100, "emma": 100}
    """More of both, each voice drawn by itself: a corpus grows without changing what it has."""
    word_sequences: int = Field(900, ge=0)
    """Sequences of random words: nothing in one foretells the next."""
    validation_sentences: int = Field(10, ge=1)
    test_sentences: int = Field(50, ge=1)
    """Held-out requests for each voice: never seen by encoder, codec or language model."""

    encoder_steps: int = Field(2600, ge=1)
    encoder_batch: int = Field(40, ge=1)
    encoder_learning_rate: float = 2e-3
    encoder_dropout: float = 0.1

    codec_steps: int = Field(11000, ge=1)
    codec_batch: int = Field(8, ge=1)
    codec_segment_frames: int = Field(20, ge=4)
    """Length of a training segment in frames of 40 ms."""
    codec_learning_rate: float = 1e-3

    heard_takes: int = Field(3, ge=1)
    """How often the frozen encoder hears each clip: as it is, and as other speakers in other rooms."""

    lm_hidden: int = 192
    lm_layers: int = 6
    lm_heads: int = 4
    lm_feed_forward: int = 480
    lm_steps: int = Field(6000, ge=1)
    lm_batch_tokens: int = Field(4800, ge=1)
    lm_learning_rate: float = 2.5e-3
    lm_branch_shares: dict[Literal["asr", "tts", "realtime"], Annotated[float, Field(ge=0)]] = {
        "asr": 0.1,
        "tts": 0.5,
        "realtime": 0.4,
    }
    """Shares of the batches; a batch is of one branch, and what is spoken in it of each voice as often."""
    lm_reasoning_share: float = Field(0.6, ge=0, le=1)
    """Share of realtime replies with hidden reasoning before them: what was heard, and what is to be said."""
    lm_thought_share: float = Field(0.5, ge=0, le=1)
    """Share of the realtime batches that end with the reasoning: short rows, which teach to understand."""
    lm_history_noise: float = Field(0.2, ge=0, le=1)
    """Highest share of audio tokens replaced in what the model reads of its own speech, so that it minds the text;
    each row draws its own share from 0 on."""
    lm_position_limit: int = 1024
    lm_bf16: bool = True
    """bfloat16 matrix products in training; the saved weights are float32."""

    mtp_depth: int = Field(5, ge=1, le=16)
    """Blocks of multi-token prediction, for the asr branch."""
    mtp_steps: int = Field(300, ge=0)
    mtp_batch_tokens: int = Field(1600, ge=1)
    mtp_learning_rate: float = 2e-3
    mtp_joint_steps: int = Field(0, ge=0)
    """Steps of joint calibration, which changes the language model too; 0 leaves it as it is."""
    mtp_joint_learning_rate: float = 2e-5
    mtp_stored: Literal["float32", "float16", "bfloat16"] = "float16"
    """Of the blocks on disk: what they draft is verified, so half precision costs no accuracy."""

    checkpoint_every: int = Field(200, ge=1)
    """Steps between the checkpoints that a stopped run resumes from."""

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """The recipe of a TOML file, or the default one; raises ConfigError."""
        return cls() if path is None else load_toml(path, cls)
