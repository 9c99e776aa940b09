"""`trivox policy evaluate | compare | promote | rollback | merge | export`: back into the shared model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
)
from trivox.commands.training import _override, _weighted

if TYPE_CHECKING:
    from trivox.pipelines.updates.suites import Suites
    from trivox.platform.records import Branch

PolicyArgument = Annotated[
    str, typer.Argument(help="Name, id, or start of an id.", metavar="POLICY")
]
SuitesOption = Annotated[
    Path | None,
    typer.Option(help="TOML file with [suites] (docs/policy-updates.md).", metavar="FILE"),
]
PromptsOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Prompt set whose test split a branch answers: `asr=calls`. Repeat it; realtime needs none.",
        metavar="BRANCH=SET",
    ),
]
CountOption = Annotated[
    int | None, typer.Option(help="Prompts, or simulated users, at most (48).", min=2)
]


def evaluate(
    policy: PolicyArgument,
    branch: Annotated[
        list[str] | None, typer.Option(help="asr, tts or realtime; its own or all if not given.")
    ] = None,
    prompts: PromptsOption = None,
    count: CountOption = None,
    suites: SuitesOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Measure a version on held-out prompts, branch by branch: error rates, quality, rules kept, drafts accepted.

    What was measured before is shown, not measured again.

    \b
    trivox policy evaluate nano-hears --prompts asr=calls
    """
    from trivox.pipelines.updates.evaluating import branches_of
    from trivox.pipelines.updates.evaluating import evaluate as evaluated
    from trivox.platform.registry import resolve

    ws = open_workspace(workspace)
    version = resolve(ws, policy)
    asked = _suites(suites, prompts, count)
    found = {
        one.value: evaluated(ws, version, one, asked)
        for one in _branches(branch) or branches_of(version)
    }
    figures = {name: one.results["figures"] for name, one in found.items()}
    if json:
        ids = {name: one.id for name, one in found.items()}
        return print_json({"policy": version.name, "evaluations": ids, "figures": figures})
    for name, shown in figures.items():
        typer.echo(f"{version.name} on {name}")
        for figure, value in shown.items():
            typer.echo(f"  {figure:<24} {_with_interval(value)}, n {value['n']}")


