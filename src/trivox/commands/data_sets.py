"""`trivox data`: versions of datasets, what they hold, what changed, and the way out to other programs."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    print_rows,
)
from trivox.platform.errors import EXIT_FAILED
from trivox.platform.records import Branch, Consent, JudgeKind, Split

if TYPE_CHECKING:
    from collections.abc import Callable

    from trivox.pipelines.datasets import Filters, Manifest
    from trivox.platform.records import Prompt

SHOWN = 10
VersionArgument = Annotated[
    str,
    typer.Argument(help="`name@version`, a name for its latest version, or the start of a hash."),
]
PromptsOption = Annotated[
    list[str] | None,
    typer.Option("--prompts", help="Prompt set, `name` or `name@version`; give it several times."),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Preference set by id; give it several times.")
]
RoundOption = Annotated[
    list[str] | None, typer.Option("--round", help="Only of this round; give it several times.")
]
LanguageOption = Annotated[
    list[str] | None, typer.Option("--language", help="Only prompts in this language (BCP-47).")
]
BranchOption = Annotated[
    list[Branch] | None, typer.Option("--branch", help="Only prompts of this branch.")
]
SplitOption = Annotated[list[Split] | None, typer.Option("--split", help="Only this split.")]
JudgesOption = Annotated[
    list[JudgeKind] | None, typer.Option("--judges", help="Only judgements by this kind of judge.")
]


def filters_of(
    prompts: list[str] | None = None,
    sets: list[str] | None = None,
    rounds: list[str] | None = None,
    languages: list[str] | None = None,
    branches: list[Branch] | None = None,
    splits: list[Split] | None = None,
    judges: list[JudgeKind] | None = None,
) -> "Filters":
    from trivox.pipelines.datasets import Filters

    return Filters(
        prompt_sets=tuple(prompts or ()),
        preference_sets=tuple(sets or ()),
        rounds=tuple(rounds or ()),
        languages=tuple(languages or ()),
        branches=tuple(branches or ()),
        splits=tuple(splits or ()),
        judges=tuple(judges or ()),
    )


def freeze_(
    name: Annotated[str, typer.Argument(help="Name of the dataset.")],
    prompts: PromptsOption = None,
    sets: SetOption = None,
    rounds: RoundOption = None,
    languages: LanguageOption = None,
    branches: BranchOption = None,
    splits: SplitOption = None,
    judges: JudgesOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Make a version of a dataset: a manifest whose hash says what it holds.

    Without filters it holds everything of the project. The same content again is the same version.
    """
    from trivox.pipelines.datasets import freeze

    filters = filters_of(prompts, sets, rounds, languages, branches, splits, judges)
    made, new = freeze(open_workspace(workspace), name, filters)
    if json:
        print_json(_plain(made) | {"new_version": new})
        return
    typer.echo(f"{'made' if new else 'unchanged'}: {made.reference}, hash {made.hash[:16]}")
    _echo_parts(made)


def _plain(made: "Manifest") -> dict[str, Any]:
    return {"dataset": made.reference, **made.model_dump(mode="json")}


def _echo_parts(made: "Manifest") -> None:
    for name, part in made.parts.items():
        typer.echo(f"  {name:<16} {part.count:>10}  {part.hash[:16]}")
    for reason, count in made.left_out.items():
        typer.echo(f"  left out: {count} {reason}")
    for deletion in made.forgotten:
        typer.echo(f"  rows of it were deleted since by {deletion}: make a new version")


