"""`trivox data`: prompts and speech that come from outside."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands import data_forget, data_sets
from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    print_rows,
)
from trivox.platform.errors import ConfigError
from trivox.platform.records import Branch, Consent, JudgeKind, Split

if TYPE_CHECKING:
    from contextlib import ExitStack

    from trivox.pipelines.descriptions.annotate import Recognise
    from trivox.pipelines.descriptions.manifest import DescribedFolder
    from trivox.pipelines.imports import ImportReport
    from trivox.platform.store import Workspace

app = typer.Typer(
    help="Import and export data, and keep versions of datasets.", no_args_is_help=True
)
app.command("freeze")(data_sets.freeze_)
for _command in (
    data_sets.export,
    data_sets.validate,
    data_sets.versions,
    data_sets.diff,
    data_sets.stats,
    data_sets.split,
    data_sets.gc,
    data_forget.forget,
):
    app.command()(_command)
SHOWN_REFUSALS = 10


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="Folder, file, or Hugging Face dataset id.")],
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the prompt set; importing again makes a new version. A folder that `trivox data export` "
            "wrote has its own name."
        ),
    ] = None,
    branch: Annotated[Branch, typer.Option(help="What the prompts are for.")] = Branch.TTS,
    language: Annotated[str, typer.Option(help="BCP-47, of rows that name none.")] = "en-US",
    layout: Annotated[
        str,
        typer.Option(
            help="auto, ljspeech, librispeech, commonvoice, folder (audio with .txt beside it), jsonl, nemo, "
            "lhotse, hf, text, verl, or asterisk (folder of .g722). Preferences: trl, trl-dpo-tokens, "
            "trl-reward-tokens, pairs, pairs-jsonl, nemo-pairs, cosyvoice, grm. Answers: speechjudge."
        ),
    ] = "auto",
    test_share: Annotated[float, typer.Option(help="Share of groups held out for tests.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Which groups are held out.")] = 0,
    speaker: Annotated[str | None, typer.Option(help="Whose voice, where rows name none.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence, where rows name none.")] = None,
    consent: Annotated[
        list[Consent] | None,
        typer.Option(
            help="What the speakers allow; give it several times. Default: train and annotate."
        ),
    ] = None,
    min_rate: Annotated[int, typer.Option(help="Refuse recordings below this rate, in Hz.")] = 0,
    audio_root: Annotated[
        Path | None, typer.Option(help="What a manifest's paths are relative to.")
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Add to what the set's latest version holds.")
    ] = False,
    judges: Annotated[
        JudgeKind | None,
        typer.Option(help="Who judged imported preferences that do not say so themselves."),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(help="Transcripts of layout asterisk (default: where Debian has them)."),
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Take your own prompts and speech into a versioned prompt set.

    Good rows are taken; the others are listed with the reason and the remedy, and kept in the workspace's
    quarantine, where they can be mended and imported again with --add. A JSONL row has `text`, and
    optionally `audio`, `language`, `speaker`, `licence`, `group`, `split`, `instruction`, `reference_text` and
    `voice`; for realtime `persona`, `turns`, and the recorded reply as `audio` and `reference_text`.
    """
    from trivox.pipelines.imports import SplitPlan, Terms, import_human_prompts, import_source

    ws = open_workspace(workspace)
    if layout == "auto" and _is_bundle(Path(source)):
        _take_bundle(ws, Path(source), name, json)
        return
    if name is None:
        raise ConfigError("no --name: say what the prompt set is to be called")
    if layout in _PREFERENCES:
        told = _take_preferences(
            ws, Path(source), name, layout, language, speaker, licence, consent, judges
        )
        _print_preferences(told, json)
        return
    if layout == "asterisk":
        named = {} if texts is None else {"texts": texts}
        report = import_human_prompts(ws, Path(source), name=name, **named)
    else:
        terms = Terms(speaker, licence)
        if consent:
            terms = replace(terms, consents=tuple(consent))
        report = import_source(
            ws,
            source,
            name=name,
            branch=branch,
            language=language,
            layout=layout,
            split=SplitPlan(test_share=test_share, seed=seed),
            terms=terms,
            min_rate=min_rate,
            audio_root=audio_root,
            add=add,
        )
    _print(report, json)


_PREFERENCES = (
    "trl",
    "trl-dpo-tokens",
    "trl-reward-tokens",
    "pairs",
    "pairs-jsonl",
    "nemo-pairs",
    "cosyvoice",
    "grm",
    "speechjudge",
)


