"""`trivox policy`: versions of the shared model and its adapters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands import backbones
from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_figures,
    print_json,
    print_rows,
)

if TYPE_CHECKING:
    from trivox.pipelines.training.recipe import TrainingRecipe

app = typer.Typer(
    help="Versions of the model: where they come from and how good they are.", no_args_is_help=True
)


@app.command("list")
def list_(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """List the policy versions with their parents and their status."""
    from trivox.platform.records import PolicyVersion

    ws = open_workspace(workspace)
    policies = ws.records.find(PolicyVersion, project=ws.project)
    known = {policy.id: policy.name for policy in policies}
    names = ("policy", "branch", "status", "parents", "round", "id")
    rows = [
        (
            policy.name,
            policy.branch.value if policy.branch else "all",
            policy.status.value,
            ", ".join(known.get(parent, parent) for parent in policy.parents),
            policy.round or "",
            policy.id,
        )
        for policy in policies
    ]
    print_rows(
        "policies", names, rows, "no policy version: make a workspace with `trivox init`", json
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name, id, or start of an id.", metavar="POLICY")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """One version: its artefact and hash, its lineage, its evaluations, and what was decided about it."""
    from dataclasses import asdict

    from trivox.platform.records import Decision, Evaluation
    from trivox.platform.registry import lineage, resolve

    ws = open_workspace(workspace)
    policy = resolve(ws, name)
    ancestors = [one.name for one in lineage(ws, policy)]
    evaluations = ws.records.find(Evaluation, policy=policy.id)
    decisions = ws.records.find(Decision, subject=policy.id)
    if json:
        figures = [{"suite": e.suite, "proxy": e.proxy, "results": e.results} for e in evaluations]
        made = [{"kind": d.kind, "actor": d.actor, "reason": d.reason} for d in decisions]
        print_json(
            {**asdict(policy), "lineage": ancestors, "evaluations": figures, "decisions": made}
        )
        return
    typer.echo(f"{policy.name} ({policy.status.value})")
    typer.echo(f"  lineage   {' <- '.join(ancestors)}")
    typer.echo(f"  artefact  {policy.artefact}")
    typer.echo(f"  sha256    {policy.artefact_hash}")
    typer.echo(f"  round     {policy.round or 'none'}")
    for evaluation in evaluations:
        win = evaluation.results["win_rate"]
        rate = (
            "none"
            if win["rate"] is None
            else f"{win['rate']:.1%} ({win['low']:.1%} to {win['high']:.1%})"
        )
        kind = "proxy win rate" if evaluation.proxy else "win rate"
        typer.echo(f"  {evaluation.suite}: {kind} over its parent {rate}")
    for decision in decisions:
        typer.echo(f"  {decision.kind} by {decision.actor}: {decision.reason}")


@app.command()
def train(
    name: Annotated[str, typer.Option(help="Name of the version that is made.")],
    algorithm: Annotated[
        str, typer.Option(help="sft: on reference answers. (dpo is a stage of `trivox round run`.)")
    ] = "sft",
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Prompt set, `name` or `name@version`, and how often its rows are seen in an epoch (1). Repeat "
            "it for a mixture.",
            metavar="SET[=WEIGHT]",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="TOML file (docs/training.md); the options override it.", metavar="FILE"),
    ] = None,
    branch: Annotated[
        list[str] | None,
        typer.Option(
            help="asr, tts or realtime: only rows of this branch, seen so often. Repeat it for several.",
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
        bool, typer.Option("--full", help="Train all weights, in place of a LoRA adapter.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="How often every row is seen.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="At its highest; --full wants about a tenth of LoRA's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed is another version.")] = None,
    exclude: Annotated[
        bool,
        typer.Option("--exclude", help="Leave rows that cannot be used out, and count them."),
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Train a version on imported data and register it as a candidate.

    Rows are the prompts of the training split with their references: asr needs a recording and its text, tts a
    text and its recording, realtime a dialogue, a persona, and the reply as text and recording.

    Started again in the same way, a run that was stopped goes on from its last checkpoint, and one that is done
    is shown.

    \b
    trivox data import calls/ --branch asr --name calls
    trivox policy train --data calls --name nano-calls
    trivox policy train --data calls --data voices=0.5 --branch asr --branch tts=2 --name nano-both
    """
    from trivox.pipelines.training.service import train_policy
    from trivox.platform.errors import ConfigError

    if algorithm != "sft":
        raise ConfigError(
            f"algorithm {algorithm!r}: `policy train` knows sft; preferences train in `trivox round run`"
        )
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
    asked = _recipe(recipe, overrides)
    made = train_policy(open_workspace(workspace), asked, name)
    print_json(made) if json else _show_training(made)


@app.command("train-mtp")
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
    for key, value in overrides.items():
        *sections, last = key.split(".")
        place = raw
        for section in sections:
            place = place.setdefault(section, {})
        if value is not None:
            place[last] = value
    if not raw.get("data"):
        raise ConfigError("nothing to train on: name a prompt set with --data, or give a --recipe")
    return validated(raw, TrainingRecipe, "training recipe")


def _show_training(made: dict[str, Any]) -> None:
    rows = ", ".join(f"{count} {branch}" for branch, count in made["rows"].items())
    typer.echo(f"{made['policy']} ({made['status']}), {made['steps']} steps on {rows} rows")
    for name in sorted(
        {key for entry in made["metrics"] for key in entry if key.endswith("/loss")}
    ):
        losses = [entry[name] for entry in made["metrics"] if name in entry]
        typer.echo(f"  {name:<14} {losses[0]:.3f} -> {losses[-1]:.3f}")
    if made["approximate_alignments"]:
        count = made["approximate_alignments"]
        typer.echo(f"  words of {count} recordings were placed by their letters alone")
    for one in made["left_out"][:5]:
        typer.echo(f"  left out: {one['prompt']} of {one['set']}: {one['reason']}")
    if len(made["left_out"]) > 5:
        typer.echo(f"  and {len(made['left_out']) - 5} more (--json lists them)")
    typer.echo(f"  artefact       {made['artefact']}")


app.command()(backbones.init)
app.command()(backbones.add)
