"""What a policy said while it was trained on its own answers."""

from dataclasses import dataclass, field

from trivox.platform.records.prompts import Branch
from trivox.platform.records.rollouts import FinishReason
from trivox.platform.records.scores import Failure


@dataclass(frozen=True)
class PolicySample:
    """One episode of a step of PPO or GRPO, as it was rewarded: a single turn, or all that the policy said in a
    dialogue.

    round: the run, by the id of the version that it makes; step: from 0; index: its place in the step. staleness:
    how many updates lie between the policy that drew it and the one that learns from it. tokens and logprobs
    (natural log): of each turn of the policy, the end token included; rewards: of each turn, () with a failure;
    components: named parts of the reward. finish_reason: of the last turn, failed where there was none.
    """

    id: str
    project: str
    round: str
    branch: Branch
    prompt: str
    step: int
    index: int
    staleness: int
    tokens: tuple[tuple[int, ...], ...]
    logprobs: tuple[tuple[float, ...], ...]
    finish_reason: FinishReason
    rewards: tuple[float, ...] = ()
    components: dict[str, float] = field(default_factory=dict)
    failure: Failure | None = None
