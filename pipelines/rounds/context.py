"""What every stage of a round works with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from trivox.pipelines.pools.cluster import Resources
from trivox.pipelines.rounds.config import RoundConfig
from trivox.platform.records import (
    PolicyVersion,
    Prompt,
    PromptSet,
    Rollout,
    Round,
    Score,
    Split,
    Stage,
    StageRun,
)
from trivox.platform.records.budgets import CostKind
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import MACHINES, Measured, book, check_budget
from trivox.policy.backbone import locate


@dataclass(frozen=True)
class Outcome:
    """What a stage read and made, for its manifest: ids, hashes and counts."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]


@dataclass(frozen=True)
class Waiting:
    """The stage cannot go on without people; message says what they are to do."""

    message: str


class Stopped(Exception):
    """Somebody paused or cancelled the round: the stage leaves off between two units of work."""


def _never() -> None:
    """Nobody can pause a stage that is run by itself."""


@dataclass
class RoundContext:
    """A round at work: its records, its resolved configuration, and where its policy lies. check: raises Stopped
    when the stage should leave off; long stages call it between two units of work."""

    ws: Workspace
    round: Round
    config: RoundConfig
    check: Callable[[], None] = _never
    _prompts: dict[str, Prompt] = field(default_factory=dict)

    @classmethod
    def of(cls, ws: Workspace, round_: Round, check: Callable[[], None] = _never) -> "RoundContext":
        return cls(ws, round_, RoundConfig.model_validate(round_.config), check)

    @cached_property
    def prompt_set(self) -> PromptSet:
        return self.ws.records.get(PromptSet, self.round.prompt_set)

    @cached_property
    def policy(self) -> PolicyVersion:
        """The version that the round starts from."""
        return self.ws.records.get(PolicyVersion, self.round.policy)

    @cached_property
    def backbone(self) -> PolicyVersion:
        base = self.policy.backbone
        return self.policy if base is None else self.ws.records.get(PolicyVersion, base)

    @property
    def backbone_folder(self) -> Path:
        return locate(self.backbone.artefact, self.ws.root)

    def adapter_folder(self, policy: PolicyVersion) -> Path | None:
        """None for the backbone itself."""
        return None if policy.backbone is None else locate(policy.artefact, self.ws.root)

    def split(self, split: Split) -> list[Prompt]:
        """Prompts of one split, in the set's order."""
        return [self.prompt(prompt) for prompt in self.prompt_set.prompts(split)]

    def prompt(self, prompt_id: str) -> Prompt:
        if prompt_id not in self._prompts:
            self._prompts[prompt_id] = self.ws.records.get(Prompt, prompt_id)
        return self._prompts[prompt_id]

    def outputs(self, stage: Stage) -> dict[str, Any]:
        """What a finished stage made; raises NotFound when it has not finished."""
        return self.ws.records.get(StageRun, stage_run_id(self.round.id, stage)).outputs

    def rollouts(self, ids: Sequence[str] | None = None) -> list[Rollout]:
        """The round's rollouts, all of them or those of the ids, in the order of the ids."""
        stored = self.ws.tables.read(Rollout, round=self.round.id)
        if ids is None:
            return stored
        by_id = {rollout.id: rollout for rollout in stored}
        return [by_id[one] for one in ids if one in by_id]

    def scores(self) -> list[Score]:
        return self.ws.tables.read(Score, round=self.round.id)

    def book_unit(
        self, part: str, seconds: float, resources: Resources, stage: Stage | None = None
    ) -> None:
        """What a worker's unit of work cost, by its share of the cluster; the same part is booked once, however
        often it is made. stage: whose work it is, where it is made ahead of its own."""
        shares = {CostKind.CPU: resources.cpus, CostKind.GPU: resources.gpus}
        for kind, share in shares.items():
            if share:
                book(
                    self.ws.records,
                    project=self.round.project,
                    round=self.round.id,
                    kind=kind,
                    quantity=seconds * share,
                    key=("unit", part),
                    note={"stage": (stage or self.round.stage).value, "part": part},
                )

    def go_on(self) -> None:
        """Between two units of work: raises Stopped when the stage should leave off, BudgetSpent when nothing is
        left to pay for the next one, or to keep it in."""
        self.check()
        check_budget(
            self.ws.records,
            project=self.round.project,
            round=self.round.id,
            kind=MACHINES,
            stored=self._stored,
        )

    @cached_property
    def _stored(self) -> Measured:
        return Measured(self.ws.stored_bytes)


def stage_run_id(round_id: str, stage: Stage) -> str:
    return f"{round_id}:{stage.value}"
