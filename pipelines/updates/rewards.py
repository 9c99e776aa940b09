"""Compositions of scorers as the rewards of policy updates: values stay values, failures stay failures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivox.pipelines.updates.asking import Asker
from trivox.platform.records import Branch, Prompt
from trivox.platform.scoring import Item
from trivox.policy.engine import Generation
from trivox.policy.trainers.rl.sources import Ask, Reward
from trivox.reward_models.composition import ComposedValue, Composition, PartState


@dataclass(frozen=True)
class CompositionReward:
    """The totals of a composition for answers to prompts; a batch is scored at once, so that groups and running
    means are those of the step. items: by prompt, before anything was answered."""

    composition: Composition
    asker: Asker
    branch: Branch
    items: Mapping[str, Item]
    weight: float = 1.0

    def __call__(self, answers: Sequence[tuple[Ask, Generation]]) -> list[Reward]:
        items = [
            self.asker.answered(
                self.items[ask.id], self.branch, said.tokens, said.finish_reason, f"{ask.id}/{n}"
            )
            for n, (ask, said) in enumerate(answers)
        ]
        return [reward_of(one, self.weight) for one in self.composition.score(items)]


def items_of(asker: Asker, prompts: Sequence[Prompt]) -> dict[str, Item]:
    return {prompt.id: asker.item(prompt) for prompt in prompts}


def reward_of(composed: ComposedValue, weight: float = 1.0) -> Reward:
    """The total with its parts, each as its scorer gave it; a total that failed is a failure."""
    if composed.total.value is None:
        return Reward(None, failure=composed.total.failure)
    return Reward(weight * composed.total.value, parts_of(composed))


def parts_of(composed: ComposedValue) -> dict[str, float]:
    """Figures by scorer, and `stopped`: 1 where a gate stopped the answer."""
    found = {
        part.scorer: part.value.value
        for part in composed.parts
        if part.value is not None and part.value.value is not None
    }
    stopped = any(part.state is PartState.STOPPED for part in composed.parts)
    return found | {"stopped": float(stopped)}


@dataclass(frozen=True)
class RunningStatistics:
    """The running means of a composition, kept by checkpoints so that a resumed run is the uninterrupted one."""

    composition: Composition

    def state(self) -> dict[str, dict[str, float]]:
        return self.composition.state()

    def restore(self, state: Mapping[str, Mapping[str, float]]) -> None:
        self.composition.restore(state)
