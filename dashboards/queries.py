"""What the pages show, read from a workspace. The simulated is never counted among the human."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trivox.platform.records import Evaluation, JudgeKind, Judgement, PolicyVersion, Round
from trivox.platform.store import Workspace

WIN_RATE = "win_rate"


@dataclass(frozen=True)
class RoundRow:
    """A round with the names of what it started from. error: why it stopped, None when it did not."""

    id: str
    branch: str
    algorithm: str
    policy: str
    stage: str
    status: str
    created_at: datetime
    error: str | None


@dataclass(frozen=True)
class PolicyRow:
    """A policy version. branch None is a backbone; parents by name."""

    id: str
    name: str
    branch: str | None
    status: str
    parents: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True)
class WinRateFigure:
    """Of a policy over its parent on held-out prompts, 0..1 with its 95% interval.

    rate is wins / (wins + losses), None when there are neither; proxy: no evaluator is independent of those
    that labelled.
    """

    policy: str
    rate: float | None
    low: float
    high: float
    wins: int
    losses: int
    ties: int
    proxy: bool
    evaluators: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """The first page. Newest rounds and policies come first; judgements has every kind of judge."""

    rounds: tuple[RoundRow, ...]
    policies: tuple[PolicyRow, ...]
    win_rate: WinRateFigure | None
    judgements: Mapping[JudgeKind, int]

    @property
    def is_empty(self) -> bool:
        return not self.rounds and not self.policies and not any(self.judgements.values())


def overview(workspace: Workspace) -> Overview:
    """Everything on the first page, of the workspace's current project."""
    policies = workspace.records.find(PolicyVersion, project=workspace.project)
    names = {policy.id: policy.name for policy in policies}
    rounds = workspace.records.find(Round, project=workspace.project)
    return Overview(
        tuple(_round_row(one, names) for one in reversed(rounds)),
        tuple(_policy_row(one, names) for one in reversed(policies)),
        _last_win_rate(workspace, names),
        {kind: _count(workspace, kind) for kind in JudgeKind},
    )


def _round_row(one: Round, names: Mapping[str, str]) -> RoundRow:
    return RoundRow(
        one.id,
        one.branch.value,
        one.algorithm,
        names.get(one.policy, one.policy),
        one.stage.value,
        one.status.value,
        one.created_at,
        one.error,
    )


def _policy_row(one: PolicyVersion, names: Mapping[str, str]) -> PolicyRow:
    parents = tuple(names.get(parent, parent) for parent in one.parents)
    branch = None if one.branch is None else one.branch.value
    return PolicyRow(one.id, one.name, branch, one.status.value, parents, one.created_at)


def _count(workspace: Workspace, kind: JudgeKind) -> int:
    found = workspace.records.find(Judgement, project=workspace.project, judge_kind=kind)
    replaced = {one.supersedes for one in found}
    return sum(one.id not in replaced for one in found)


def _last_win_rate(workspace: Workspace, names: Mapping[str, str]) -> WinRateFigure | None:
    """Of the newest evaluation that compared two policies."""
    for one in reversed(workspace.records.find(Evaluation, project=workspace.project)):
        if (figure := one.results.get(WIN_RATE)) is not None:
            return _figure(one, figure, names)
    return None


def _figure(one: Evaluation, figure: Mapping[str, Any], names: Mapping[str, str]) -> WinRateFigure:
    return WinRateFigure(
        names.get(one.policy, one.policy),
        figure["rate"],
        figure["low"],
        figure["high"],
        figure["wins"],
        figure["losses"],
        figure["ties"],
        one.proxy,
        tuple(sorted(one.evaluators)),
    )
