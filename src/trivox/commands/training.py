"""`trivox policy train` and `train-mtp`: new versions of the shared model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_figures,
    print_json,
)

if TYPE_CHECKING:
    from trivox.pipelines.training.recipe import TrainingRecipe
    from trivox.pipelines.updates.recipe import UpdateRecipe

ALGORITHMS = ("sft", "dpo", "ppo", "grpo")


def train(
    name: Annotated[str, typer.Option(help="Name of the version that is made.")],
    algorithm: Annotated[
        str,
        typer.Option(
            help="sft: on reference answers; grpo, ppo: on rewards of what the policy says; dpo: on preferences."
        ),
    ] = "sft",
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="sft: prompt set, `name` or `name@version`, and how often its rows are seen in an epoch (1). "
            "Repeat it for a mixture.",
            metavar="SET[=WEIGHT]",
        ),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(help="grpo, ppo: prompt set that asr or tts answers.", metavar="SET"),
    ] = None,
    preferences: Annotated[
        list[str] | None,
        typer.Option(help="dpo: id of a preference set; repeat it.", metavar="ID"),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="TOML file (docs/training.md, docs/policy-updates.md); the options override it.",
            metavar="FILE",
        ),
    ] = None,
    branch: Annotated[
        list[str] | None,
        typer.Option(
            help="asr, tts or realtime: which is updated; sft: only rows of this branch, seen so often. Repeat it "
            "for several.",
            metavar="BRANCH[=WEIGHT]",
        ),
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(
            help="Version to start from (nano): a backbone, or an adapter to train further."
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Train all weights, in place of a LoRA adapter: a new backbone."
        ),
    ] = False,
    epochs: Annotated[
        int | None, typer.Option(help="sft, dpo: how often every row or pair is seen.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="grpo, ppo: how often rollouts are made and trained on.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="At its highest; --full wants about a tenth of LoRA's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed is another version.")] = None,
    exclude: Annotated[
        bool,
        typer.Option("--exclude", help="sft: leave rows that cannot be used out, and count them."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check everything, say what would be done, load no model."),
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Train a version and register it as a candidate: on reference answers, on rewards, or on preferences.

    Started again in the same way, a run that was stopped goes on from its last checkpoint, and one that is done is
    shown. Watchers outside the reward may stop grpo and ppo: the reason is kept, and nothing is registered.

    \b
    trivox policy train --data calls --name nano-calls
    trivox policy train --algorithm grpo --branch asr --prompts calls --name nano-hears
    trivox policy train --algorithm ppo --branch realtime --name nano-talks --dry-run
    trivox policy train --algorithm dpo --branch tts --preferences ps_1a2b --name nano-speaks
    """
    from trivox.platform.errors import ConfigError

    asked = _algorithm(algorithm, recipe)
    if asked not in ALGORITHMS:
        raise ConfigError(f"algorithm {asked!r}: choose from {', '.join(ALGORITHMS)}")
    if asked == "sft":
        refused = {"--prompts": prompts, "--preferences": preferences, "--steps": steps}
        _refuse(asked, refused)
        overrides = {
            "data": _weighted(data, "--data"),
            "parent": parent,
            "seed": seed,
            "on_unusable": "exclude" if exclude else None,
            "train.branch_weights": _only(_weighted(branch, "--branch")),
            "train.lora_rank": 0 if full else None,
            "train.epochs": epochs,
            "train.learning_rate": learning_rate,
        }
        return _train_sft(recipe, overrides, name, workspace, dry_run, json)
    _refuse(asked, {"--data": data, "--exclude": exclude or None})
    _refuse(asked, {"--steps": steps} if asked == "dpo" else {"--epochs": epochs})
    changed: dict[str, Any] = {
        "algorithm": asked,
        "branch": _one_branch(branch),
        "parent": parent,
        "prompts": prompts,
        "preferences": preferences or None,
        "seed": seed,
        f"{asked}.steps": steps,
        f"{asked}.epochs": epochs,
        f"{asked}.learning_rate": learning_rate,
        f"{asked}.lora_rank": 0 if full else None,
    }
    return _update(recipe, changed, name, workspace, dry_run, json)


