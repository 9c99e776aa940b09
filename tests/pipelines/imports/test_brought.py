"""The prompts that Trivox brings: recorded human ones for evaluation, and the domain of trivox-nano."""

import gzip
from pathlib import Path

import av
import numpy as np
import pytest

from trivox.pipelines.imports import builtin_prompts, import_human_prompts
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.sentences import sentences
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


def test_builtin_prompts_are_new_to_the_model(workspace: Workspace) -> None:
    recipe = NanoRecipe()
    made = builtin_prompts(workspace, train=60, test=40, seed=0)
    assert made.reference == "nano-domain@1"
    assert len(made.prompts(Split.TRAIN)) == 60 and len(made.prompts(Split.TEST)) == 40
    texts = [str(workspace.records.get(Prompt, item.prompt).text) for item in made.items]
    known = recipe.train_sentences + recipe.validation_sentences + recipe.test_sentences
    assert len(set(texts)) == 100 and not set(texts) & set(sentences(known, recipe.seed))
    assert len({text.split()[0] for text in texts}) >= 6, "no template crowds out the others"
    domain = {word for text in sentences(2000, 1) for word in text.split()}
    assert {word for text in texts for word in text.split()} <= domain


def test_builtin_prompts_repeat(workspace: Workspace) -> None:
    recipe = NanoRecipe(train_sentences=50, validation_sentences=5, test_sentences=5)
    first = builtin_prompts(workspace, train=3, test=2, seed=0, recipe=recipe)
    assert builtin_prompts(workspace, train=3, test=2, seed=0, recipe=recipe) == first
    other = builtin_prompts(workspace, train=3, test=2, seed=1, recipe=recipe)
    assert other.version == 2 and other.items != first.items
    assert len(workspace.records.find(Prompt)) == 10


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (0, 0, "at least one"),
        (-1, 5, "at least one"),
        (9000, 0, "the domain has 5432 that are new"),
    ],
)
def test_builtin_counts(workspace: Workspace, train: int, test: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        builtin_prompts(workspace, train=train, test=test, seed=0)
