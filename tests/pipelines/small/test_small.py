"""trivox-small out of the packages: it loads, decodes, is trained, publishes adapters, and its parts still know
what they knew. One build serves all tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, WhisperFeatureExtractor

from trivox.pipelines.backbones import add_backbone
from trivox.pipelines.small.build import build
from trivox.pipelines.small.recipe import SmallRecipe
from trivox.pipelines.small.weights import whisper_of
from trivox.pipelines.training.recipe import TrainingRecipe
from trivox.pipelines.training.service import train_policy
from trivox.platform.audio.io import read_audio, to_mono
from trivox.platform.hashing import derived_id
from trivox.platform.personas.registry import add, persona_of
from trivox.platform.records import Branch, Prompt, PromptItem, PromptSet, Sampling, Split, Turn
from trivox.platform.registry import lineage, resolve
from trivox.platform.store import Workspace
from trivox.policy.branches.asr import asr_constraint
from trivox.policy.branches.speech import speech_completion
from trivox.policy.branches.tts import tts_prompt
from trivox.policy.engine import Generation, Request
from trivox.policy.resident import ResidentPolicy
from trivox.policy.speaker import Dialogue, Speaker
from trivox.policy.trainers.dpo import DPOSettings, TokenPair, train_dpo
from trivox.policy.trainers.sft import SFTSettings
from trivox.reward_models.offline import WHISPER_TINY_EN, located, whisper_tiny_en

pytestmark = pytest.mark.slow
SPEECH = Path(__file__).resolve().parents[2] / "data" / "speech"
TIMER = "set_a_timer_for_fifteen_minutes"
LIGHT = "turn_off_the_light_in_the_bedroom"
RATE = 16_000
GREEDY = Sampling(temperature=0.0, max_tokens=8)
Wave = np.ndarray[Any, np.dtype[np.float32]]


def spoken(name: str) -> Wave:
    """float32 [n] at 16 kHz."""
    samples, rate = read_audio(SPEECH / f"{name}.flac")
    assert rate == RATE
    return to_mono(samples)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe as it ships, but for the place of its weights."""
    recipe = SmallRecipe(source="packages")
    return build(recipe, tmp_path_factory.mktemp("small") / "backbone").folder


@pytest.fixture(scope="module")
def policy(folder: Path) -> ResidentPolicy:
    return ResidentPolicy(folder, slots=2)


@pytest.fixture
def ws(tmp_path: Path, folder: Path) -> Iterator[Workspace]:
    """A workspace with the backbone in it and a row for each branch; answers are the first 0.6 s of a clip."""
    with Workspace.create(tmp_path / "ws") as made:
        add_backbone(made, folder, "small")
        add(made, persona_of(made.project, "anna", "a pilot", {"opening": "aye", "address": "sir"}))
        heard, answer = (
            made.audio.put(wave, RATE, project=made.project, source="test")
            for wave in (spoken(TIMER), spoken(LIGHT)[: int(0.6 * RATE)])
        )
        made.records.add(heard, answer)
        text = TIMER.replace("_", " ")
        turns = (Turn("user", text, heard.id),)
        said: dict[str, Any] = {"reference_audio": answer.id, "reference_text": "turn off"}
        prompts = [
            Prompt.of(Branch.ASR, ("en-US",), audio=heard.id, reference_text=text),
            Prompt.of(Branch.TTS, ("en-US",), text="turn off", reference_audio=answer.id),
            Prompt.of(Branch.REALTIME, ("en-US",), turns=turns, persona="anna@1", **said),
        ]
        items = tuple(PromptItem(one.id, Split.TRAIN, one.id, None, "test") for one in prompts)
        made.records.add(
            *prompts, PromptSet(derived_id("ps", "few"), made.project, "few", 1, items)
        )
        yield made


def decoded(speaker: Speaker) -> list[Generation]:
    """What each branch says, greedily."""
    wave = spoken(TIMER)
    (heard,) = speaker.transcribe([wave], GREEDY)
    (speech,) = speaker.speak(["turn off"], [0], GREEDY)
    (reply,) = speaker.reply([Dialogue("a pilot", (wave,))], [0], GREEDY)
    return [heard.generation, speech.generation, reply.generation]


@pytest.mark.parametrize("name", [TIMER, "call_john_tomorrow_in_the_morning"])
def test_the_encoder_hears_what_ctranslate2_hears(name: str) -> None:
    """Both from the same float16 weights, computed in float32."""
    recogniser = faster_whisper.WhisperModel(
        str(whisper_tiny_en()), device="cpu", compute_type="float32", cpu_threads=1
    )
    extractor = WhisperFeatureExtractor(feature_size=80)
    mel = extractor(spoken(name), sampling_rate=RATE, return_tensors="np")["input_features"]
    theirs = np.asarray(recogniser.encode(mel[0]))
    with torch.no_grad():
        encoder = whisper_of(located(WHISPER_TINY_EN)).encoder
        ours = encoder(torch.from_numpy(mel)).last_hidden_state.numpy()
    assert ours.shape == theirs.shape == (1, 1500, 384)
    assert np.abs(ours - theirs).max() < 2e-4


