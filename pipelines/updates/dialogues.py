"""Multi-turn episodes for the trainers: simulated users ask, the policy answers, every turn has its reward.

Users of all episodes of a step speak turn by turn together, so that their replies are drawn in one batch. Only
what the policy said in a turn is trained on: the user's turns and what the policy said before are in the prompts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from trivox.pipelines.nano.domain import persona_reply
from trivox.pipelines.realtime.personas import character
from trivox.pipelines.realtime.simulator import User, UserTurn
from trivox.pipelines.updates.asking import Asker
from trivox.pipelines.updates.rewards import parts_of
from trivox.pipelines.updates.rubric import rubric_points
from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_seed
from trivox.platform.personas.registry import reference
from trivox.platform.records import (
    Failure,
    Persona,
    Rubric,
    Sampling,
    Split,
    Turn,
)
from trivox.platform.scoring import Item
from trivox.policy.branches.realtime import Said, realtime_constraint
from trivox.policy.engine import Generation, Request, RolloutEngine
from trivox.policy.speaker import Dialogue, Wave
from trivox.policy.trainers.rl.episodes import Episode, PolicyTurn
from trivox.reward_models.composition import ComposedValue, Composition

Voice = Callable[[str], Wave]
"""Words -> the user's recording of them, float32 [n] at the rate that the backbone hears."""


@dataclass
class Talk:
    """One dialogue as far as it has come. group: of the talks whose user wants the same; number: within it."""

    user: User
    group: str
    number: int
    heard: list[Wave | Said] = field(default_factory=list)
    history: list[Turn] = field(default_factory=list)
    asked: list[UserTurn] = field(default_factory=list)
    turns: list[PolicyTurn] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    reply: str | None = None

    @property
    def name(self) -> str:
        return f"{self.group}/{self.number}"


@dataclass(frozen=True)
class Dialogues:
    """Runs talks. voice: None where the user's turns are text."""

    asker: Asker
    rubric: Rubric
    sampling: Sampling
    turns: int
    voice: Voice | None

    def __post_init__(self) -> None:
        if self.asker.speaker.tokens.carries == "none":
            raise ConfigError(
                f"backbone {self.asker.speaker.backbone.folder} writes no words into its speech: the "
                "simulated user "
                "answers words: use a backbone that carries them"
            )

    def talk(self, persona: Persona, seed: int, number: int, split: Split) -> Talk:
        group = f"{reference(persona)}/{seed}"
        return Talk(User(persona, seed, self.turns, split), group, number)

    def run(self, engine: RolloutEngine, talks: Sequence[Talk], seed: int) -> None:
        """Every talk to its end: the user's last turn, or a dialogue that fills the model's context."""
        live = list(talks)
        while live := [talk for talk in live if self._asks(talk)]:
            asked = [(talk, self._request(talk, seed)) for talk in live]
            room = self.asker.speaker.backbone.position_limit
            asked = [(talk, request) for talk, request in asked if len(request.prompt) + 1 < room]
            live = [talk for talk, _ in asked]
            said = engine.generate([request for _, request in asked])
            for (talk, request), generation in zip(asked, said, strict=True):
                self._take(talk, request, generation)

    def points(self, talk: Talk) -> list[tuple[float, dict[str, float]]]:
        """The rubric on each turn."""
        persona = talk.user.persona
        return [
            rubric_points(self.rubric, persona, asked, item.text or "")
            for asked, item in zip(talk.asked, talk.items, strict=False)
        ]

    def _asks(self, talk: Talk) -> bool:
        turn = talk.user.next(talk.reply)
        if turn is None:
            return False
        talk.asked.append(turn)
        talk.history.append(turn.turn)
        talk.heard.append(self.voice(turn.text) if self.voice else Said("user", turn.text))
        return True

    def _request(self, talk: Talk, seed: int) -> Request:
        speaker, persona = self.asker.speaker, talk.user.persona
        asked = Dialogue(character(persona), tuple(talk.heard), persona.traits.get("voice", ""))
        drawn = derived_seed(seed, talk.group, talk.number, len(talk.turns))
        constraint = realtime_constraint(speaker.tokens)
        return speaker.reply_request(asked, constraint, drawn, self.sampling)

    def _take(self, talk: Talk, request: Request, said: Generation) -> None:
        talk.turns.append(
            PolicyTurn(
                request.prompt,
                said.tokens,
                said.logprobs,
                request.constraint,
                self.sampling.temperature,
                said.finish_reason,
                request.audio,
            )
        )
        talk.items.append(self._item(talk, said))
        talk.reply = talk.items[-1].text or ""
        talk.history.append(Turn("assistant", talk.reply))
        talk.heard.append(Said("assistant", talk.reply))

    def _item(self, talk: Talk, said: Generation) -> Item:
        """What scorers are told of the last reply."""
        speech = self.asker.speech(said.tokens)
        asked, number = talk.asked[-1], len(talk.turns) - 1
        return Item(
            rollout=f"{talk.name}/{number}",
            samples=speech.samples if len(speech.samples) else None,
            rate=self.asker.speaker.backbone.codec.spec.sample_rate,
            text=speech.text,
            language="en",
            finish_reason=said.finish_reason,
            prompt=f"{talk.group}/{number}",
            scope=f"turn:{number}",
            reference_text=_ideal(talk.user.persona, asked),
            instruction=talk.user.persona.traits.get("voice"),
            history=tuple(talk.history),
            persona=talk.user.persona,
            rubric=self.rubric,
        )


