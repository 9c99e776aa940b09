"""`trivox persona`: characters and rubrics of the realtime branch."""

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
from trivox.platform.personas import THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trivox.platform.personas.character import Verdict
    from trivox.platform.personas.duplicates import Duplicate
    from trivox.platform.records import Persona, Rubric
    from trivox.platform.store import Workspace

app = typer.Typer(
    help="Characters that the realtime branch plays, and rubrics: versions, origins, checks.",
    no_args_is_help=True,
)
RubricOption = Annotated[bool, typer.Option("--rubric", help="Rubrics in place of personas.")]
ThresholdOption = Annotated[
    float,
    typer.Option(help="Similarity, above 0 to 1, from which two count as near-duplicates."),
]
_NONE = "none registered: `trivox persona add --packaged` registers those that come with Trivox"


@app.command("list")
def list_(
    rubric: RubricOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """List the newest version of each persona, or of each rubric."""
    from trivox.platform.personas.registry import current, reference
    from trivox.platform.records import Persona, Rubric

    ws = open_workspace(workspace)
    if rubric:
        found = [(reference(one), _weights(one, json)) for one in current(ws, Rubric)]
        print_rows("rubrics", ("rubric", "criteria"), found, _NONE, json)
        return
    names = ("persona", "description", "traits", "parents")
    rows = [
        (
            reference(one),
            one.description,
            dict(one.traits) if json else _plain(one.traits),
            [*one.parents] if json else ", ".join(one.parents),
        )
        for one in current(ws, Persona)
    ]
    print_rows("personas", names, rows, _NONE, json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="NAME, or NAME@VERSION.", metavar="NAME")],
    rubric: RubricOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """One version: what it says, its lineage, from whom each trait is, and who is nearly the same."""
    from trivox.platform.personas.registry import resolve
    from trivox.platform.records import Persona, Rubric

    ws = open_workspace(workspace)
    if rubric:
        _show(_facts(ws, resolve(ws, Rubric, name)), json)
        return
    persona = resolve(ws, Persona, name)
    _show({**_facts(ws, persona), **_origins(ws, persona)}, json)


