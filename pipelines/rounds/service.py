"""What people and programs do with rounds: the one service behind command line, REST API, dashboard and worker.

Nothing here does the work of a round: that is `trivox worker`'s (or `trivox round run`'s, in the foreground). A
round therefore never depends on the browser tab or the script that asked for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from trivox import __version__
from trivox.annotation.leads import campaigns
from trivox.annotation.people.audit import SYSTEM, THE_SYSTEM, By, note
from trivox.pipelines.rounds import updating
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.context import RoundContext
from trivox.pipelines.rounds.finding import MAY, find_prompt_set, find_round
from trivox.pipelines.rounds.order import stages_of
from trivox.pipelines.rounds.owner import is_dead
from trivox.pipelines.rounds.production import check_speakable
from trivox.pipelines.rounds.views import (
    Lineage,
    Plan,
    RoundDiff,
    RoundState,
    difference,
    lineage_of,
    plan_of,
    state_of,
)
from trivox.platform.errors import ConfigError, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    Campaign,
    CampaignStatus,
    Round,
    RoundStatus,
    Split,
)
from trivox.platform.registry import resolve
from trivox.platform.store import Workspace

_REFUSAL = {
    "pause": "only one that is queued, running or waiting is paused",
    "resume": "only a paused one is resumed",
    "retry": "only a failed one is tried again",
    "cancel": "it cannot be cancelled",
}


class NotInThisState(UsageError):
    """The state of the round does not allow the verb."""


@dataclass(frozen=True)
class RoundService:
    """Rounds of the workspace's current project. by: who acts, for the audit log; rounds are named by id, by a
    unique beginning or end of one, or as "last".

    All methods raise NotFound for a round that is not there, and UsageError for what its state does not allow.
    """

    ws: Workspace
    by: By = THE_SYSTEM

    def find(self, name: str) -> Round:
        return find_round(self.ws, name)

    def rounds(self) -> list[Round]:
        """All of the project, the oldest first."""
        return self.ws.records.find(Round, project=self.ws.project)

    def plan(self, config: RoundConfig) -> Plan:
        """What this configuration would make and cost, without making any of it; raises as enqueue does."""
        round_ = self._checked(config)
        return plan_of(self.ws, round_, exists=bool(self.ws.records.find(Round, id=round_.id)))

    def enqueue(self, config: RoundConfig, loop: str | None = None) -> Round:
        """The round of this configuration, queued unless it is there already: its id follows from what it is.

        Raises NotFound for a policy or prompt set that is not there, UnspeakableText for prompts that the policy
        cannot say: before anything is written.
        """
        existing = self._known(config)
        if existing is not None:
            return existing
        self._refuse_reach(config)
        round_ = replace(self._checked(config), loop=loop)
        with self.ws.records.exclusive("audit"):
            if self.ws.records.add(round_):
                note(self.ws, self.by, "enqueue round", "Round", round_.id, seed=round_.seed)
        return self.ws.records.get(Round, round_.id)

    def start(self, config: RoundConfig) -> Round:
        """As enqueue; one that failed or is paused is queued again."""
        round_ = self.enqueue(config)
        if round_.status is RoundStatus.PAUSED:
            return self.resume(round_.id)
        return self.retry(round_.id) if round_.status is RoundStatus.FAILED else round_

    def pause(self, name: str) -> Round:
        """No stage goes on from here until it is resumed. A worker that has it stops between two units of work
        and keeps what is made; people may go on judging."""
        with self._saying("pause", name) as current:
            changed = self._changed(current, status=RoundStatus.PAUSED)
        return changed

    def resume(self, name: str) -> Round:
        """Go on where it was paused."""
        with self._saying("resume", name) as current:
            held = current.worker is not None and not is_dead(current.worker)
            # Who had it and has not stopped yet goes on; nobody else may take it meanwhile.
            status = RoundStatus.RUNNING if held else RoundStatus.QUEUED
            changed = self._changed(current, status=status)
        return changed

    def retry(self, name: str) -> Round:
        """Queue a failed round again: finished stages stay, and so do finished units of the one that failed."""
        with self._saying("retry", name) as current:
            changed = self._changed(current, status=RoundStatus.QUEUED, error=None)
        return changed

    def cancel(self, name: str) -> Round:
        """End a round for good; what it made stays, and nobody is asked to judge it any more."""
        with self._saying("cancel", name) as current:
            changed = self._changed(current, status=RoundStatus.CANCELLED)
            for one in self.ws.records.find(Campaign, round=current.id):
                if one.status is not CampaignStatus.CLOSED:
                    campaigns.close(self.ws, self.by, one.id)
        return changed

    def status(self, name: str) -> RoundState:
        return state_of(self.ws, self.find(name))

    def diff(self, one: str, other: str) -> RoundDiff:
        """What two rounds were told differently, and how what they made differs."""
        return difference(self.ws, self.find(one), self.find(other))

    def lineage(self, name: str) -> Lineage:
        """Where everything of a round came from, and what came of it."""
        return lineage_of(self.ws, self.find(name))

    @contextmanager
    def _saying(self, verb: str, name: str) -> Iterator[Round]:
        """The round as it is now, when the verb may be said to it; with an entry in the audit log."""
        id_ = self.find(name).id
        with self.ws.records.exclusive("audit"):
            current = self.ws.records.get(Round, id_)
            if current.status not in MAY[verb]:
                raise NotInThisState(
                    f"round {current.id} is {current.status.value}: {_REFUSAL[verb]}"
                )
            yield current
            note(self.ws, self.by, f"{verb} round", "Round", id_, was=current.status.value)

    def _changed(self, round_: Round, **changes: Any) -> Round:
        changed = replace(round_, updated_at=datetime.now(UTC), **changes)
        self.ws.records.replace(changed)
        return changed

    def _refuse_reach(self, config: RoundConfig) -> None:
        """A generative judge is a folder of this machine, or an address that it sends a key of its own to: who
        comes over the network does not choose those. Raises ConfigError."""
        if self.by.actor == SYSTEM:
            return
        updating.refuse_reach(config)
        if config.label.grm is not None:
            raise ConfigError(
                "label.grm names folders, addresses and keys of the machine that works: enqueue this round there, "
                "with `trivox round run --enqueue`"
            )

    def _known(self, config: RoundConfig) -> Round | None:
        """A round of this configuration that is there, also where an earlier version made it, which knew less of
        what can be configured."""
        wanted = _resolved(self.ws, config)
        same = {"policy": wanted.policy, "prompt_set": wanted.prompts, "seed": wanted.seed}
        for one in self.ws.records.find(Round, project=self.ws.project, **same):
            if _as_config(one) == wanted:
                return one
        return None

    def _checked(self, config: RoundConfig) -> Round:
        """As it would be stored, once its policy can say its prompts."""
        self._refuse_reach(config)
        known = self._known(config)
        if known is not None:
            return known
        round_ = _new(self.ws, config)
        ctx = RoundContext.of(self.ws, round_)
        if ctx.config.by_rewards:
            updating.check(self.ws, ctx.config)
            return round_
        for split in (Split.TRAIN, Split.TEST):
            check_speakable(ctx, ctx.split(split))
        return round_


def _as_config(round_: Round) -> RoundConfig | None:
    try:
        return RoundConfig.model_validate(round_.config)
    except ValueError:
        return None


def _resolved(ws: Workspace, config: RoundConfig) -> RoundConfig:
    policy, prompts = resolve(ws, config.policy), find_prompt_set(ws, config.prompts)
    if policy.branch not in (None, config.branch):
        raise ConfigError(
            f"policy {policy.name} is of branch {policy.branch}, the round of {config.branch.value}"
        )
    return config.model_copy(update={"policy": policy.id, "prompts": prompts.id})


def _new(ws: Workspace, config: RoundConfig) -> Round:
    resolved = _resolved(ws, config)
    stored = resolved.model_dump(mode="json")
    now = datetime.now(UTC)
    return Round(
        id=derived_id("round", ws.project, stored),
        project=ws.project,
        branch=config.branch,
        algorithm=config.algorithm,
        policy=resolved.policy,
        prompt_set=resolved.prompts,
        config=stored,
        seed=config.seed,
        stage=stages_of(resolved)[0],
        status=RoundStatus.QUEUED,
        created_at=now,
        updated_at=now,
        code_version=__version__,
    )
