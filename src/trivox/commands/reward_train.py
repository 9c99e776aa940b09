"""`trivox reward train`: a scalar reward from preferences."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    print_figures,
    print_json,
)
from trivox.commands.reward_report import ModelOption, backbone_of, say_report

if TYPE_CHECKING:
    from trivox.pipelines.reward_training import ReportedReward
    from trivox.reward_models.bradley_terry.training import RewardSettings


def train(
    out: Annotated[
        Path | None,
        typer.Option(help="With --planted: folder for the model; it must not hold another run."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Preference sets to learn from, by the beginning of their ids."),
    ] = None,
    planted: Annotated[
        int | None,
        typer.Option(
            min=60, help="In place of sets: so many planted preferences of a simulated panel."
        ),
    ] = None,
    branch: Annotated[
        list[str] | None,
        typer.Option(
            help="asr, tts or realtime, several times for several; none: one joint model."
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="With --set: its name in the registry.")
    ] = "bradley-terry",
    model: ModelOption = "nano",
    recipe: Annotated[
        Path | None, typer.Option(help="TOML file of settings (docs/reward-models.md).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the splits and the training.")] = 0,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Train a Bradley-Terry reward model on preferences, and report on it with prompts it has not seen.

    Ties, margins and the judges' confidence count. With --set it is registered in the workspace with its report
    and the sets. Stopped, the same command goes on. Planted preferences are simulated: they show that it learns,
    not that it knows people's taste.
    """
    from trivox.platform.errors import UsageError

    if (planted is None) == (not set_) or (planted is None) != (out is None):
        raise UsageError("learn from what? give --set, or --planted with --out, not both")
    settings = _settings(recipe, branch or [])
    made = _trained(set_ or [], planted, out, settings, name, model, seed, workspace)
    told = made.to_json()
    if json:
        print_json(told)
        return
    print_figures({key: value for key, value in told.items() if key != "report"})
    say_report(made.report)
    typer.echo(f"report with plots: {made.trained.folder / 'report.html'}")


def _settings(recipe: Path | None, branches: list[str]) -> "RewardSettings":
    from trivox.platform.config import load_toml
    from trivox.platform.errors import UsageError
    from trivox.platform.records import Branch
    from trivox.reward_models.bradley_terry.training import RewardSettings

    settings = RewardSettings() if recipe is None else load_toml(recipe, RewardSettings)
    if not branches:
        return settings
    if strange := [one for one in branches if one not in list(Branch)]:
        raise UsageError(f"branch {strange[0]!r}: there are {', '.join(Branch)}")
    return settings.model_copy(update={"branches": tuple(Branch(one) for one in branches)})


def _trained(
    sets: list[str],
    planted: int | None,
    out: Path | None,
    settings: "RewardSettings",
    name: str,
    model: str,
    seed: int,
    workspace: Path,
) -> "ReportedReward":
    from trivox.commands.common import open_workspace
    from trivox.pipelines.reward_training import train_from_sets, train_planted
    from trivox.platform.progress import bar

    with bar() as shown:
        task = shown.add_task("train reward", total=None)

        def step(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        if planted is not None and out is not None:
            return train_planted(backbone_of(model), planted, settings, out, seed, on_step=step)
        with open_workspace(workspace) as ws:
            return train_from_sets(ws, sets, backbone_of(model), settings, name, seed, step)
