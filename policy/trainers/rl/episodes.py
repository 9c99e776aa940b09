"""What a policy said and what it was worth: turns, episodes, and the tensors that they are trained on as."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trivox.platform.errors import ConfigError, WorkError
from trivox.platform.records import Failure, FinishReason
from trivox.policy.branches.constraint import Constraint
from trivox.policy.rows import Row, collate


@dataclass(frozen=True)
class PolicyTurn:
    """One completion of the policy: what it was asked, what it said, under which constraint.

    completion: token ids, the end included; logprobs: natural log of each at generation, under the distribution it
    was drawn from (constraint and temperature applied); audio: float32 [T, F] encoder features of the clips of the
    prompt. Raises ConfigError for a completion that is empty or whose log-probabilities are of another number.
    """

    prompt: list[int]
    completion: list[int]
    logprobs: list[float]
    constraint: Constraint
    temperature: float
    finish_reason: FinishReason
    audio: tuple[npt.NDArray[np.float32], ...] = ()

    def __post_init__(self) -> None:
        if not self.completion or len(self.logprobs) != len(self.completion):
            raise ConfigError(
                f"a turn has {len(self.completion)} completion tokens and {len(self.logprobs)} log-probabilities: "
                "give one for each, and at least one token"
            )

    @property
    def row(self) -> Row:
        return Row(self.prompt, self.completion, [True] * len(self.completion), self.audio)


@dataclass(frozen=True)
class Episode:
    """What one prompt led to: a single turn, or the policy's turns of a dialogue in their order.

    rewards: of each turn, given at its last token. components: named parts of the reward, for the record. failure:
    why there is no reward; such an episode is counted and trained on by nobody. staleness: how many updates lie
    between the policy that drew it and the one that learns from it.
    Raises WorkError for a reward that is not finite, ConfigError for as many rewards as turns not being given.
    """

    prompt: str
    turns: tuple[PolicyTurn, ...]
    rewards: tuple[float, ...] = ()
    components: dict[str, float] = field(default_factory=dict)
    failure: Failure | None = None
    staleness: int = 0

    def __post_init__(self) -> None:
        if self.failure is None and len(self.rewards) != len(self.turns):
            raise ConfigError(
                f"episode of {self.prompt}: {len(self.turns)} turns and {len(self.rewards)} rewards: give one for "
                "each turn, or a failure"
            )
        if any(not math.isfinite(reward) for reward in self.rewards):
            raise WorkError(
                f"episode of {self.prompt}: its rewards are {self.rewards}: a scorer that has no value has to "
                "return a failure"
            )

    @property
    def total(self) -> float:
        return sum(self.rewards)

    @property
    def truncated(self) -> bool:
        return any(turn.finish_reason is FinishReason.LENGTH for turn in self.turns)


@dataclass(frozen=True)
class Batch:
    """Turns side by side. R turns, L the longest prompt and completion, T the longest completion.

    inputs: of the model, right-padded, [R, L] and the audio. tokens int64 [R, T]; real bool [R, T]: a token stands
    there; chosen bool [R, T]: the constraint left the policy a choice, so it is an action; starts int64 [R]: the
    position of the first completion token; generated float64 [R, T]: log-probabilities at generation; choices:
    bool [U, V], the distinct sets of tokens that might follow, and choice int64 [R, T] which of them; temperature
    float64 [R]; episodes int64 [R]: which episode the turn is of; numbers int64 [R]: its place there, from 0.
    """

    inputs: dict[str, Tensor]
    tokens: Tensor
    real: Tensor
    chosen: Tensor
    starts: Tensor
    generated: Tensor
    choices: Tensor
    choice: Tensor
    temperature: Tensor
    episodes: Tensor
    numbers: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def to(self, device: torch.device) -> "Batch":
        moved = {name: value.to(device) for name, value in self.inputs.items()}
        rest = {
            name: getattr(self, name).to(device)
            for name in self.__dataclass_fields__
            if name != "inputs"
        }
        return Batch(moved, **rest)


def batch_of(
    turns: Sequence[PolicyTurn],
    episodes: Sequence[int],
    pad: int,
    numbers: Sequence[int] | None = None,
) -> Batch:
    """The turns as tensors; without numbers each is the first of its episode. Raises WorkError for a token that
    its constraint forbids: constraint and completion do not belong together."""
    width = max(len(turn.completion) for turn in turns)
    sets = _Sets()
    choice = torch.tensor([sets.walk(turn, index, width) for index, turn in enumerate(turns)])
    table = sets.table()
    real = torch.tensor([[at < len(turn.completion) for at in range(width)] for turn in turns])
    return Batch(
        inputs=collate([turn.row for turn in turns], pad),
        tokens=_filled([turn.completion for turn in turns], pad, width),
        real=real,
        chosen=real & (table.sum(1)[choice] > 1),
        starts=torch.tensor([len(turn.prompt) for turn in turns]),
        generated=_filled([turn.logprobs for turn in turns], 0.0, width).double(),
        choices=table,
        choice=choice,
        temperature=torch.tensor([turn.temperature for turn in turns], dtype=torch.float64),
        episodes=torch.tensor(list(episodes)),
        numbers=torch.tensor(list(numbers or [0] * len(turns))),
    )


class _Sets:
    """The distinct sets of allowed tokens, numbered as they are met."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._masks: list[npt.NDArray[np.bool_]] = []

    def walk(self, turn: PolicyTurn, index: int, width: int) -> list[int]:
        """The number of the set before each token of a turn; 0 after its end."""
        state, numbers = turn.constraint.start(), list[int]()
        for at, token in enumerate(turn.completion):
            mask = state.allowed()
            if not mask[token]:
                raise WorkError(
                    f"turn {index}: token {token} at {at} is not among the {int(mask.sum())} that its constraint "
                    "allows: the completion was made under another one"
                )
            numbers.append(self._number(mask))
            state.advance(token)
        return numbers + [0] * (width - len(numbers))

    def table(self) -> Tensor:
        return torch.from_numpy(np.stack(self._masks))

    def _number(self, mask: npt.NDArray[np.bool_]) -> int:
        key = np.packbits(mask).tobytes()
        if key not in self._numbers:
            self._numbers[key] = len(self._masks)
            self._masks.append(mask.copy())
        return self._numbers[key]


def _filled(rows: Sequence[Sequence[float]], fill: float, width: int) -> Tensor:
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])