def versions(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """List the versions of all datasets."""
    from trivox.pipelines.datasets import versions_of

    found = versions_of(open_workspace(workspace))
    if json:
        print_json({"datasets": [_plain(one) for one in found]})
        return
    rows = [
        (
            one.reference,
            one.hash[:16],
            *(_count(one, part) for part in ("prompts", "judgements", "preferences")),
            "changed by deletion" if one.forgotten else "",
            f"{one.created_at:%Y-%m-%d %H:%M}",
        )
        for one in found
    ]
    names = ("dataset", "hash", "prompts", "judgements", "preferences", "state", "made")
    print_rows("datasets", names, rows, "no dataset yet: trivox data freeze NAME", False)


def _count(one: "Manifest", part: str) -> int:
    return one.parts[part].count if part in one.parts else 0


def diff(
    before: VersionArgument,
    after: VersionArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Show which prompts, judgements, preferences and filters changed between two versions."""
    from trivox.pipelines.datasets import difference, find_version

    ws = open_workspace(workspace)
    found = difference(ws, find_version(ws, before), find_version(ws, after))
    if json:
        parts = {
            name: {
                "added": one.added,
                "removed": one.removed,
                "changed": one.changed,
                "first": [f"{sign}{id}" for sign, id in one.ids],
            }
            for name, one in found.parts.items()
        }
        filters = {name: {"before": a, "after": b} for name, (a, b) in found.filters.items()}
        print_json({"same": found.same, "filters": filters, "parts": parts})
        return
    if found.same:
        typer.echo(f"{found.before.reference} and {found.after.reference} hold the same")
    for name, (one, other) in found.filters.items():
        typer.echo(f"filter {name}: {one or 'none'} -> {other or 'none'}")
    for name, part in found.parts.items():
        typer.echo(f"{name}: {part.added} added, {part.removed} removed, {part.changed} changed")
        for sign, id in part.ids[:SHOWN]:
            typer.echo(f"  {sign} {id}")


def stats(
    html: Annotated[Path | None, typer.Option(help="Also write a page with charts here.")] = None,
    prompts: PromptsOption = None,
    rounds: RoundOption = None,
    languages: LanguageOption = None,
    branches: BranchOption = None,
    splits: SplitOption = None,
    judges: JudgesOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Count and chart what the project holds: prompts, audio, judgements, preferences.

    Answers of simulated judges stand in tables of their own.
    """
    from trivox.pipelines.datasets.figures import statistics_of
    from trivox.pipelines.datasets.plots import in_terminal, write_page

    ws = open_workspace(workspace)
    filters = filters_of(prompts, None, rounds, languages, branches, splits, judges)
    found = statistics_of(ws, filters)
    if html is not None:
        write_page(found, f"Data of project {ws.project}", html)
    if json:
        tables = {name: dict(table) for name, table in sorted(found.tables.items())}
        counts = dict(found.counts)
        told = {"counts": counts, "audio_seconds": found.seconds, "tokens": found.tokens}
        print_json(told | {"tables": tables, "left_out": found.left_out, "html": html})
        return
    held = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.counts.items())
    typer.echo(f"{held or 'nothing'}; {found.seconds / 60:.1f} minutes of audio")
    for line in in_terminal(found):
        typer.echo(line)
    if html is not None:
        typer.echo(f"charts: {html}")


def split(
    name: Annotated[str, typer.Argument(help="Prompt set, `name` or `name@version`.")],
    test_share: Annotated[float, typer.Option(help="Share of groups for tests.")] = 0.1,
    validation_share: Annotated[float, typer.Option(help="Share of groups for validation.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Which groups are held out.")] = 0,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Divide a prompt set anew, as its next version; prompts of one group never fall in two splits."""
    from trivox.pipelines.datasets.resplit import counts, resplit
    from trivox.pipelines.imports import SplitPlan

    plan = SplitPlan(test_share, validation_share, seed)
    made, new = resplit(open_workspace(workspace), name, plan)
    if json:
        print_json({"prompt_set": made.reference, "new_version": new, "splits": counts(made)})
        return
    shown = ", ".join(f"{count} {split}" for split, count in counts(made).items())
    typer.echo(f"{'made' if new else 'unchanged'}: {made.reference}: {shown}")


def gc(
    apply: Annotated[bool, typer.Option("--apply", help="Delete; else only list.")] = False,
    grace: Annotated[float, typer.Option(help="Keep what is younger than this many hours.")] = 24.0,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """List, and with --apply delete, recordings and files that nothing reaches.

    Such are left by imports that broke off. What a record, a prompt, a rollout or a question in somebody's hands
    names is never touched.
    """
    from trivox.pipelines.datasets.garbage import collect

    found = collect(open_workspace(workspace), remove=apply, grace=timedelta(hours=grace))
    if json:
        told = {"applied": apply, "sounds": found.sounds, "files": found.files}
        print_json(told | {"bytes": found.size, "too_young": found.too_young})
        return
    done = "deleted" if apply else "would be deleted"
    many = f"{len(found.sounds)} recordings and {len(found.files)} files"
    typer.echo(f"{many} that nothing reaches, {found.size / 1e6:.1f} MB, {done}")
    for one in [*found.sounds, *found.files][:SHOWN]:
        typer.echo(f"  {one}")
    if found.too_young:
        typer.echo(f"  {found.too_young} more are younger than {grace:g} hours")
    if not apply and (found.sounds or found.files):
        typer.echo("to delete them: trivox data gc --apply")


def validate(
    what: Annotated[
        str | None,
        typer.Argument(help="A source to import, or a dataset version; without it the project."),
    ] = None,
    branch: Annotated[Branch, typer.Option(help="What a source's prompts are for.")] = Branch.TTS,
    language: Annotated[
        str, typer.Option(help="BCP-47, of a source's rows that name none.")
    ] = "en-US",
    layout: Annotated[str, typer.Option(help="As for `trivox data import`.")] = "auto",
    judges: Annotated[
        JudgeKind | None,
        typer.Option(help="Who judged a source's preferences that do not say so themselves."),
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Check without changing anything; exit code 1 for faults.

    Of a source: every row that an import would refuse, with reason and remedy. Of a version: rows that are gone or
    changed, recordings that are not what they were. Of the project: groups in two splits, recordings.
    """
    faults = _faults(what, branch, language, layout, judges, workspace)
    if json:
        listed = [{"row": f.row, "reason": f.reason, "remedy": f.remedy} for f in faults]
        print_json({"checked": what or "project", "faults": listed})
    else:
        typer.echo(f"{what or 'the project'}: {len(faults) or 'no'} faults")
        for fault in faults[:SHOWN]:
            typer.echo(f"  {fault.row}: {fault.reason}; {fault.remedy}")
        if len(faults) > SHOWN:
            typer.echo(f"  and {len(faults) - SHOWN} more: see them all with --json")
    if faults:
        raise typer.Exit(EXIT_FAILED)


def _faults(
    what: str | None,
    branch: Branch,
    language: str,
    layout: str,
    judges: JudgeKind | None,
    workspace: Path,
) -> "list[Any]":
    from trivox.pipelines.datasets import find_version
    from trivox.pipelines.datasets.validation import check_version, check_workspace

    if what is not None and Path(what).exists():
        return _faults_of_source(what, branch, language, layout, judges)
    ws = open_workspace(workspace)
    return list(check_version(ws, find_version(ws, what)) if what else check_workspace(ws))


def _faults_of_source(
    source: str, branch: Branch, language: str, layout: str, judges: JudgeKind | None
) -> "list[Any]":
    """Imported for a try into a workspace that is thrown away."""
    import tempfile

    from trivox.pipelines.imports import take_source
    from trivox.pipelines.imports.rows import Refusal
    from trivox.platform.errors import BadImport
    from trivox.platform.store import Workspace

    with (
        tempfile.TemporaryDirectory(prefix="trivox-validate-") as folder,
        Workspace.create(Path(folder) / "try") as ws,
    ):
        try:
            return take_source(
                ws, source, branch=branch, language=language, layout=layout, judges=judges
            )
        except BadImport as error:
            return [Refusal(source, str(error), "see the reason")]


def export(
    out: Annotated[Path, typer.Argument(help="Empty folder to write.")],
    form: Annotated[
        str,
        typer.Option("--format", help="parquet or jsonl: everything, to be imported elsewhere."),
    ] = "parquet",
    name: Annotated[str, typer.Option(help="What the dataset is called.")] = "dataset",
    use: Annotated[
        Consent, typer.Option(help="What it is for: what the speakers do not allow is left out.")
    ] = Consent.TRAIN,
    commercial: Annotated[
        bool, typer.Option("--commercial", help="Leave out what non-commercial licences cover.")
    ] = False,
    audio: Annotated[bool, typer.Option(help="With the recordings.")] = True,
    policy: Annotated[
        str | None,
        typer.Option("--policy", "-p", help="Whose tokens prompts are written in (trl-*-tokens)."),
    ] = None,
    prompts: PromptsOption = None,
    sets: SetOption = None,
    rounds: RoundOption = None,
    languages: LanguageOption = None,
    branches: BranchOption = None,
    splits: SplitOption = None,
    judges: JudgesOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Write a dataset into a folder, with the terms of every recording.

    What a speaker's consent or a licence does not allow for the use is left out and counted.
    """
    from trivox.pipelines.consent import UseOf
    from trivox.pipelines.exports import export_dataset

    filters = filters_of(prompts, sets, rounds, languages, branches, splits, judges)
    wanted = UseOf(use, commercial)
    ws = open_workspace(workspace)
    tokens = _prompt_tokens(workspace, policy) if policy else None
    told = export_dataset(
        ws, out, form, name, filters, wanted, with_audio=audio, prompt_tokens=tokens
    )
    if json:
        print_json({"folder": out, **told})
        return
    counts: Counter[str] = Counter(told["rows"])
    typer.echo(f"{out}: {', '.join(f'{n} {part}' for part, n in counts.items())}")
    for reason, count in told["left_out"].items():
        typer.echo(f"  left out: {count} {reason}")
    if told["expires_at"]:
        typer.echo(f"  to be used until {told['expires_at']}, when the first consent ends")


def _prompt_tokens(workspace: Path, policy: str) -> "Callable[[Prompt], list[int] | str]":
    from trivox.commands.common import load_policy
    from trivox.pipelines.exports.tokens import prompt_tokens

    resident, _, _ = load_policy(workspace, policy)
    return prompt_tokens(resident.backbone.tokens)