def _take_preferences(
    ws: "Workspace",
    source: Path,
    name: str,
    layout: str,
    language: str,
    speaker: str | None,
    licence: str | None,
    consent: list[Consent] | None,
    judges: JudgeKind | None,
) -> dict[str, Any]:
    from trivox.pipelines.imports import Terms
    from trivox.pipelines.imports.preferences import Asked, import_preferences

    if layout == "speechjudge":
        return _take_speechjudge(ws, source, name, licence)
    terms = Terms(speaker, licence)
    if consent:
        terms = replace(terms, consents=tuple(consent))
    report = import_preferences(ws, source, Asked(name, layout, language, terms, judges))
    return {
        "preference_sets": [one.id for one in report.sets],
        "taken": report.taken,
        "as_exported": report.whole,
        "repeated": report.repeated,
        "refused": [{"row": r.row, "reason": r.reason, "remedy": r.remedy} for r in report.refused],
        "quarantine": report.quarantine,
    }


def _take_speechjudge(
    ws: "Workspace", source: Path, name: str, licence: str | None
) -> dict[str, Any]:
    from trivox.annotation.imports import RefusedRow, import_speechjudge
    from trivox.annotation.people.audit import THE_SYSTEM
    from trivox.pipelines.imports.quarantine import Quarantine
    from trivox.pipelines.imports.rows import Refusal

    quarantine, remedy = Quarantine(ws.root, name), "mend it in the file and import that again"
    refused: list[dict[str, str]] = []

    def keep(one: RefusedRow, values: dict[str, Any] | None) -> None:
        refusal = Refusal(f"{source.name}:{one.row}", one.reason, remedy, values)
        quarantine.keep([refusal])
        refused.append({"row": refusal.row, "reason": refusal.reason, "remedy": remedy})

    given: dict[str, Any] = {} if licence is None else {"licence": licence}
    told = import_speechjudge(ws, THE_SYSTEM, source, keep=keep, **given)
    counts = {"taken": told.taken, "repeated": told.repeated}
    return counts | {"refused": refused, "quarantine": quarantine.file}


def _print_preferences(told: dict[str, Any], json: bool) -> None:
    if json:
        print_json(told)
        return
    refused = told["refused"]
    typer.echo(f"{told['taken']} taken, {told['repeated']} there already, {len(refused)} refused")
    for one in told.get("preference_sets", ()):
        typer.echo(f"  preference set {one}")
    for one in refused[:SHOWN_REFUSALS]:
        typer.echo(f"  refused: {one['row']}: {one['reason']}; {one['remedy']}")
    if told.get("quarantine"):
        typer.echo(f"  refused rows are kept in {told['quarantine']}")


def _is_bundle(source: Path) -> bool:
    from trivox.pipelines.imports.bundle import is_bundle

    return is_bundle(source)


def _take_bundle(ws: "Workspace", source: Path, name: str | None, json: bool) -> None:
    from trivox.pipelines.imports.bundle import import_bundle

    report = import_bundle(ws, source, name)
    assert report.version is not None
    refused = [{"row": r.row, "reason": r.reason, "remedy": r.remedy} for r in report.refused]
    if json:
        print_json(
            {
                "dataset": report.version.reference,
                "hash": report.version.hash,
                "identical": report.identical,
                "taken": dict(report.taken),
                "repeated": report.repeated,
                "refused": refused,
                "refusals": report.refusals,
                "quarantine": report.quarantine,
                "notes": report.notes,
            }
        )
        return
    same = "as it was exported" if report.identical else "NOT the same as was exported"
    typer.echo(f"{report.version.reference}: hash {report.version.hash[:16]}, {same}")
    taken = ", ".join(f"{count} {part}" for part, count in report.taken.items() if count)
    typer.echo(f"new: {taken or 'nothing'}; {report.repeated} there already")
    for note in report.notes:
        typer.echo(f"  note: {note}")
    for one in report.refused[:SHOWN_REFUSALS]:
        typer.echo(f"  refused: {one.row}: {one.reason}; {one.remedy}")
    if report.quarantine:
        typer.echo(f"  {report.refusals} refused in all, kept in {report.quarantine}")


