"""Every answer that a policy was trained on, kept with its reward and its staleness, and read again as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivox.pipelines.updates.stops import decision_of
from trivox.platform.errors import NotFound
from trivox.platform.hashing import derived_id
from trivox.platform.records import Branch, FinishReason, PolicySample, PolicyVersion
from trivox.platform.registry import resolve
from trivox.platform.store import Workspace
from trivox.platform.store.parquet import from_row
from trivox.policy.backbone import locate
from trivox.policy.trainers.rl.episodes import Episode
from trivox.policy.vocabulary import TokenMap


@dataclass(frozen=True)
class Keeper:
    """A `Watcher` without figures: writes the episodes of each step into the workspace's tables, one part a step.

    A step that is made again, by a run that was resumed, takes the place of the old one.
    """

    ws: Workspace
    run: str
    branch: Branch

    def watch(self, step: int, episodes: Sequence[Episode]) -> Mapping[str, float]:
        made = [self._sample(step, index, one) for index, one in enumerate(episodes)]
        self.ws.tables.write(made, branch=self.branch, round=self.run, part=f"step-{step:06d}")
        return {}

    def _sample(self, step: int, index: int, one: Episode) -> PolicySample:
        return PolicySample(
            id=derived_id("sa", self.run, step, index),
            project=self.ws.project,
            round=self.run,
            branch=self.branch,
            prompt=one.prompt,
            step=step,
            index=index,
            staleness=one.staleness,
            tokens=tuple(tuple(turn.completion) for turn in one.turns),
            logprobs=tuple(tuple(turn.logprobs) for turn in one.turns),
            finish_reason=one.turns[-1].finish_reason if one.turns else FinishReason.FAILED,
            rewards=one.rewards,
            components=dict(one.components),
            failure=one.failure,
        )


@dataclass(frozen=True)
class Said:
    """A sample with its words, one text for each turn of the policy; what is no text is left out."""

    sample: PolicySample
    texts: tuple[str, ...]

    @property
    def reward(self) -> float | None:
        return None if self.sample.failure else sum(self.sample.rewards)


def said_by(ws: Workspace, run: str, step: int | None = None) -> list[Said]:
    """What a version said in a step of its own training (None: the last one), the lowest reward first, failures
    before it. run: a policy, or the id of a run that a watcher stopped.

    Raises NotFound for another name, for a version that was not trained on its own answers, and for a step that
    it has not.
    """
    run, tokens = _run_of(ws, run)
    kept = ws.tables.scan(PolicySample).filter(round=run)
    last = kept.select("step").max().collect().item()
    if last is None:
        raise NotFound(f"{run} has no samples: only PPO and GRPO train on what the policy says")
    chosen = last if step is None else step
    rows = kept.filter(step=chosen).sort("index").collect().iter_rows(named=True)
    found = [from_row(PolicySample, row) for row in rows]
    if not found:
        raise NotFound(f"{run} has no step {chosen}: it has 0 to {last}")
    said = [Said(one, tuple(tokens.read_text(turn) for turn in one.tokens)) for one in found]
    return sorted(said, key=lambda one: (one.reward is not None, one.reward or 0.0))


def _run_of(ws: Workspace, name: str) -> tuple[str, TokenMap]:
    """The id of a run and the tokens of its backbone."""
    if (stopped := decision_of(ws, name)) is not None:
        run, base = name, stopped.evidence["backbone"]
    else:
        policy = resolve(ws, name)
        run, base = policy.id, policy.backbone or policy.id
    backbone = ws.records.get(PolicyVersion, base)
    return run, TokenMap.load(locate(backbone.artefact, ws.root))
