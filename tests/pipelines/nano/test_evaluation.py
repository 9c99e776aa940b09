"""What nano is judged by: the small steps by hand, and the whole evaluation on a model that knows nothing."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.pipelines.nano.tones import corpus_of, held_out_clips, sung
from trivox.pipelines.nano.clips import Clip, personas, plan
from trivox.pipelines.nano.corpus import Corpus
from trivox.pipelines.nano.evaluation.conversing import READINGS, Spoken, readings_of
from trivox.pipelines.nano.evaluation.conversing import _held_out as held_out_personas
from trivox.pipelines.nano.evaluation.hearing import hearing, recorded_prompts
from trivox.pipelines.nano.evaluation.judges import BATCH, error_rate, in_batches, recognise
from trivox.pipelines.nano.evaluation.service import Extent, _held_out, evaluate
from trivox.pipelines.nano.evaluation.speaking import _chosen, griffin_lim
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.realtime.episodes import run_episodes
from trivox.pipelines.realtime.personas import character, packaged_personas
from trivox.pipelines.realtime.simulator import Reply, scripted_reply
from trivox.platform.audio.io import read_audio
from trivox.platform.errors import NotFound
from trivox.platform.records import Branch, Persona, Prompt, PromptItem, PromptSet, Split, Turn
from trivox.platform.store import Workspace
from trivox.policy.resident import ResidentPolicy
from trivox.policy.speaker import Speaker, Transcript

SPEECH = Path(__file__).parents[2] / "data" / "speech"
SAID = "call john tomorrow in the morning"
Wave = npt.NDArray[np.float32]


def test_batches_keep_the_order() -> None:
    seen: list[int] = []

    def double(part: Sequence[int]) -> list[int]:
        seen.append(len(part))
        return [2 * one for one in part]

    assert in_batches(range(BATCH + 3), "doubling", double) == list(range(0, 2 * BATCH + 6, 2))
    assert seen == [BATCH, 3]
    assert in_batches([], "nothing", double) == []


def test_error_rate_is_pooled() -> None:
    """One word of four is wrong in the first, none of one in the second: 1 / 5, not 1 / 8."""
    assert error_rate(["turn on the light", "stop"], ["turn on a light", "stop"]) == 0.2


def test_nothing_is_heard_in_no_samples() -> None:
    class Deaf:
        name = "deaf"

        def transcribe(self, samples: Wave, language: str) -> str:
            return f"{len(samples)} {language}"

    waves = [np.zeros(3, np.float32), np.zeros(0, np.float32)]
    assert recognise(Deaf(), waves, "listening") == ["3 en-US", ""]  # type: ignore[arg-type]


def test_clips_are_chosen_by_voice_in_turn() -> None:
    """Of a h, a h, a e: h0 e2 h1; a voice without clips takes no turn."""
    clips = [Clip("sentence", "a", voice) for voice in ("heart", "heart", "emma", "eric")]
    corpus = corpus_of(clips)
    voices = ("heart", "michael", "emma")
    assert _chosen(corpus, voices, 60) == [0, 2, 1]
    assert _chosen(corpus, voices, 2) == [0, 2]
    assert _chosen(corpus, ("michael",), 5) == []


def test_griffin_lim_keeps_the_length_and_what_is_loud() -> None:
    """80 ms of silence between two tones stay quiet; phases are guessed the same each time."""
    wave = sung("aa aa", "heart", 0)
    rebuilt = griffin_lim(wave, iterations=8)
    assert rebuilt.shape == wave.shape and rebuilt.dtype == np.float32
    tone, gap = (np.sqrt((part**2).mean()) for part in (rebuilt[:2560], rebuilt[2960:3440]))
    assert tone == pytest.approx(np.sqrt((wave[:2560] ** 2).mean()), rel=0.4) and gap < 0.25 * tone
    np.testing.assert_array_equal(griffin_lim(wave, iterations=8), rebuilt)


class Listener:
    """Stands for a speaker: hears what it is told, by the number of samples."""

    longest_s = 1.0

    def __init__(self, heard: dict[int, str]) -> None:
        self.heard = heard

    def transcribe(self, waves: Sequence[Wave]) -> list[Transcript]:
        return [Transcript(self.heard[len(wave)], None) for wave in waves]  # type: ignore[arg-type]


def test_hearing_by_voice() -> None:
    """heart: 1 of 2 words wrong; emma: none of 3; eric, unseen: 2 of 4. Seen voices together: 1 / 5."""
    texts = {"heart": "turn on", "emma": "set a timer", "eric": "where is the bag"}
    corpus = corpus_of([Clip("sentence", text, voice) for voice, text in texts.items()])
    heard = dict(zip(map(len, texts.values()), ["turn of", "set a timer", "is a bag"], strict=True))
    listener = Listener({1280 * letters: text for letters, text in heard.items()})
    figures = hearing(listener, corpus, ("heart", "emma"))  # type: ignore[arg-type]
    assert figures == {
        "asr_sentences": 3,
        "asr_wer": 0.2,
        "asr_unseen_wer": 0.5,
        "asr_wer_by_voice": {"heart": 0.5, "emma": 0.0, "eric": 0.5},
    }
    seen = corpus_of(corpus.clips[:2])
    assert hearing(listener, seen, ("heart", "emma"))["asr_unseen_wer"] is None  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def speaker(policy: ResidentPolicy) -> Speaker:
    with policy.using(None) as found:
        return found


def test_hearing_of_a_model_that_knows_nothing(speaker: Speaker, trained: Path) -> None:
    figures = hearing(speaker, Corpus.load(trained / "test"), ("heart", "emma"))
    assert figures["asr_sentences"] == 3
    assert min(figures["asr_wer"], figures["asr_unseen_wer"]) > 0.5
    assert figures["asr_wer_by_voice"].keys() == {"heart", "emma", "eric"}


def test_personas_that_no_training_reply_had() -> None:
    """As the training wrote personas: NAME says OPENING and calls me ADDRESS."""
    found = held_out_personas()
    assert [(p.traits["opening"], p.traits["address"]) for p in found] == personas(held_out=True)
    opening, address = personas(held_out=True)[0]
    assert character(found[0]) == f"anna says {opening} and calls me {address}"
    assert len({persona.id for persona in found}) == 16


def test_held_out_speech_that_is_there_is_used(
    recipe: NanoRecipe, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "test", tmp_path / "test")
    corpus, left_out = _held_out(recipe, tmp_path)
    assert corpus.clips == held_out_clips() and left_out == []


def test_without_the_other_voices_heart_alone_is_spoken(tmp_path: Path) -> None:
    """The real teacher; the voices that it lacks are named."""
    recipe = NanoRecipe(test_sentences=2, prepare_workers=1)
    corpus, left_out = _held_out(recipe, tmp_path)
    alone = recipe.model_copy(update={"tts_voices": ("heart",), "unseen_voices": ()})
    assert corpus.clips == plan(alone, Split.TEST) and len(corpus) == 2
    assert left_out == ["michael", "emma", "eric", "nova"]
    again, still_out = _held_out(recipe, tmp_path)
    assert again.clips == corpus.clips and still_out == left_out
    assert _chosen(corpus, recipe.tts_voices, 60) == [0, 1]


def recordings(workspace: Workspace, waves: Sequence[Wave], rate: int = 16_000) -> PromptSet:
    """Prompts of the words "call john tomorrow in the morning"."""
    items = []
    for wave in waves:
        audio = workspace.audio.put(wave, rate, project="default", source="test")
        prompt = Prompt.of(Branch.ASR, ("en-US",), audio=audio.id, reference_text=SAID)
        workspace.records.add(audio, prompt)
        items.append(PromptItem(prompt.id, Split.TEST, prompt.id, "CC0-1.0", "test"))
    return PromptSet("ps_people", "default", "people", 1, tuple(items))


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "workspace") as made:
        yield made


def test_recordings_at_another_rate_or_gone(workspace: Workspace) -> None:
    listener = Listener({})
    at_8000 = recordings(workspace, [np.ones(800, np.float32) * 0.1], 8000)
    with pytest.raises(NotFound, match="is at 8000 Hz, not 16000: import it again"):
        recorded_prompts(listener, workspace, at_8000)  # type: ignore[arg-type]
    prompt = Prompt.of(Branch.ASR, ("en-US",), text="stop")
    workspace.records.add(prompt)
    item = PromptItem(prompt.id, Split.TEST, prompt.id, None, "test")
    silent = PromptSet("ps_none", "default", "none", 1, (item,))
    with pytest.raises(NotFound, match="has no recording: import the set with --branch asr"):
        recorded_prompts(listener, workspace, silent)  # type: ignore[arg-type]


@pytest.mark.slow
def test_recordings_of_people(workspace: Workspace) -> None:
    """Of the words, 2 of 6 are wrong; Whisper hears them all. What is longer than a second here is left out."""
    wave, rate = read_audio(SPEECH / f"{SAID.replace(' ', '_')}.flac")
    assert rate == 16_000
    listener = Listener({len(wave): "call tom tomorrow the morning"})
    listener.longest_s = len(wave) / rate
    prompts = recordings(workspace, [wave, np.tile(wave, 2)])
    figures = recorded_prompts(listener, workspace, prompts)  # type: ignore[arg-type]
    assert figures["prompt_set"] == "people@1"
    assert (figures["recordings"], figures["too_long"]) == (1, 1)
    assert figures["minutes"] == pytest.approx(len(wave) / 16_000 / 60)
    assert figures["asr_wer"] == pytest.approx(2 / 6) and figures["judge_wer"] == 0
    listener.longest_s = 0.5
    nothing = recorded_prompts(listener, workspace, prompts)  # type: ignore[arg-type]
    assert nothing["asr_wer"] is nothing["judge_wer"] is None and nothing["too_long"] == 2


@pytest.mark.slow
def test_the_whole_evaluation(recipe: NanoRecipe, checkpoint: Path, trained: Path) -> None:
    """Whisper and DistillMOS judge a model of random weights: every figure is there, and none flatters it."""
    figures = evaluate(checkpoint, trained, recipe, Extent(sentences=2, style=1, episodes=1))
    assert figures["voices_left_out"] == []
    assert figures["sentences"] == 2 and figures["asr_sentences"] == 3
    for name in ("asr_wer", "tts_wer", "codec_wer", "tts_single_take_wer", "teacher_wer"):
        assert figures[name] > 0.4, name
    for name in ("tts_mos", "codec_mos", "griffin_lim_mos", "teacher_mos"):
        assert figures[name] is None or 0.5 < figures[name] < 4, name
    assert figures["tts_wer_by_voice"].keys() == {"heart", "emma"}
    assert len(figures["style"]["contrasts"]) == 7
    for part in ("", "_reasoning", "_new_personas", "_teacher"):
        conversed = figures[f"realtime{part}"]
        assert conversed["episodes"] == 1 and conversed["heard"]["all"]["asked"] >= 1
    perfect = figures["realtime_teacher"]
    assert perfect["written"]["all"]["both"]["rate"] == 1.0
    assert perfect["closed_set"]["all"]["both"]["rate"] >= perfect["heard"]["all"]["both"]["rate"]


def test_episodes_in_three_readings() -> None:
    """Three turns of perfect replies: written as they are, heard with "I" for "aye", read right in the closed set.
    In persona: 1, 0 and 1."""
    persona = packaged_personas()[0]
    assert persona.traits["opening"] == "aye"
    said = dict[str, Spoken]()

    def reply(asked: Persona, turns: Sequence[Turn]) -> Reply:
        written = scripted_reply(asked, turns).text or ""
        name = f"reply-{len(said)}"
        said[name] = Spoken(written, written.replace("aye", "I"), written)
        return Reply(written, name)

    figures = readings_of(run_episodes(reply, [persona], 1, 0), said)
    rates = {name: figures[name]["all"]["in_persona"]["rate"] for name in READINGS}
    assert rates == {"written": 1.0, "heard": 0.0, "closed_set": 1.0}
    assert [figures[name]["all"]["on_topic"]["rate"] for name in READINGS] == [1.0] * 3
    assert len(figures["heard"]["by_turn"]) == 3


@pytest.mark.slow
def test_parts_that_are_left_out(recipe: NanoRecipe, checkpoint: Path, trained: Path) -> None:
    figures = evaluate(checkpoint, trained, recipe, Extent(sentences=1, style=0, episodes=0))
    assert not {"style", "realtime", "human"} & figures.keys()
