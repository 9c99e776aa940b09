"""The whole recipe in miniature: two dozen clips of tones, three steps of each training."""

from pathlib import Path

import pytest

from tests.pipelines.nano.tones import write_corpus
from trivox.pipelines.nano.export import export
from trivox.pipelines.nano.prepare import prepare
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.train_codec import train_codec
from trivox.pipelines.nano.train_encoder import train_encoder
from trivox.pipelines.nano.train_lm import train_lm
from trivox.policy.resident import ResidentPolicy


@pytest.fixture(scope="session")
def recipe() -> NanoRecipe:
    return NanoRecipe(
        tts_voices=("heart", "emma"),
        unseen_voices=("eric",),
        encoder_steps=3,
        encoder_batch=4,
        codec_steps=3,
        codec_batch=2,
        codec_segment_frames=8,
        heard_takes=2,
        lm_hidden=32,
        lm_layers=2,
        lm_heads=2,
        lm_feed_forward=64,
        lm_steps=4,
        lm_batch_tokens=400,
        checkpoint_every=2,
    )


@pytest.fixture(scope="session")
def prepared(recipe: NanoRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_corpus(tmp_path_factory.mktemp("nano"))
    prepare(recipe, folder)
    return folder


@pytest.fixture(scope="session")
def trained(recipe: NanoRecipe, prepared: Path) -> Path:
    """Each part trained without a break, beside the corpus."""
    for train in (train_codec, train_encoder, train_lm):
        train(recipe, prepared)
    return prepared


@pytest.fixture(scope="session")
def checkpoint(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "README.md").write_text("the card")
    export(trained, folder)
    return folder


@pytest.fixture(scope="session")
def policy(checkpoint: Path) -> ResidentPolicy:
    return ResidentPolicy(checkpoint)
