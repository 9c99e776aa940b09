"""Watchers that hear: silence, pitch and voice of what a policy says, and held-out prompts beside the reward."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trivox.pipelines.updates.asking import IN_USE, Asker
from trivox.pipelines.updates.dialogues import DialogueEpisodes
from trivox.platform.audio.prosody import ACTIVITY, frame_levels, measure
from trivox.platform.hashing import derived_seed
from trivox.platform.records import Branch, Direction, Prompt
from trivox.platform.scoring import Item, Scorer
from trivox.policy.engine import RolloutEngine
from trivox.policy.trainers.rl.episodes import Episode, PolicyTurn

RANGES = {"MOS": 4.0}
"""What stands between the worst and the best value of a scorer, by unit; 1 for every other."""


@dataclass
class AudioWatcher:
    """Of up to `clips` turns of a step, spread over it.

    silence_ratio: mean share of 10 ms frames without speech; pitch_spread: mean range of the pitch in semitones,
    of clips with a voice in them; speaker_similarity: mean cosine to the voice that was asked for, by `speaker`,
    of prompts that name one. items: by prompt.
    """

    asker: Asker
    branch: Branch
    clips: int
    items: Mapping[str, Item] = field(default_factory=dict)
    speaker: Scorer | None = None

    def watch(self, step: int, episodes: Sequence[Episode]) -> Mapping[str, float]:
        said = [(one.prompt, turn) for one in episodes for turn in one.turns]
        if not said or not self.clips or self.branch is Branch.ASR:
            return {}
        places = np.linspace(0, len(said) - 1, min(self.clips, len(said))).round().astype(int)
        chosen = [said[place] for place in dict.fromkeys(places.tolist())]
        return self._measured([turn for _, turn in chosen]) | self._likeness(chosen)

    def _measured(self, turns: Sequence[PolicyTurn]) -> dict[str, float]:
        rate = self.asker.speaker.backbone.codec.spec.sample_rate
        waves = [self.asker.speech(turn.completion).samples for turn in turns]
        figures = {"silence_ratio": float(np.mean([silence_ratio(wave, rate) for wave in waves]))}
        spreads = [
            measured.pitch_spread
            for wave in waves
            if (measured := measure(wave, rate, loudness=False)).pitch_spread is not None
        ]
        return figures | ({"pitch_spread": float(np.mean(spreads))} if spreads else {})

    def _likeness(self, chosen: Sequence[tuple[str, PolicyTurn]]) -> dict[str, float]:
        items = [
            self.asker.answered(known, self.branch, turn.completion, turn.finish_reason, prompt)
            for prompt, turn in chosen
            if (known := self.items.get(prompt)) is not None and known.voice is not None
        ]
        if self.speaker is None or not items:
            return {}
        values = [one.value for one in self.speaker.score(items) if one.value is not None]
        return {"speaker_similarity": float(np.mean(values))} if values else {}


def silence_ratio(samples: np.ndarray, rate: int) -> float:
    """Share of whole 10 ms that lie ACTIVITY.below_db under the clip's 95th percentile, or under its floor; 1 for
    a clip without a frame. Two frames at full level and one of zeros: a third."""
    levels = 10 * np.log10(frame_levels(samples, rate) + 1e-20) if len(samples) else np.zeros(0)
    if not len(levels):
        return 1.0
    loud = max(float(np.percentile(levels, 95)) - ACTIVITY.below_db, ACTIVITY.floor_db)
    return float((levels <= loud).mean())


Answers = Callable[[RolloutEngine], list[Item]]
"""Asks the policy what was kept out of training, as it is used, and returns the answers."""


@dataclass
class HeldOut:
    """A `Probe`: every `every` steps held-out answers, scored by scorers outside of the reward.

    Figures: `held_out/SCORER` means; `gap`: by how much the reward has risen since the first look, as a share of
    reward_range, less by how much the held-out scores have, each as a share of its own range (1, or 4 of MOS). A
    reward that rises from 0.4 to 0.7 while a WER stays where it was has a gap of 0.3. dpo has no reward of an
    answer, and no gap.
    """

    answers: Answers
    scorers: Sequence[Scorer]
    every: int
    reward_range: float = 1.0
    first: dict[str, float] = field(default_factory=dict)

    def probe(
        self, step: int, engine: RolloutEngine, figures: Mapping[str, float]
    ) -> dict[str, float]:
        if step % self.every or not self.scorers:
            return {}
        items = self.answers(engine)
        found, gains = dict[str, float](), list[float]()
        for scorer in self.scorers:
            values = [one.value for one in scorer.score(items) if one.value is not None]
            if values:
                found[f"held_out/{scorer.info.name}"] = float(np.mean(values))
                gains.append(self._gain(scorer, float(np.mean(values))))
        if gains and "reward" in figures:
            proxy = figures["reward"] - self.first.setdefault("reward", figures["reward"])
            found["gap"] = proxy / self.reward_range - float(np.mean(gains))
        return found

    def _gain(self, scorer: Scorer, value: float) -> float:
        """Since the first look, more is better."""
        risen = value - self.first.setdefault(scorer.info.name, value)
        sign = -1.0 if scorer.info.direction is Direction.LOWER else 1.0
        return sign * risen / RANGES.get(scorer.info.unit, 1.0)

    def state(self) -> dict[str, Any]:
        return dict(self.first)

    def restore(self, state: Mapping[str, Any]) -> None:
        self.first = {name: float(value) for name, value in state.items()}


def to_prompts(asker: Asker, prompts: Sequence[Prompt], branch: Branch, seed: int) -> Answers:
    """One answer to each prompt, sampled as in use."""
    sampling = IN_USE[branch]
    requests = [asker.request(one, sampling, derived_seed(seed, one.id)) for one in prompts]
    items = [asker.item(one) for one in prompts]

    def answers(engine: RolloutEngine) -> list[Item]:
        said = engine.generate(requests)
        return [
            asker.answered(item, branch, one.tokens, one.finish_reason, item.rollout)
            for item, one in zip(items, said, strict=True)
        ]

    return answers


def to_users(source: DialogueEpisodes) -> Answers:
    """The replies to users whose requests no training episode has; always the same users."""

    def answers(engine: RolloutEngine) -> list[Item]:
        talks = source.begun(0)
        source.dialogues.run(engine, talks, source.seed)
        return [item for talk in talks for item in talk.items]

    return answers
