"""The prompts that Trivox brings: recorded human ones for evaluation, and the domain of trivox-nano."""

import gzip
from pathlib import Path

import av
import numpy as np
import pytest

from trivox.pipelines.imports import builtin, builtin_prompts, import_human_prompts
from trivox.pipelines.nano.clips import plan
from trivox.pipelines.nano.domain import split_of, words
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.platform.errors import BadImport, ConfigError, NotFound
from trivox.platform.records import Audio, Branch, Consent, Prompt, Speaker, Split
from trivox.platform.store import Workspace


def g722(path: Path, pitch: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 9000 * np.sin(2 * np.pi * pitch * np.arange(16_000) / 16_000)
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=16_000)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])


@pytest.fixture
def exchange(source: Path) -> tuple[Path, Path]:
    """A tree as the packages have it."""
    g722(source / "sounds" / "added.g722", 300)
    g722(source / "sounds" / "digits" / "1.g722", 400)
    g722(source / "sounds" / "beep.g722", 500)
    g722(source / "sounds" / "letters" / "at.g722", 600)
    texts = source / "core-sounds-en.txt.gz"
    lines = (
        "; Core Asterisk Sounds in English\n\nadded: Added.\nbeep: [this is a simple beep tone]\n"
        "digits/1: one\nletters/at: at [@]\ngone: Not there.\n../../etc/passwd: stolen\n"
    )
    texts.write_bytes(gzip.compress(lines.encode()))
    return source / "sounds", texts


def test_human_prompts(workspace: Workspace, exchange: tuple[Path, Path]) -> None:
    report = import_human_prompts(workspace, *exchange)
    assert report.prompt_set.reference == "human-prompts@1" and report.taken == 3
    assert report.audio_seconds == pytest.approx(3.0, abs=0.01)
    prompts = [workspace.records.get(Prompt, item.prompt) for item in report.prompt_set.items]
    assert [prompt.reference_text for prompt in prompts] == ["Added.", "one", "at"]
    assert {prompt.branch for prompt in prompts} == {Branch.ASR}
    assert {item.split for item in report.prompt_set.items} == {Split.TEST}
    assert [refusal.row for refusal in report.refused] == ["gone", "../../etc/passwd"]
    assert "1 sounds without words left out" in report.notes
    samples, rate = workspace.audio.read(str(prompts[1].audio))
    assert rate == 16_000 and np.argmax(np.abs(np.fft.rfft(samples))) == pytest.approx(400, abs=1)


def test_human_prompts_are_for_evaluation_only(
    workspace: Workspace, exchange: tuple[Path, Path]
) -> None:
    import_human_prompts(workspace, *exchange)
    (speaker,) = workspace.records.find(Speaker)
    assert speaker.name == "Allison Smith" and not speaker.synthetic
    assert speaker.consents == (Consent.ANNOTATE,) and speaker.licence == "CC-BY-SA-3.0"
    audios = workspace.records.find(Audio)
    assert {(audio.speaker, audio.licence) for audio in audios} == {(speaker.id, "CC-BY-SA-3.0")}


def test_human_prompts_missing_or_damaged(
    workspace: Workspace, exchange: tuple[Path, Path]
) -> None:
    sounds, texts = exchange
    with pytest.raises(NotFound, match="apt-get install asterisk-core-sounds-en-g722"):
        import_human_prompts(workspace, sounds / "none", texts)
    texts.write_bytes(texts.read_bytes()[:40])
    with pytest.raises(BadImport, match="cannot be read"):
        import_human_prompts(workspace, sounds, texts)


SMALL = NanoRecipe(
    train_sentences={"heart": 300}, train_replies={}, word_sequences=0, test_sentences=30
)


def test_builtin_prompts_are_new_to_the_model(workspace: Workspace) -> None:
    """No clip of the corpus holds one; each is of the split by its hash."""
    made = builtin_prompts(workspace, train=60, test=40, seed=0, recipe=SMALL)
    assert made.reference == "nano-domain@1"
    assert len(made.prompts(Split.TRAIN)) == 60 and len(made.prompts(Split.TEST)) == 40
    texts = {
        item.prompt: str(workspace.records.get(Prompt, item.prompt).text) for item in made.items
    }
    known = {clip.text for split in Split for clip in plan(SMALL, split)}
    assert len(set(texts.values())) == 100 and not set(texts.values()) & known
    assert all(split_of(texts[item.prompt]) is item.split for item in made.items)
    assert len({text.split()[0] for text in texts.values()}) >= 15, (
        "no intent crowds out the others"
    )
    assert {word for text in texts.values() for word in text.split()} <= set(words())


def test_builtin_prompts_repeat(workspace: Workspace) -> None:
    first = builtin_prompts(workspace, train=3, test=2, seed=0, recipe=SMALL)
    assert builtin_prompts(workspace, train=3, test=2, seed=0, recipe=SMALL) == first
    other = builtin_prompts(workspace, train=3, test=2, seed=1, recipe=SMALL)
    assert other.version == 2 and other.items != first.items
    assert len(workspace.records.find(Prompt)) == 10


def test_builtin_prompts_of_a_domain_that_gives_no_more(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One draw for each sentence: some are of another split."""
    monkeypatch.setattr(builtin, "TRIES", 1)
    with pytest.raises(ConfigError, match=r"200 test prompts: the domain gave \d+ that are new"):
        builtin_prompts(workspace, train=0, test=200, seed=0, recipe=SMALL)
    assert workspace.records.find(Prompt) == []


@pytest.mark.parametrize(("train", "test"), [(0, 0), (-1, 5)])
def test_builtin_counts(workspace: Workspace, train: int, test: int) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        builtin_prompts(workspace, train=train, test=test, seed=0)
