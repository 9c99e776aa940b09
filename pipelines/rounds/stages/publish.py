"""The gate: a candidate that won is promoted, one that did not is rejected; both with the evidence."""

from typing import Any

from trivox.pipelines.rounds import updating
from trivox.pipelines.rounds.config import PublishSection
from trivox.pipelines.rounds.context import Outcome, RoundContext
from trivox.platform.records import Decision, Evaluation, PolicyVersion, Stage
from trivox.platform.registry import promote, reject

ACTOR = "gate:publish@1"


def run(ctx: RoundContext) -> Outcome:
    candidate = ctx.ws.records.get(PolicyVersion, ctx.outputs(Stage.TRAIN)["policy"])
    evaluation = ctx.ws.records.get(Evaluation, ctx.outputs(Stage.EVALUATE)["evaluation"])
    limits = ctx.config.publish
    by_rewards = ctx.config.by_rewards
    faults = updating.faults(evaluation, limits) if by_rewards else gate(evaluation.results, limits)
    known = ctx.ws.records.find(Decision, subject=candidate.id)
    # How it was trained is a decision of its kind too.
    decided = [one for one in known if one.kind in ("promotion", "rejection")]
    decision = decided[0] if decided else _decide(ctx, candidate, evaluation, faults)
    return Outcome(
        {"evaluation": evaluation.id},
        {"policy": candidate.id, "promoted": not faults, "reason": decision.reason},
    )


def gate(results: dict[str, Any], limits: PublishSection) -> list[str]:
    """Why a candidate may not be promoted: one sentence for each limit it misses; empty when it may."""
    faults = []
    win, change = results["win_rate"], results["wer_change"]
    if win["rate"] is None:
        faults.append("no comparison was decisive")
    elif win["low"] <= limits.win_rate_above:
        faults.append(
            f"the win rate's 95% interval begins at {win['low']:.1%}, not above {limits.win_rate_above:.0%}"
        )
    if change["mean"] is None or change["mean"] > limits.wer_increase_at_most:
        shown = "unknown" if change["mean"] is None else f"{100 * change['mean']:+.1f} points"
        faults.append(
            f"held-out WER changes by {shown}, at most {100 * limits.wer_increase_at_most:+.1f} are allowed"
        )
    return faults


def _decide(
    ctx: RoundContext, candidate: PolicyVersion, evaluation: Evaluation, faults: list[str]
) -> Decision:
    evidence = {"evaluation": evaluation.id, "results": evaluation.results}
    if faults:
        return reject(ctx.ws, candidate, actor=ACTOR, reason="; ".join(faults), evidence=evidence)
    # No person judged the held-out clips: whatever the scorers' families, they stand in for people.
    return promote(
        ctx.ws,
        candidate,
        actor=ACTOR,
        reason="won on held-out prompts by automatic evaluators",
        evidence=evidence,
        proxy=True,
    )