def _print(report: "ImportReport", json: bool) -> None:
    prompt_set = report.prompt_set
    if json:
        figures = {split.value: len(prompt_set.prompts(split)) for split in Split}
        refused = [{"row": r.row, "reason": r.reason, "remedy": r.remedy} for r in report.refused]
        print_json(
            {
                "prompt_set": prompt_set.reference,
                "new_version": report.new_version,
                "layout": report.layout,
                "taken": report.taken,
                "splits": figures,
                "audio_seconds": report.audio_seconds,
                "refused": refused,
                "quarantine": report.quarantine,
                "notes": report.notes,
            }
        )
        return
    what = "imported" if report.new_version else "unchanged"
    typer.echo(
        f"{what}: {prompt_set.reference}, {report.taken} prompts, {report.audio_seconds / 60:.1f} minutes of "
        f"audio, layout {report.layout}; {len(report.refused)} rows refused, {report.repeated} repeated"
    )
    for note in report.notes:
        typer.echo(f"  note: {note}")
    for refusal in report.refused[:SHOWN_REFUSALS]:
        typer.echo(f"  refused: {refusal.row}: {refusal.reason}; {refusal.remedy}")
    if len(report.refused) > SHOWN_REFUSALS:
        typer.echo(f"  and {len(report.refused) - SHOWN_REFUSALS} more: see them all with --json")
    if report.quarantine:
        typer.echo(f"  kept to be mended and imported with --add: {report.quarantine}")


@app.command()
def describe(
    source: Annotated[
        str, typer.Argument(help="Prompt set, or folder or manifest of recordings with texts.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file: thresholds, form and the recipe's other numbers."),
    ] = None,
    word_times: Annotated[
        Path | None,
        typer.Option(
            help="CTM file, `clip channel begin duration word` a line; without it no directive is found. A clip "
            "is named by its path without suffix, or by its prompt's id."
        ),
    ] = None,
    recogniser: Annotated[
        str | None,
        typer.Option(
            help="Who checks the texts: whisper-base, whisper-tiny, pocketsphinx, or a policy version."
        ),
    ] = None,
    sentences: Annotated[
        bool, typer.Option("--sentences", help="English sentences in place of words.")
    ] = False,
    language: Annotated[str, typer.Option(help="BCP-47, of rows that name none.")] = "en-US",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Describe how recordings are spoken, from what is measured in them.

    Each voice is compared with its own medians: "slow high", and (slow) within a text where the manner changes.
    The folder's manifest.jsonl is for `trivox data import --branch tts`; dropped.jsonl has what was left out, and
    why.
    """
    from contextlib import ExitStack

    from trivox.pipelines.descriptions.annotate import DescriptionConfig
    from trivox.pipelines.descriptions.manifest import (
        describe_folder,
        from_prompt_set,
        from_source,
        read_ctm,
    )
    from trivox.platform.config import load_toml

    settings = load_toml(config, DescriptionConfig) if config else DescriptionConfig()
    if sentences:
        settings = settings.model_copy(update={"form": "sentences"})
    times = read_ctm(word_times) if word_times else {}
    if Path(source).exists():
        sources = from_source(source, times, language)
    else:
        from trivox.pipelines.rounds.finding import find_prompt_set

        ws = open_workspace(workspace)
        sources = from_prompt_set(ws, find_prompt_set(ws, source), times)
    with ExitStack() as stack:
        hear = _recognise(recogniser, workspace, stack) if recogniser else None
        made = describe_folder(sources, out, settings, hear)
    _print_described(made, json)


def _recognise(name: str, workspace: Path, stack: "ExitStack") -> "Recognise":
    from trivox.commands.asr import policy_recogniser
    from trivox.pipelines.voting import RECOGNISERS

    if name in RECOGNISERS:
        return RECOGNISERS[name]().transcribe
    return policy_recogniser(name, workspace, stack).transcribe


def _print_described(made: "DescribedFolder", json: bool) -> None:
    found = made.descriptions.described
    directed = sum(bool(one.directed.spans) for one in found)
    words = Counter(word for one in found for word in one.words)
    if json:
        print_json(
            {
                "manifest": str(made.manifest),
                "described": len(found),
                "directed": directed,
                "words": dict(words),
                "voices": len(made.descriptions.voices),
                "dropped": made.dropped,
            }
        )
        return
    told = ", ".join(f"{count} {word}" for word, count in words.most_common()) or "none"
    left = ", ".join(f"{count} {kind}" for kind, count in made.dropped.items()) or "nothing"
    typer.echo(
        f"{made.manifest}: {len(found)} clips of {len(made.descriptions.voices)} voices, {directed} with "
        f"directives; words: {told}; dropped: {left}"
    )


@app.command("list")
def list_(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """List the prompt sets."""
    from trivox.platform.records import PromptSet

    ws = open_workspace(workspace)
    rows = [
        (one.reference, *(len(one.prompts(split)) for split in Split))
        for one in ws.records.find(PromptSet, project=ws.project)
    ]
    names = ("prompt_set", *(split.value for split in Split))
    print_rows("prompt_sets", names, rows, "no prompt set yet: trivox data import", json)
