"""The whole recipe in miniature: the real teacher, two dozen sentences, three steps of each training."""

from pathlib import Path

import pytest

from trivox.pipelines.nano.prepare import prepare
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.train_codec import train_codec
from trivox.pipelines.nano.train_lm import train_lm


@pytest.fixture(scope="session")
def recipe() -> NanoRecipe:
    """12 sentences: with fewer the frames do not suffice for codebooks of 512."""
    return NanoRecipe(
        train_sentences=12,
        validation_sentences=2,
        test_sentences=2,
        codec_steps=3,
        codec_batch=2,
        codec_segment_frames=8,
        lm_hidden=32,
        lm_layers=2,
        lm_heads=2,
        lm_feed_forward=64,
        lm_steps=3,
        lm_batch=4,
        word_sequences=8,
        reading_steps=3,
        reading_batch=4,
        streaming_steps=3,
        streaming_batch=4,
        balance_steps=3,
        balance_batch=4,
        checkpoint_every=2,
    )


@pytest.fixture(scope="session")
def prepared(recipe: NanoRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano")
    prepare(recipe, folder)
    return folder


@pytest.fixture(scope="session")
def trained(recipe: NanoRecipe, prepared: Path) -> Path:
    """Both parts trained without a break, beside the corpus."""
    train_codec(recipe, prepared)
    train_lm(recipe, prepared)
    return prepared