@dataclass(frozen=True)
class DialogueEpisodes:
    """`prompts` users in each step, each met `samples` times; the rewards of a turn are the composition's total
    and the rubric's points, times their weights. An `EpisodeSource`."""

    dialogues: Dialogues
    personas: Sequence[Persona]
    composition: Composition | None
    weights: tuple[float, float]
    prompts: int
    samples: int
    seed: int
    split: Split = Split.TRAIN

    def episodes(self, engine: RolloutEngine, step: int) -> list[Episode]:
        talks = self.begun(step)
        self.dialogues.run(engine, talks, derived_seed(self.seed, "talk", step))
        items = [item for talk in talks for item in talk.items]
        composed = iter(self.composition.score(items) if self.composition else [None] * len(items))
        return [self._episode(talk, [next(composed) for _ in talk.items]) for talk in talks]

    def begun(self, step: int) -> list[Talk]:
        """The talks of a step before anything is said."""
        rng = np.random.default_rng([self.seed, 2, step])
        drawn = rng.integers(len(self.personas), size=self.prompts).tolist()
        users = [
            (self.personas[which], derived_seed("user", self.seed, step, number))
            for number, which in enumerate(drawn)
        ]
        return [
            self.dialogues.talk(persona, seed, number, self.split)
            for persona, seed in users
            for number in range(self.samples)
        ]

    def _episode(self, talk: Talk, composed: Sequence[ComposedValue | None]) -> Episode:
        turns = tuple(talk.turns)
        failed = next((one.total.failure for one in composed if one and one.total.failure), None)
        if failed or not turns:
            why = failed or Failure("no_turn", "the first prompt left no room for a reply")
            return Episode(talk.group, turns, failure=why)
        points = self.dialogues.points(talk)
        of_composition, of_rubric = self.weights
        rewards = tuple(
            of_composition * (one.total.value or 0.0 if one else 0.0) + of_rubric * share
            for one, (share, _) in zip(composed, points, strict=True)
        )
        return Episode(talk.group, turns, rewards, _components(composed, points))


def _components(
    composed: Sequence[ComposedValue | None], points: Sequence[tuple[float, dict[str, float]]]
) -> dict[str, float]:
    """Means over the turns, by scorer and by criterion."""
    seen = [parts_of(one) for one in composed if one] + [shares for _, shares in points]
    seen += [{"rubric": share} for share, _ in points]
    names = dict.fromkeys(name for one in seen for name in one)
    return {name: float(np.mean([one[name] for one in seen if name in one])) for name in names}


def _ideal(persona: Persona, asked: UserTurn) -> str | None:
    """What a perfect assistant says, of a persona that has an opening and an address."""
    opening, address = persona.traits.get("opening"), persona.traits.get("address")
    if opening is None or address is None:
        return None
    return persona_reply(opening, address, asked.intent.answers[0].format(**asked.slots))
