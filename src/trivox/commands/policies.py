"""`trivox policy`: versions of the shared model and its adapters."""

from typing import TYPE_CHECKING, Annotated

import typer

from trivox.commands import backbones, training, versions
from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    print_rows,
)

if TYPE_CHECKING:
    from trivox.pipelines.updates.samples import Said
    from trivox.platform.records import Evaluation

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
        typer.echo(f"  {evaluation.suite}: {_result(evaluation)}")
    for decision in decisions:
        typer.echo(f"  {decision.kind} by {decision.actor}: {decision.reason}")


def _result(evaluation: "Evaluation") -> str:
    """The win rate of a comparison, or the figures of a measurement."""
    win = evaluation.results["win_rate"]
    if figures := evaluation.results.get("figures"):
        known = [(name, one["mean"]) for name, one in figures.items() if one["mean"] is not None]
        return ", ".join(f"{name} {mean:.3f}" for name, mean in known)
    kind = "proxy win rate" if evaluation.proxy else "win rate"
    if win["rate"] is None:
        return f"{kind} over its parent none"
    return f"{kind} over its parent {win['rate']:.1%} ({win['low']:.1%} to {win['high']:.1%})"


@app.command()
def samples(
    name: Annotated[
        str,
        typer.Argument(help="Name, id, or id of a run that a watcher stopped.", metavar="POLICY"),
    ],
    step: Annotated[
        int | None, typer.Option(help="Step, from 0; the last one if not given.", min=0)
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1)] = 20,
    best: Annotated[bool, typer.Option("--best", help="The highest reward first.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """What a version said in a step of its own training (PPO, GRPO), with its rewards: the lowest first.

    Staleness is how many updates lie between the policy that drew an answer and the one that learned from it.

    \b
    trivox policy samples nano-hears --step 0
    """
    from trivox.pipelines.updates.samples import said_by

    said = said_by(open_workspace(workspace), name, step)
    names = ("step", "reward", "staleness", "ended", "parts", "failure", "text")
    rows = [_said(one, json) for one in (said[::-1] if best else said)[:limit]]
    print_rows("samples", names, rows, "no sample", json)


def _said(one: "Said", json: bool) -> tuple[object, ...]:
    sample, parts = one.sample, one.sample.components
    shown = ", ".join(f"{name} {value:.3g}" for name, value in parts.items())
    failure = f"{sample.failure.kind}: {sample.failure.message}" if sample.failure else None
    told = (sample.step, one.reward, sample.staleness, sample.finish_reason.value)
    if json:
        return (*told, parts, failure, list(one.texts))
    reward = "none" if one.reward is None else f"{one.reward:.3f}"
    return (told[0], reward, *told[2:], shown, failure or "", " | ".join(one.texts))


app.command()(training.train)
app.command("train-mtp")(training.train_mtp)
for command in (versions.evaluate, versions.compare, versions.promote, versions.rollback):
    app.command()(command)
app.command()(versions.merge)
app.command()(versions.export)
app.command()(backbones.init)
app.command()(backbones.add)