def compare(
    policy: PolicyArgument,
    with_: Annotated[
        str | None,
        typer.Option("--with", help="Version to compare with; what is in use if not given."),
    ] = None,
    branch: Annotated[
        list[str] | None, typer.Option(help="asr, tts or realtime; its own or all if not given.")
    ] = None,
    prompts: PromptsOption = None,
    count: CountOption = None,
    suites: SuitesOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Hold a version against another on the same held-out prompts: who wins, and does anything get worse?

    This is the evidence that `promote` asks for.

    \b
    trivox policy compare nano-hears --prompts asr=calls
    """
    from trivox.pipelines.updates.evaluating import baseline_of, branches_of
    from trivox.pipelines.updates.evaluating import compare as compared
    from trivox.platform.registry import resolve

    ws = open_workspace(workspace)
    version = resolve(ws, policy)
    other = resolve(ws, with_) if with_ else None
    asked, found = _suites(suites, prompts, count), {}
    for one in _branches(branch) or branches_of(version):
        baseline = other or baseline_of(ws, version, one)
        found[one.value] = (baseline.name, compared(ws, version, baseline, one, asked))
    if json:
        told = {
            name: {
                "with": against,
                "evaluation": result.id,
                "proxy": result.proxy,
                **result.results,
            }
            for name, (against, result) in found.items()
        }
        return print_json({"policy": version.name, "branches": told})
    for name, (against, result) in found.items():
        typer.echo(f"{version.name} against {against} on {name}")
        _show_comparison(result.results, result.proxy)


def promote(
    policy: PolicyArgument,
    force: Annotated[
        str | None,
        typer.Option(
            help="Promote it although the evidence is not there: the reason, which is kept."
        ),
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Put a version in use on its branch, or a merged backbone on all, where the evidence says so.

    An adapter needs `compare` with what is in use, won and with nothing worse; a backbone a `merge` that passed,
    or where all its weights were trained a `compare` on all branches, worse on none and won on one.
    It is one transaction: what was in use is retired with it, and the audit log says who did it.
    """
    from dataclasses import asdict

    from trivox.pipelines.updates.promotion import promote as promoted
    from trivox.platform.registry import resolve

    ws = open_workspace(workspace)
    version = resolve(ws, policy)
    decision = promoted(ws, version, force=force)
    if json:
        return print_json(asdict(decision) | {"policy": version.name})
    typer.echo(f"{version.name} is {resolve(ws, version.id).status.value}: {decision.reason}")
    for id_ in decision.evidence.get("replaced", {}):
        typer.echo(f"  retired: {resolve(ws, id_).name}")


def rollback(
    branch: Annotated[
        str, typer.Argument(help="asr, tts, realtime, or backbone for the shared one.")
    ],
    reason: Annotated[str, typer.Option(help="Why; it is kept.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Put back what was in use before the last promotion, in one transaction.

    \b
    trivox policy rollback tts --reason "users hear clicks"
    """
    from dataclasses import asdict

    from trivox.pipelines.updates.promotion import rollback as rolled_back
    from trivox.platform.registry import resolve

    ws = open_workspace(workspace)
    where = None if branch == "backbone" else _branch(branch)
    decision = rolled_back(ws, where, reason)
    if json:
        return print_json(asdict(decision) | {"branch": branch})
    typer.echo(f"{resolve(ws, decision.subject).name} is retired: {reason}")
    restored = [resolve(ws, one).name for one in decision.evidence["restored"]]
    typer.echo(f"  in use again: {', '.join(restored) or 'the backbone alone'}")


def merge(
    adapters: Annotated[
        list[str],
        typer.Argument(help="Adapters and their weights (1).", metavar="POLICY[=WEIGHT]..."),
    ],
    name: Annotated[str, typer.Option(help="Name of the backbone that is made.")],
    method: Annotated[
        str | None, typer.Option(help="linear, ties, dare_linear or dare_ties (linear).")
    ] = None,
    density: Annotated[
        float | None, typer.Option(help="ties and dare: share of each change that is kept (0.5).")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="TOML file (docs/policy-updates.md); the options override it.", metavar="FILE"
        ),
    ] = None,
    mtp_data: Annotated[
        list[str] | None,
        typer.Option(
            help="Prompt set on which blocks that draft worse afterwards are trained anew.",
            metavar="SET[=WEIGHT]",
        ),
    ] = None,
    prompts: PromptsOption = None,
    count: CountOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Fold adapters into their backbone: a new version of the shared model, measured on all three branches.

    Where a figure may be worse than its margin allows, the version is rejected and the exit code is 1. Promoted
    adapters of other branches are carried over and measured too. Nothing is promoted yet.

    \b
    trivox policy merge nano-hears nano-speaks=0.7 --name nano-2 --prompts asr=calls --prompts tts=lines
    """
    from trivox.pipelines.updates.merging import MergeRecipe
    from trivox.pipelines.updates.merging import merge as merged
    from trivox.platform.config import read_toml, validated

    raw = {} if recipe is None else read_toml(recipe)
    overrides: dict[str, Any] = {
        "adapters": _weighted(adapters, "POLICY"),
        "merge.method": method,
        "merge.density": density,
        "mtp_data": _weighted(mtp_data, "--mtp-data"),
    }
    _override(raw, overrides | _suite_overrides(prompts, count, "suites."))
    asked = validated(raw, MergeRecipe, "merge recipe" if recipe is None else str(recipe))
    made = merged(open_workspace(workspace), asked, name)
    if json:
        print_json(made)
    else:
        typer.echo(f"{made['policy']} ({made['status']})")
        for branch, changes in made["changes"].items():
            typer.echo(f"  {branch}")
            _show_changes(changes)
        for fault in made["faults"]:
            typer.echo(f"  {fault}")
    if not made["passed"]:
        raise typer.Exit(1)


def export(
    policy: PolicyArgument,
    out: Annotated[Path, typer.Option(help="New folder.")],
    adapter: Annotated[
        bool,
        typer.Option("--adapter", help="As a peft adapter beside its base, not folded in."),
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Write a version as a folder that plain transformers (or peft) loads, with a card.

    \b
    trivox policy export nano-speaks --out exported/nano-speaks
    """
    from trivox.pipelines.updates.export import export as exported
    from trivox.platform.registry import resolve

    ws = open_workspace(workspace)
    made = exported(ws, resolve(ws, policy), out, adapter=adapter)
    print_json(made) if json else typer.echo(f"{made['policy']}: {made['folder']}")


def _suites(path: Path | None, prompts: list[str] | None, count: int | None) -> "Suites":
    from trivox.pipelines.updates.suites import Suites
    from trivox.platform.config import read_toml, validated

    raw = {} if path is None else read_toml(path).get("suites", {})
    _override(raw, _suite_overrides(prompts, count, ""))
    return validated(raw, Suites, "suites" if path is None else str(path))


def _suite_overrides(prompts: list[str] | None, count: int | None, begin: str) -> dict[str, Any]:
    from trivox.platform.errors import ConfigError
    from trivox.platform.records import Branch

    found: dict[str, Any] = {f"{begin}{one.value}.count": count for one in Branch}
    for one in prompts or ():
        branch, equals, name = one.partition("=")
        if not equals:
            raise ConfigError(f"--prompts {one}: write BRANCH=SET, asr={one} say")
        found[f"{begin}{_branch(branch).value}.prompts"] = name
    return found


def _branches(named: list[str] | None) -> "list[Branch]":
    return [_branch(one) for one in named or ()]


def _branch(name: str) -> "Branch":
    from trivox.platform.errors import ConfigError
    from trivox.platform.records import Branch

    if name not in list(Branch):
        raise ConfigError(f"branch {name!r}: choose from {', '.join(Branch)}")
    return Branch(name)


def _show_comparison(results: dict[str, Any], proxy: bool) -> None:
    win = results["win_rate"]
    rate = "none decisive" if win["rate"] is None else f"{win['rate']:.1%}"
    kind = "proxy win rate" if proxy else "win rate"
    typer.echo(
        f"  {kind} {rate} ({win['low']:.1%} to {win['high']:.1%}): {win['wins']} won, {win['losses']} lost, "
        f"{win['ties']} tied, {win['failed']} failed"
    )
    _show_changes(results["changes"])
    for fault in (*results["not_won"], *results["inferior"]):
        typer.echo(f"  {fault}")


def _show_changes(changes: dict[str, Any]) -> None:
    from trivox.platform.statistics.intervals import told

    for name, one in changes.items():
        if one["mean"] is None:
            typer.echo(f"    {name:<24} failed for all {one['failed']}")
            continue
        verdict = "non-inferior" if one["non_inferior"] else f"worse than {one['margin']:g} allows"
        typer.echo(
            f"    {name:<24} {one['before']:.3f} -> {one['after']:.3f}, {one['mean']:+.3f} "
            f"({told(one['low'], one['high'], '+.3f')}): {verdict}"
        )


def _with_interval(value: dict[str, Any]) -> str:
    from trivox.platform.statistics.intervals import told

    if value["mean"] is None:
        return f"failed for all {value['failed']}"
    return f"{value['mean']:.3f} ({told(value['low'], value['high'], '.3f')})"