def test_the_backbone_hears_the_clip_alone(policy: ResidentPolicy) -> None:
    """Through the backbone, in bfloat16 weights and without 30 s of padding in its features: near the same."""
    backbone, wave = policy.backbone, spoken(TIMER)
    features = backbone.features(wave)
    assert backbone.embeddings(features) == -(-len(features) // 8)
    extractor = WhisperFeatureExtractor(feature_size=80)
    mel = extractor(wave, sampling_rate=RATE, return_tensors="pt")["input_features"]
    with torch.no_grad():
        whole = whisper_of(located(WHISPER_TINY_EN)).encoder(mel).last_hidden_state[0]
        adapter: Any = backbone.lm.model.adapter
        (ours,) = backbone.lm.model.hear(torch.from_numpy(features)[None])
        count = len(features) // 8
        theirs = adapter(whole[: 4 * count].reshape(count, -1).to(adapter.weight.dtype))
    alike = torch.nn.functional.cosine_similarity(ours[:count], theirs)
    assert float(alike.min()) > 0.99


def test_the_language_model_still_knows(policy: ResidentPolicy, folder: Path) -> None:
    """Where text is asked for: untrained audio tokens may be likelier than words."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(prompt)["input_ids"]
    request = Request(ids, asr_constraint(policy.backbone.tokens), GREEDY, seed=0)
    with policy.using(None) as speaker:
        (said,) = speaker.engine.generate([request])
    answer = policy.backbone.tokens.read_text(said.tokens)
    assert "Paris" in answer


def test_each_branch_decodes(policy: ResidentPolicy) -> None:
    tokens = policy.backbone.tokens
    with policy.using(None) as speaker:
        heard, *speech = decoded(speaker)
        assert {*heard.tokens} <= {*tokens.writable_ids(), tokens.eos}
        for one in speech:
            assert one.tokens and all(map(tokens.is_audio, one.tokens[:-1]))
            assert len(tokens.read_codes(one.tokens)) == len(one.tokens) // len(
                tokens.audio_offsets
            )
        assert [one.tokens for one in decoded(speaker)] == [
            heard.tokens,
            *(s.tokens for s in speech),
        ]


def test_three_steps_of_sft_are_published(ws: Workspace, policy: ResidentPolicy) -> None:
    with policy.using(None) as speaker:
        before = decoded(speaker)
    train = SFTSettings(
        epochs=3, accumulation=3, learning_rate=1e-3, train_tokens=True, lora_rank=8
    )
    recipe = TrainingRecipe(data={"few": 1.0}, parent="small", train=train)
    made = train_policy(ws, recipe, "small-few")
    assert made["rows"] == {"asr": 1, "tts": 1, "realtime": 1} and made["steps"] == 3
    first, *_, last = made["metrics"]
    for name in ("loss", "asr/loss", "tts/loss", "realtime/loss"):
        assert last[name] < first[name]
    published = resolve(ws, "small-few")
    assert [one.name for one in lineage(ws, published)] == ["small-few", "small"]
    with policy.using(ws.root / published.artefact) as speaker:
        assert [one.logprobs for one in decoded(speaker)] != [one.logprobs for one in before]
    with policy.using(None) as speaker:
        again = decoded(speaker)
    assert [one.tokens for one in again] == [one.tokens for one in before]
    assert [one.logprobs for one in again] == [one.logprobs for one in before]


def test_preferences_are_published(tmp_path: Path, folder: Path, policy: ResidentPolicy) -> None:
    """Two steps on one pair: the loss falls from log 2."""
    tokens = policy.backbone.tokens
    chosen, rejected = (
        speech_completion(tokens, np.full((3, 2), code, np.int32)) for code in (5, 200)
    )
    pair = TokenPair(tts_prompt(tokens, "turn off"), chosen, rejected)
    settings = DPOSettings(epochs=2, batch_size=1, sft_weight=0.0, lora_rank=8, warmup_share=0.0)
    made = train_dpo(folder, [pair], settings, tmp_path / "dpo", seed=0)
    assert made.metrics[0]["loss"] == pytest.approx(np.log(2), abs=1e-4)
    assert made.metrics[1]["loss"] < made.metrics[0]["loss"]
    with policy.using(made.folder) as speaker:
        assert decoded(speaker)[1].tokens
