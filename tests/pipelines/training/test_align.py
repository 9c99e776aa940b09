"""Words to frames: by letters, by what the encoder hears, and rounded so that every word has a frame."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from trivox.pipelines.nano.align import word_frames
from trivox.pipelines.nano.train_encoder import LETTERS
from trivox.pipelines.training.align import (
    LETTERS_FILE,
    ByHearing,
    ByLetters,
    aligner_for,
    frames_of,
    proportional,
)
from trivox.policy.backbone import Backbone
from trivox.policy.encoder.features import log_mel

WAVE = np.random.default_rng(0).normal(size=16_000).astype(np.float32) * 0.1


def test_by_letters() -> None:
    """Each with the space before it: 3, 2 and 5 of 10."""
    aligner = ByLetters()
    assert aligner.shares(WAVE, 16_000, ["ab", "a", "abcd"]) == [0.3, 0.2, 0.5]
    assert aligner.approximate == 1


def test_frames_by_hand() -> None:
    """Edges at 2.4, 4 and 8 are rounded; a share of nothing still gets a frame, from its neighbour."""
    assert frames_of([0.3, 0.2, 0.5], 8) == [2, 2, 4]
    assert frames_of([0.5, 0.5, 0.0], 8) == [4, 3, 1]
    assert frames_of([0.0, 1.0], 5) == [1, 4]
    with pytest.raises(ValueError, match="2 frames are too few for 3 words"):
        frames_of([0.3, 0.3, 0.4], 2)


@given(words=st.lists(st.text("abc", min_size=1), min_size=1, max_size=9), spare=st.integers(0, 50))
def test_every_word_has_a_frame(words: list[str], spare: int) -> None:
    frames = frames_of(proportional(words), len(words) + spare)
    assert min(frames) >= 1
    assert sum(frames) == len(words) + spare


def write_letters(folder: Path) -> torch.nn.Linear:
    torch.manual_seed(3)
    head = torch.nn.Linear(16, len(LETTERS) + 1)
    save_file(head.state_dict(), folder / LETTERS_FILE)
    return head


def test_by_hearing(model_folder: Path, tmp_path: Path) -> None:
    """A backbone that has the letters of its encoder is aligned by them, on its own; others by their number."""
    assert isinstance(aligner_for(Backbone.load(model_folder)), ByLetters)
    folder = Path(shutil.copytree(model_folder, tmp_path / "spells"))
    head = write_letters(folder)
    backbone = Backbone.load(folder)
    aligner = aligner_for(backbone)
    assert isinstance(aligner, ByHearing)
    features = torch.from_numpy(log_mel(WAVE))[None]
    encoder = backbone.lm.model.encoder
    with torch.no_grad():
        hidden = encoder(features, torch.ones(features.shape[:2], dtype=torch.long))
        logprobs = head(hidden.last_hidden_state)[0].log_softmax(-1).numpy()
    wanted = word_frames(logprobs, "ab it's a")
    assert frames_of(aligner.shares(WAVE, 16_000, ["ab", "it's", "a"]), 25) == wanted
    assert wanted != frames_of(proportional(["ab", "it's", "a"]), 25)
    assert aligner.approximate == 0


def test_what_cannot_be_spelled_goes_by_letters(model_folder: Path, tmp_path: Path) -> None:
    """Other letters than the encoder's, and more letters than it has frames; both are counted."""
    folder = Path(shutil.copytree(model_folder, tmp_path / "spells"))
    write_letters(folder)
    aligner = aligner_for(Backbone.load(folder))
    assert aligner.shares(WAVE, 16_000, ["ça", "va"]) == [0.5, 0.5]
    assert aligner.shares(WAVE, 16_000, ["a" * 40, "a" * 40]) == [0.5, 0.5]
    assert aligner.approximate == 2