def train_mtp(
    name: Annotated[str, typer.Option(help="Name of the version that is made.")],
    data: Annotated[
        list[str],
        typer.Option(help="Prompt set with recordings and their texts; repeat it.", metavar="SET"),
    ],
    parent: Annotated[str, typer.Option(help="The backbone that the blocks are for.")] = "nano",
    steps: Annotated[int, typer.Option(help="With the blocks alone learning.", min=0)] = 500,
    joint_steps: Annotated[
        int,
        typer.Option(help="With language model and audio adapter learning too, slowly.", min=0),
    ] = 0,
    depth: Annotated[int, typer.Option(help="Blocks: drafts a pass.", min=1, max=16)] = 5,
    seed: Annotated[int, typer.Option(help="Another seed is another version.")] = 0,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Train blocks of multi-token prediction, by which a backbone transcribes several tokens a pass.

    The text stays what it is: what the blocks draft is verified. Started again in the same way, a run that was
    stopped goes on.

    \b
    trivox policy train-mtp --data calls --name nano-fast
    """
    from trivox.pipelines.training.mtp import MTPSettings
    from trivox.pipelines.training.mtp_service import MTPRecipe, train_blocks

    recipe = MTPRecipe(
        data=_weighted(data, "--data") or {},
        parent=parent,
        seed=seed,
        train=MTPSettings(depth=depth, steps=steps, joint_steps=joint_steps),
    )
    made = train_blocks(open_workspace(workspace), recipe, name)
    print_json(made) if json else print_figures(made)


def _train_sft(
    recipe: Path | None,
    overrides: dict[str, Any],
    name: str,
    workspace: Path,
    dry_run: bool,
    json: bool,
) -> None:
    from trivox.pipelines.training.service import planned, train_policy

    asked = _recipe(recipe, overrides)
    if dry_run:
        told = planned(open_workspace(workspace), asked, name)
        return print_json(told) if json else print_figures(told)
    made = train_policy(open_workspace(workspace), asked, name)
    return print_json(made) if json else _show_training(made)


def _update(
    recipe: Path | None,
    overrides: dict[str, Any],
    name: str,
    workspace: Path,
    dry_run: bool,
    json: bool,
) -> None:
    asked = _update_recipe(recipe, overrides)
    ws = open_workspace(workspace)
    if dry_run:
        # What a plan needs, without torch where it can be helped.
        from trivox.pipelines.updates.service import dry_run as told_of

        told = told_of(ws, asked, name)
        return print_json(told) if json else print_figures(told)
    from trivox.pipelines.updates.service import update

    made = update(ws, asked, name)
    return print_json(made) if json else _show_update(made)


def _algorithm(option: str, recipe: Path | None) -> str:
    """The recipe's own, where it names one and the option is the default."""
    import tomllib

    if option != "sft" or recipe is None or not recipe.is_file():
        return option
    try:
        named = tomllib.loads(recipe.read_text(encoding="utf-8")).get("algorithm", option)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return option  # said with its place when the recipe is read
    return str(named)


def _refuse(algorithm: str, options: dict[str, Any]) -> None:
    from trivox.platform.errors import ConfigError

    for option, value in options.items():
        if value is not None:
            raise ConfigError(f"{option} is nothing that {algorithm} knows: leave it out")


def _one_branch(options: list[str] | None) -> str | None:
    from trivox.platform.errors import ConfigError

    if options and (len(options) > 1 or "=" in options[0]):
        raise ConfigError(f"--branch {' '.join(options)}: an update is of one branch: name one")
    return options[0] if options else None


def _weighted(options: list[str] | None, option: str) -> dict[str, float] | None:
    """`name` or `name=weight` each -> name -> weight, None for none given."""
    from trivox.platform.errors import ConfigError

    found: dict[str, float] = {}
    for one in options or ():
        name, equals, weight = one.partition("=")
        try:
            found[name] = float(weight) if equals else 1.0
        except ValueError:
            raise ConfigError(f"{option} {one}: weight {weight!r} is no number") from None
    return found or None


def _only(branches: dict[str, float] | None) -> dict[str, float] | None:
    """A branch that is not named is left out."""
    from trivox.platform.errors import ConfigError
    from trivox.platform.records import Branch

    if branches is None:
        return None
    if strange := sorted(set(branches) - set(Branch)):
        raise ConfigError(f"--branch {strange[0]}: choose from {', '.join(Branch)}")
    return {branch.value: branches.get(branch.value, 0.0) for branch in Branch}


def _recipe(path: Path | None, overrides: dict[str, Any]) -> "TrainingRecipe":
    """The recipe of a TOML file with `section.key` overrides; None overrides nothing."""
    from trivox.pipelines.training.recipe import TrainingRecipe
    from trivox.platform.config import load_toml, validated
    from trivox.platform.errors import ConfigError

    raw = {} if path is None else load_toml(path, TrainingRecipe).model_dump(mode="json")
    _override(raw, overrides)
    if not raw.get("data"):
        raise ConfigError("nothing to train on: name a prompt set with --data, or give a --recipe")
    return validated(raw, TrainingRecipe, "training recipe")


def _update_recipe(path: Path | None, overrides: dict[str, Any]) -> "UpdateRecipe":
    """As `_recipe`; a file may leave out what the options give."""
    from trivox.pipelines.updates.recipe import UpdateRecipe
    from trivox.platform.config import read_toml, validated
    from trivox.platform.errors import ConfigError

    raw = {} if path is None else read_toml(path)
    _override(raw, overrides)
    if raw.get("branch") is None:
        raise ConfigError("no branch to update: name asr, tts or realtime with --branch")
    return validated(raw, UpdateRecipe, "update recipe" if path is None else str(path))


def _override(raw: dict[str, Any], overrides: dict[str, Any]) -> None:
    for key, value in overrides.items():
        if value is None:
            continue
        *sections, last = key.split(".")
        place = raw
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value


def _show_training(made: dict[str, Any]) -> None:
    rows = ", ".join(f"{count} {branch}" for branch, count in made["rows"].items())
    typer.echo(f"{made['policy']} ({made['status']}), {made['steps']} steps on {rows} rows")
    for name in sorted(
        {key for entry in made["metrics"] for key in entry if key.endswith("/loss")}
    ):
        _show_figure(made, name)
    if made["approximate_alignments"]:
        count = made["approximate_alignments"]
        typer.echo(f"  words of {count} recordings were placed by their letters alone")
    for one in made["left_out"][:5]:
        typer.echo(f"  left out: {one['prompt']} of {one['set']}: {one['reason']}")
    if len(made["left_out"]) > 5:
        typer.echo(f"  and {len(made['left_out']) - 5} more (--json lists them)")
    typer.echo(f"  artefact       {made['artefact']}")


def _show_update(made: dict[str, Any]) -> None:
    whole = made["branch"] is None  # a backbone, which is compared on all branches
    about = f"{made['algorithm']}, {made['recipe']['branch']}, {made['steps']} steps"
    branch = "" if whole else f" --branch {made['branch']}"
    typer.echo(f"{made['policy']} ({made['status']}): {about}")
    for name in ("reward", "kl", "gap", "rewards/margins", "rewards/accuracies"):
        if any(name in entry for entry in made["metrics"]):
            _show_figure(made, name)
    typer.echo(f"  artefact       {made['artefact']}")
    typer.echo(f"next: trivox policy compare {made['policy']}{branch}")


def _show_figure(made: dict[str, Any], name: str) -> None:
    values = [entry[name] for entry in made["metrics"] if name in entry]
    typer.echo(f"  {name:<18} {values[0]:.3f} -> {values[-1]:.3f}")
