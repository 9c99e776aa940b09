"""What a round did, in figures: gathered once, then told in the terminal, as HTML or as JSON."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trivox.pipelines.evaluation import summarise
from trivox.pipelines.rounds.context import RoundContext
from trivox.pipelines.rounds.finding import manifests
from trivox.platform.errors import NotFound
from trivox.platform.records import (
    Decision,
    Evaluation,
    PolicyVersion,
    Rollout,
    Round,
    Score,
    Stage,
)
from trivox.platform.store import Workspace

EXAMPLES = 4


@dataclass(frozen=True)
class Example:
    """One held-out prompt as parent and candidate spoke it; paths of FLAC files, None where nothing was said."""

    text: str
    verdict: str
    before: Path | None
    after: Path | None
    wer_before: float | None
    wer_after: float | None


@dataclass(frozen=True)
class RoundReport:
    """stages: name -> what it made; seconds: name -> duration. results as in pipelines.evaluation.summarise.

    proxy_reason: why the win rate is a proxy one, None when no family both labelled and evaluated.
    """

    round: str
    status: str
    branch: str
    algorithm: str
    seed: int
    policy: str
    candidate: str | None
    candidate_status: str | None
    judges: str
    evaluators: dict[str, str]
    proxy_reason: str | None
    stages: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    rewards: dict[str, dict[str, float]]
    results: dict[str, Any] | None
    decision: str | None
    examples: tuple[Example, ...]
    workspace: Path
    audio_folder: Path
    error: str | None

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values: paths as strings."""
        raw = asdict(self)
        for example in raw["examples"]:
            for side in ("before", "after"):
                example[side] = None if example[side] is None else str(example[side])
        return raw | {"workspace": str(self.workspace), "audio_folder": str(self.audio_folder)}


def report(ws: Workspace, round_: Round) -> RoundReport:
    """The report of a round as far as it has come."""
    ctx = RoundContext.of(ws, round_)
    done = manifests(ws, round_)
    evaluation = _evaluation(ws, round_)
    candidate = _candidate(ws, round_)
    decisions = ws.records.find(Decision, subject=candidate.id) if candidate else []
    return RoundReport(
        round=round_.id,
        status=round_.status.value,
        branch=round_.branch.value,
        algorithm=round_.algorithm,
        seed=round_.seed,
        policy=ctx.policy.name,
        candidate=candidate.name if candidate else None,
        candidate_status=candidate.status.value if candidate else None,
        judges=ctx.config.label.judges,
        evaluators=evaluation.evaluators if evaluation else {},
        proxy_reason=ctx.config.proxy_reason(),
        stages={stage.value: run.outputs for stage, run in done.items()},
        seconds={
            stage.value: (run.finished_at - run.started_at).total_seconds()
            for stage, run in done.items()
        },
        rewards=_rewards(ctx, done[Stage.ROLLOUT].outputs["rollouts"])
        if Stage.SCORE in done
        else {},
        results=evaluation.results if evaluation else None,
        decision=decisions[-1].reason if decisions else None,
        examples=_examples(ctx, evaluation) if evaluation else (),
        workspace=ws.root,
        audio_folder=ws.root / ws.config.audio,
        error=round_.error,
    )


def pool(ws: Workspace, rounds: list[Round]) -> dict[str, Any]:
    """The evaluations of several rounds (seeds, say) as one, with intervals clustered by prompt.

    Raises NotFound for a round that has not been evaluated.
    """
    evaluations = []
    for one in rounds:
        evaluation = _evaluation(ws, one)
        if evaluation is None:
            raise NotFound(f"round {one.id} is {one.status.value} and has no evaluation yet")
        evaluations.append(evaluation)
    rows = [row for evaluation in evaluations for row in evaluation.per_item]
    return {
        "rounds": [one.id for one in rounds],
        "seeds": [one.seed for one in rounds],
        "pairs": len(rows),
        **summarise(rows, seed=0),
    }


def _evaluation(ws: Workspace, round_: Round) -> Evaluation | None:
    found = ws.records.find(Evaluation, round=round_.id)
    return found[-1] if found else None


def _candidate(ws: Workspace, round_: Round) -> PolicyVersion | None:
    found = ws.records.find(PolicyVersion, round=round_.id)
    return found[-1] if found else None


def _rewards(ctx: RoundContext, rollouts: list[str]) -> dict[str, dict[str, float]]:
    """Per scorer of the candidates: mean over those with a value, how many have one, how many failed."""
    wanted, table = set(rollouts), dict[str, list[Score]]()
    for one in ctx.scores():
        if one.rollout in wanted:
            table.setdefault(one.scorer, []).append(one)
    return {name: _summary(scores) for name, scores in table.items()}


def _summary(scores: list[Score]) -> dict[str, float]:
    values = [one.value for one in scores if one.value is not None]
    mean = sum(values) / len(values) if values else float("nan")
    return {"mean": mean, "scored": len(values), "failed": len(scores) - len(values)}


def _examples(ctx: RoundContext, evaluation: Evaluation) -> tuple[Example, ...]:
    """Held-out prompts, the decisive ones first."""
    order = {"win": 0, "loss": 1, "tie": 2, "failed": 3}
    ranked = sorted(evaluation.per_item, key=lambda row: order[row["verdict"]])
    kinds = Counter[str]()
    chosen = []
    for row in ranked:
        kinds[row["verdict"]] += 1
        if kinds[row["verdict"]] <= EXAMPLES // 2:
            chosen.append(row)
    said = {rollout.id: rollout for rollout in ctx.rollouts()}
    return tuple(_example(ctx, said, row) for row in chosen[:EXAMPLES])


def _example(ctx: RoundContext, said: dict[str, Rollout], row: dict[str, Any]) -> Example:
    before, after = (said.get(row[side]) for side in ("parent_rollout", "candidate_rollout"))
    return Example(
        text=ctx.prompt(row["prompt"]).text or "",
        verdict=row["verdict"],
        before=_path(ctx.ws, before.audio if before else None),
        after=_path(ctx.ws, after.audio if after else None),
        wer_before=row["wer_before"],
        wer_after=row["wer_after"],
    )


def _path(ws: Workspace, audio: str | None) -> Path | None:
    return None if audio is None else ws.audio.path(audio)
