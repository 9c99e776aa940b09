"""A reward model of the round's preferences, where the configuration asks for one."""

from trivox.pipelines.reward_training import train_from_sets
from trivox.pipelines.rounds.context import Outcome, RoundContext
from trivox.platform.errors import ConfigError
from trivox.platform.progress import bar
from trivox.platform.records import Stage


def run(ctx: RoundContext) -> Outcome:
    settings = ctx.config.train_reward
    if settings is None:
        raise ConfigError(f"round {ctx.round.id} has no table train_reward: it trains none")
    preferences = ctx.outputs(Stage.AGGREGATE)["preference_set"]
    with bar() as shown:
        task = shown.add_task("train-reward", total=None)

        def step(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)
            ctx.go_on()

        made = train_from_sets(
            ctx.ws,
            [preferences],
            ctx.backbone_folder,
            settings,
            f"reward-{ctx.round.id[-6:]}",
            ctx.round.seed,
            step,
        )
    trained = made.trained
    return Outcome(
        {"preference_set": preferences},
        {
            "reward_model": made.facts["reward_model"],
            "pairs": trained.splits.counts,
            "steps": trained.steps,
            "weights_hash": trained.weights_hash,
        },
    )
