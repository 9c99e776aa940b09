"""Scorers listen to every candidate."""

from collections import Counter

from trivox.pipelines.rounds.context import Outcome, RoundContext
from trivox.pipelines.rounds.listening import score
from trivox.platform.records import ScorerRole, Stage


def run(ctx: RoundContext) -> Outcome:
    made = ctx.outputs(Stage.ROLLOUT)["rollouts"]
    scorers, composition = ctx.config.score.roles, ctx.config.score.composition
    scores = score(ctx, ctx.rollouts(made), scorers, "score", composition)
    failures = Counter(one.failure.kind for one in scores if one.failure)
    not_passed = Counter(
        one.component
        for one in scores
        if one.role is ScorerRole.GATE and one.unit == "pass" and one.value == 0
    )
    names = {name: role.value for name, role in scorers.items()}
    composed = {} if composition is None else {"composition": composition.total}
    return Outcome(
        {"rollouts": len(made), "scorers": names} | composed,
        {"scores": len(scores), "failures": dict(failures), "gates_not_passed": dict(not_passed)},
    )
