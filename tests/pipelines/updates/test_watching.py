"""What watchers hear, what the rubric counts, and what of a dialogue is trained on: by hand."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trivox.pipelines.nano.domain import INTENTS
from trivox.pipelines.realtime.personas import packaged_rubric
from trivox.pipelines.realtime.simulator import User, UserTurn
from trivox.pipelines.updates.asking import Asker
from trivox.pipelines.updates.dialogues import DialogueEpisodes, Dialogues
from trivox.pipelines.updates.rubric import rubric_points
from trivox.pipelines.updates.watching import AudioWatcher, HeldOut, silence_ratio
from trivox.platform.errors import ConfigError
from trivox.platform.personas.registry import persona_of
from trivox.platform.records import (
    Branch,
    Direction,
    Failure,
    FinishReason,
    Persona,
    Sampling,
    Split,
)
from trivox.platform.scoring import Item, ScorerInfo, Value
from trivox.platform.store import Workspace
from trivox.policy.backbone import Backbone
from trivox.policy.branches.constraint import TextConstraint
from trivox.policy.speaker import Speaker
from trivox.policy.trainers.rl.episodes import PolicyTurn, batch_of
from trivox.reward_models.composition import ComposedValue

ANNA = persona_of("p", "anna", "a pilot", {"opening": "aye", "address": "sir"})


class Said:
    """A scorer that says what it is told (a FAKE: no model)."""

    def __init__(self, name: str, unit: str, direction: Direction, *values: float | None) -> None:
        self.info = ScorerInfo(name, "1", "", "test", "c", unit, direction)
        self.values = iter(values)

    def score(self, items: Sequence[Item]) -> list[Value]:
        value = next(self.values)
        failure = Failure("no_audio", "none") if value is None else None
        return [Value(value, failure=failure) for _ in items]


def test_the_gap_by_hand() -> None:
    """The reward rises from .4 to .7; the error rate stays at .2, the MOS rises from 3 to 3.4, a tenth of its
    range: gains 0 and .1, so the gap is .3 - .05 = .25. In a step between nothing is asked; a failed score counts
    nowhere."""
    item = Item("r", None, None, None, "en")
    scorers = [
        Said("wer", "error rate", Direction.LOWER, 0.2, 0.2, None),
        Said("mos", "MOS", Direction.HIGHER, 3.0, 3.4, 3.0),
    ]
    probe: Any = HeldOut(lambda engine: [item], scorers, every=2)
    assert probe.probe(0, None, {"reward": 0.4})["gap"] == 0.0
    assert probe.probe(1, None, {"reward": 0.9}) == {}
    resumed: Any = HeldOut(lambda engine: [item], scorers, every=2)
    resumed.restore(probe.state())
    found = resumed.probe(2, None, {"reward": 0.7})
    assert found["gap"] == pytest.approx(0.25)
    assert (found["held_out/wer"], found["held_out/mos"]) == (0.2, 3.4)
    last = resumed.probe(4, None, {"reward": 0.7})
    assert "held_out/wer" not in last and last["gap"] == pytest.approx(0.3)


def test_silence_by_hand() -> None:
    """Two frames of 10 ms at full level and one of zeros: a third; nothing at all is silence alone."""
    wave = np.concatenate([np.ones(320), np.zeros(160)]).astype(np.float32)
    assert silence_ratio(wave, 16_000) == pytest.approx(1 / 3)
    assert silence_ratio(wave[:0], 16_000) == 1.0


def asked(**changes: Any) -> UserTurn:
    intent = next(one for one in INTENTS if len(one.topic) == 2)
    slots = {name: f"value{number}" for number, name in enumerate(intent.topic)}
    return UserTurn(
        **{"number": 1, "text": "do it", "intent": intent, "before": "", "slots": slots} | changes
    )


def test_rubric_points_by_hand() -> None:
    """One of two values named, both rules of the persona kept: (.4 x .5 + .3 x 1) / .7; a turn that leaves a value
    to the one before counts it as remembered too: .4 x .5 + .3 x 1 + .3 x .5 = .65."""
    rubric, first = packaged_rubric(), asked()
    total, shares = rubric_points(rubric, ANNA, first, "aye value0 sir")
    assert shares == {"on topic": 0.5, "in character": 1.0}
    assert total == pytest.approx(0.5 / 0.7)
    follow_up = asked(before="lamp", number=2)
    assert rubric_points(rubric, ANNA, follow_up, "aye value0 sir")[0] == pytest.approx(0.65)
    plain = persona_of("p", "tom", "a cook", {})
    assert rubric_points(rubric, plain, first, "value0 value1") == (1.0, {"on topic": 1.0})
    strange = replace(rubric, criteria={"kind": (1.0, "is kind")})
    with pytest.raises(ConfigError, match="'kind' is checked by no rule"):
        rubric_points(strange, ANNA, first, "aye")


@pytest.fixture
def dialogues(ws: Workspace, backbone: Backbone) -> Dialogues:
    asker = Asker(ws, Speaker(backbone, backbone.lm, 4))
    return Dialogues(asker, packaged_rubric(), Sampling(1.0, max_tokens=16), 3, None)


def test_only_what_the_policy_said_is_trained_on(dialogues: Dialogues) -> None:
    """Each turn is a row of its own: the user's turns and the policy's earlier ones lie in its prompt, which no
    action covers; each has its own reward; the same step is the same episodes; a group shares its user."""
    source = episodes_of(dialogues)
    made = source.episodes(dialogues.asker.speaker.engine, 3)
    assert len(made) == 4 and len({one.prompt for one in made}) == 2
    tokens = dialogues.asker.speaker.tokens
    for episode in made:
        assert 1 <= len(episode.turns) == len(episode.rewards) <= 3
        assert [turn.prompt.count(tokens.user) for turn in episode.turns] == [
            *range(1, len(episode.turns) + 1)
        ]
        assert [turn.prompt.count(tokens.assistant) for turn in episode.turns] == [
            *range(1, len(episode.turns) + 1)
        ]
    turns = [turn for episode in made for turn in episode.turns]
    batch = batch_of(turns, range(len(turns)), tokens.pad)
    for row, turn in enumerate(turns):
        assert int(batch.starts[row]) == len(turn.prompt)
        assert batch.tokens[row, : len(turn.completion)].tolist() == turn.completion
        assert int(batch.real[row].sum()) == len(turn.completion)
        assert not bool((batch.chosen[row] & ~batch.real[row]).any())
    again = source.episodes(dialogues.asker.speaker.engine, 3)
    assert [t.completion for e in again for t in e.turns] == [t.completion for t in turns]


def episodes_of(dialogues: Dialogues, composition: Any = None) -> DialogueEpisodes:
    weights = (1.0, 1.0)
    return DialogueEpisodes(dialogues, [ANNA], composition, weights, 2, 2, 0, Split.TRAIN)


def test_the_reward_of_a_turn_by_hand(dialogues: Dialogues) -> None:
    """Composition .5 with weight 2 and every rule of the rubric kept with weight 1: 2. Only the habits kept: 1 and
    .3 / .7, for nothing that was asked is named."""
    source = replace(episodes_of(dialogues), weights=(2.0, 1.0))
    tokens = dialogues.asker.speaker.tokens
    said = PolicyTurn([1], [tokens.eos], [-1.0], TextConstraint(tokens), 1.0, FinishReason.END)
    for words, wanted in (("all", 2.0), ("nothing", 1.0 + 0.3 / 0.7)):
        talk = dialogues.talk(ANNA, 0, 0, Split.TRAIN)
        turn = talk.user.next()
        assert turn is not None and turn.intent.topic
        named = " ".join(turn.slots[name] for name in turn.intent.topic)
        text = f"aye {named if words == 'all' else ''} sir"
        talk.asked, talk.turns = [turn], [said]
        talk.items = [Item("r", None, None, text, "en")]
        made = source._episode(talk, [ComposedValue(Value(0.5), ())])
        assert made.rewards == (pytest.approx(wanted),)
        assert made.components["in character"] == 1.0


def test_a_turn_that_cannot_be_scored_fails_its_episode(dialogues: Dialogues) -> None:
    """Typed, and trained on by nobody; the others keep their rewards."""

    class Broken:
        def score(self, items: Sequence[Item]) -> list[ComposedValue]:
            failed = Value(None, failure=Failure("component_failed", "no ears"))
            return [
                ComposedValue(failed if one.rollout.endswith("/0/0") else Value(0.5), ())
                for one in items
            ]

    made = episodes_of(dialogues, Broken()).episodes(dialogues.asker.speaker.engine, 0)
    failed = [one for one in made if one.failure]
    assert [one.failure.kind for one in failed if one.failure] == ["component_failed"] * 2
    assert all(one.rewards == () for one in failed)
    assert all(reward >= 0.5 for one in made if not one.failure for reward in one.rewards)


def test_what_the_audio_watcher_hears(dialogues: Dialogues, ws: Workspace) -> None:
    """Silence and pitch of some turns, the likeness where a voice was named; of asr nothing, for nothing
    sounds."""
    made = episodes_of(dialogues).episodes(dialogues.asker.speaker.engine, 0)
    seen = AudioWatcher(dialogues.asker, Branch.REALTIME, 2).watch(0, made)
    assert 0 <= seen["silence_ratio"] <= 1 and "speaker_similarity" not in seen
    clip: Any = object()
    items = {one.prompt: replace(Item("r", None, None, None, "en"), voice=clip) for one in made}
    likeness: Any = Said("speaker-similarity", "cosine", Direction.HIGHER, 0.8)
    watcher = AudioWatcher(dialogues.asker, Branch.TTS, 2, items, likeness)
    assert watcher.watch(0, made)["speaker_similarity"] == pytest.approx(0.8)
    assert AudioWatcher(dialogues.asker, Branch.ASR, 2).watch(0, made) == {}


def test_a_flat_voice_has_less_spread(
    dialogues: Dialogues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pitch that goes from 100 to 200 Hz spreads over more semitones than one that stays; of silence there is
    none, and the figure is left out."""
    made = episodes_of(dialogues).episodes(dialogues.asker.speaker.engine, 0)
    rate = dialogues.asker.speaker.backbone.codec.spec.sample_rate

    def spread(last: float, level: float = 0.3) -> float | None:
        hertz = np.linspace(100, last, 2 * rate)
        phase = 2 * np.pi * np.cumsum(hertz) / rate
        wave = level * sum(np.sin(n * phase) / n for n in (1, 2, 3, 4)).astype(np.float32)
        said = SimpleNamespace(samples=wave)
        monkeypatch.setattr(type(dialogues.asker), "speech", lambda self, tokens: said)
        return AudioWatcher(dialogues.asker, Branch.REALTIME, 1).watch(0, made).get("pitch_spread")

    flat, wide, silent = spread(100), spread(200), spread(100, level=0.0)
    assert flat is not None and wide is not None and silent is None
    assert flat < 1 < 4 < wide


def test_users_of_training_and_test_want_other_things() -> None:
    """No request of a training user is one of a test user."""

    def texts(split: Split) -> set[str]:
        persona: Persona = ANNA
        users = [User(persona, seed, 1, split) for seed in range(40)]
        return {turn.text for user in users if (turn := user.next()) is not None}

    assert not texts(Split.TRAIN) & texts(Split.TEST)