@app.command()
def add(
    file: Annotated[
        Path | None, typer.Argument(help="A .toml or .jsonl file with personas and rubrics.")
    ] = None,
    packaged: Annotated[
        bool, typer.Option("--packaged", help="Those that come with Trivox.")
    ] = False,
    threshold: ThresholdOption = THRESHOLD,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Register the personas and rubrics of a file, all or none, and name those that are nearly the same."""
    from dataclasses import asdict

    from trivox.pipelines.realtime.personas import PACKAGED
    from trivox.platform.errors import UsageError
    from trivox.platform.personas import exchange
    from trivox.platform.personas.registry import reference

    if (file is None) is not packaged:
        raise UsageError("give a file, or --packaged, and not both")
    ws = open_workspace(workspace)
    before = {one.id for one in exchange.export(ws)}
    taken = exchange.take(ws, exchange.read(file or PACKAGED))
    new = [reference(one) for one in taken if one.id not in before]
    known = [reference(one) for one in taken if one.id in before]
    pairs = _duplicates(ws, {reference(one) for one in taken}, threshold)
    if json:
        similar = [asdict(pair) for pair in pairs]
        print_json(
            {"added": new, "known": known, "threshold": threshold, "near_duplicates": similar}
        )
        return
    typer.echo(f"registered {len(new)}: {', '.join(new) or 'nothing new'}; known {len(known)}")
    _say_pairs(pairs)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="A .toml or .jsonl file to write.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Write every version of every persona and rubric to a file that `add` reads."""
    from trivox.platform.personas import exchange

    found = exchange.export(open_workspace(workspace))
    exchange.write(file, found)
    if json:
        print_json({"file": file, "written": len(found)})
        return
    typer.echo(f"{len(found)} versions written to {file}")


@app.command()
def expand(
    count: Annotated[int, typer.Option(help="How many to make.", min=1)] = 10,
    of: Annotated[
        list[str] | None,
        typer.Option("--of", help="A persona to recombine; give several. Left out: all there are."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other personas.")] = 0,
    threshold: ThresholdOption = THRESHOLD,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show them and register nothing.")
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Make personas of the traits of others, each trait from one parent, none nearly the same as another."""
    from trivox.platform.personas import expand as expansion
    from trivox.platform.personas.registry import add as register
    from trivox.platform.personas.registry import current, every, reference, resolve
    from trivox.platform.records import Persona

    ws = open_workspace(workspace)
    parents = [resolve(ws, Persona, name) for name in of] if of else current(ws, Persona)
    made = expansion.expand(parents, count, seed, every(ws, Persona), threshold)
    if not dry_run:
        with ws.records.transaction():
            for new in made.made:
                register(ws, new.persona)
    if json:
        how = {"seed": seed, "threshold": threshold, "dry_run": dry_run}
        print_json({**made.to_json(), **how})
        return
    for new in made.made:
        traits = new.persona.traits
        said = [f"{trait}: {traits[trait]} ({whose})" for trait, whose in new.sources.items()]
        typer.echo(f"{reference(new.persona)}  {'; '.join(said)}")
    done = "would be made" if dry_run else "registered"
    typer.echo(f"{len(made.made)} of {count} {done}, seed {seed}")
    if len(made.made) < count:
        typer.echo("the traits bring no more that is new: add personas, or raise --threshold")


@app.command()
def check(
    replies: Annotated[
        Path | None,
        typer.Argument(help="JSON lines, each with `persona` (NAME or NAME@VERSION) and `text`."),
    ] = None,
    persona: Annotated[
        str | None, typer.Option(help="One persona whose reply is --text.", metavar="NAME")
    ] = None,
    text: Annotated[str | None, typer.Option(help="A reply of --persona, in words.")] = None,
    language: Annotated[str, typer.Option(help="Of the replies, as BCP-47.")] = "en",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Check by rule whether replies are in character: how they begin, whom they address, what they never say.

    Exit code 1 when a reply is not.
    """
    from trivox.platform.errors import EXIT_FAILED
    from trivox.platform.personas.character import counted, verdicts

    ws = open_workspace(workspace)
    given = verdicts(_replies(ws, replies, persona, text), language)
    if json:
        print_json({"replies": [verdict.to_json() for verdict in given], **counted(given)})
    else:
        _say_verdicts(given)
    if any(verdict.passed is False for verdict in given):
        raise typer.Exit(EXIT_FAILED)


def _replies(
    ws: "Workspace", file: Path | None, persona: str | None, text: str | None
) -> "list[tuple[Persona, str]]":
    from trivox.platform.errors import UsageError
    from trivox.platform.personas.files import read_replies
    from trivox.platform.personas.registry import resolve
    from trivox.platform.records import Persona

    if (file is None) == (persona is None) or (persona is None) != (text is None):
        raise UsageError("give a file of replies, or both --persona and --text")
    if persona is not None and text is not None:
        return [(resolve(ws, Persona, persona), text)]
    assert file is not None
    return read_replies(ws, file)


def _facts(ws: "Workspace", record: "Persona | Rubric") -> dict[str, Any]:
    from trivox.platform.personas.registry import content, lineage, reference

    ancestors = [reference(one) for one in lineage(ws, record)]
    return {**content(record), "id": record.id, "lineage": ancestors}


def _origins(ws: "Workspace", persona: "Persona") -> dict[str, Any]:
    from trivox.pipelines.realtime.personas import character
    from trivox.platform.personas.duplicates import similar_to
    from trivox.platform.personas.registry import current, provenance
    from trivox.platform.records import Persona

    similar = similar_to(persona, current(ws, Persona))
    return {
        "prompt": character(persona),
        "provenance": provenance(ws, persona),
        "near_duplicates": {pair.other: pair.similarity for pair in similar},
    }


def _show(facts: dict[str, Any], json: bool) -> None:
    if json:
        print_json(facts)
        return
    typer.echo(f"{facts['name']}@{facts['version']}")
    for key, value in facts.items():
        if key not in ("name", "version"):
            typer.echo(f"  {key:<16} {_plain(value)}")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_plain(each)}" for key, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "its own" if value is None else str(value)


def _duplicates(ws: "Workspace", of: set[str], threshold: float) -> "list[Duplicate]":
    from trivox.platform.personas.duplicates import near_duplicates
    from trivox.platform.personas.registry import current
    from trivox.platform.records import Persona, Rubric

    pairs = [
        *near_duplicates(current(ws, Persona), threshold),
        *near_duplicates(current(ws, Rubric), threshold),
    ]
    return [pair for pair in pairs if {pair.one, pair.other} & of]


def _say_pairs(pairs: "Sequence[Duplicate]") -> None:
    for pair in pairs:
        typer.echo(
            f"nearly the same: {pair.one} and {pair.other}, similarity {pair.similarity:.2f}"
        )


def _say_verdicts(given: "Sequence[Verdict]") -> None:
    for number, verdict in enumerate(given, 1):
        failed = ", ".join(f"{r.rule.value} {r.phrase!r}" for r in verdict.failures)
        if verdict.passed is None:
            failed = "no trait of this persona is a rule: nothing was checked"
        typer.echo(f"{number}  {verdict.persona}  {failed or 'in character'}")
    passed = [verdict.passed for verdict in given]
    typer.echo(f"{passed.count(True)} of {len(passed) - passed.count(None)} in character")


def _weights(rubric: "Rubric", json: bool) -> Any:
    weights = {name: weight for name, (weight, _) in rubric.criteria.items()}
    return weights if json else _plain(weights)
