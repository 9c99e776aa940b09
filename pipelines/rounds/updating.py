"""The other kind of round: rewards on what the policy itself says update it (GRPO, PPO), no preferences.

`train → evaluate → publish`: rollouts are drawn and scored step by step inside `train`, from the newest weights.
The same functions as `trivox policy train` and `compare` do the work, so that both make the same version of the
same recipe.
"""

from pathlib import Path

from trivox.pipelines.rounds.config import PublishSection, RoundConfig
from trivox.pipelines.rounds.context import Outcome, RoundContext
from trivox.pipelines.updates.evaluating import compare
from trivox.pipelines.updates.plan import plan_of
from trivox.pipelines.updates.recipe import UpdateRecipe
from trivox.pipelines.updates.service import update
from trivox.pipelines.updates.suites import Suites
from trivox.platform.errors import ConfigError
from trivox.platform.records import Branch, Evaluation, PolicyVersion, Stage
from trivox.platform.store import Workspace


def recipe_of(config: RoundConfig) -> UpdateRecipe:
    """As `trivox policy train` takes it."""
    asked = config.update
    return UpdateRecipe(
        algorithm=config.algorithm,
        branch=config.branch,
        parent=config.policy,
        prompts=None if config.branch is Branch.REALTIME else config.prompts,
        seed=config.seed,
        reward=asked.reward,
        watch=asked.watch,
        rehearsal=asked.rehearsal,
        dialogue=asked.dialogue,
        telemetry=asked.telemetry,
        workers=asked.workers,
        grpo=asked.grpo,
        ppo=asked.ppo,
    )


def check(ws: Workspace, config: RoundConfig) -> None:
    """Raises what `train` would raise before a model is loaded."""
    plan_of(ws, recipe_of(config), "planned")


def refuse_reach(config: RoundConfig) -> None:
    """Raises ConfigError where the update names files or servers of the machine that works."""
    composition, telemetry = config.update.reward.composition, config.update.telemetry
    if composition is not None and composition != Path(composition).stem:
        raise ConfigError(
            f"update.reward.composition {composition!r} is a file of the machine that works: name a packaged "
            "composition, or enqueue this round there"
        )
    if telemetry.tensorboard is not None or telemetry.mlflow is not None:
        raise ConfigError(
            "update.telemetry names a folder or a server: enqueue this round at the machine that works"
        )


def train(ctx: RoundContext) -> Outcome:
    name = f"{ctx.backbone.name}-{ctx.round.branch.value}-{ctx.round.id[-6:]}"
    made = update(
        ctx.ws,
        recipe_of(ctx.config),
        name,
        round=ctx.round.id,
        check=ctx.go_on,
        book=ctx.book_unit,
    )
    prompts = None if ctx.round.branch is Branch.REALTIME else ctx.prompt_set.id
    return Outcome(
        {"parent": ctx.policy.id, "prompt_set": prompts},
        {
            "policy": made["id"],
            "steps": made["steps"],
            "metrics": made["metrics"],
            "adapter_hash": made["artefact_hash"],
        },
    )


def evaluate(ctx: RoundContext) -> Outcome:
    """Candidate and parent on the branch's suite, answer by answer."""
    candidate = ctx.ws.records.get(PolicyVersion, ctx.outputs(Stage.TRAIN)["policy"])
    branch = ctx.round.branch
    suite = ctx.config.update.suite
    if suite.prompts is None and branch is not Branch.REALTIME:
        suite = suite.model_copy(update={"prompts": ctx.config.prompts})
    suites = Suites.model_validate({branch.value: suite, "seed": ctx.round.seed})
    found = compare(ctx.ws, candidate, ctx.policy, branch, suites)
    return Outcome(
        {"candidate": candidate.id, "parent": ctx.policy.id},
        {"evaluation": found.id, "results": found.results},
    )


def faults(evaluation: Evaluation, limits: PublishSection) -> list[str]:
    """Why a candidate may not be promoted: it did not win by enough, or a figure got worse than its margin."""
    win = evaluation.results["win_rate"]
    low = [] if win["rate"] is None or win["low"] > limits.win_rate_above else [_low(win, limits)]
    won = evaluation.results["not_won"]
    return [*(won or low), *evaluation.results["inferior"]]


def _low(win: dict[str, float], limits: PublishSection) -> str:
    return f"the win rate's 95% interval begins at {win['low']:.1%}, not above {limits.win_rate_above:.0%}"
