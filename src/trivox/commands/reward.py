"""`trivox reward`: scorers, compositions of them, and what attacks get through."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands import reward_generative, reward_report, reward_train
from trivox.commands.common import JsonOption, print_figures, print_json, print_rows

if TYPE_CHECKING:
    from trivox.platform.records import Branch
    from trivox.platform.scoring import Item
    from trivox.reward_models.adversarial.clips import Spoken
    from trivox.reward_models.adversarial.dose import DoseResult
    from trivox.reward_models.composition import ComposedValue

app = typer.Typer(
    help="Rewards: the scorers there are, compositions of them in TOML, and how far to trust each.",
    no_args_is_help=True,
)
app.command("judge")(reward_generative.judge)
app.command("train-grm")(reward_generative.train_grm)
app.command("train")(reward_train.train)
app.command("report")(reward_report.report)
WithOption = Annotated[
    str,
    typer.Option("--with", help="A scorer, a composition's TOML file, or asr, tts, realtime."),
]
SeedOption = Annotated[int, typer.Option(help="Of the attacks: another seed draws others.")]
ClipsOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of recordings of one speaker; named after their words, or see --texts."
    ),
]
TextsOption = Annotated[
    Path | None, typer.Option(help="List of `name: words` lines for --clips, possibly gzipped.")
]
BetweenOption = Annotated[
    tuple[float, float],
    typer.Option("--seconds", help="Shortest and longest recording of --clips to use."),
]
WordsOption = Annotated[
    int,
    typer.Option(
        "--words",
        min=1,
        help="Fewest words of a recording of --clips. From 5 on, 10, 30 and 60 of 100 words are 1, 2 and 3.",
    ),
]
MostOption = Annotated[int, typer.Option(help="Clips to use at most, spread over the folder.")]


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List the scorers: family, unit, which way is better, and what an item must have."""
    from trivox.reward_models.registry import entry, names

    rows = [
        (one.name, one.family, one.unit, one.direction.value, ", ".join(one.needs), one.says)
        for one in map(entry, names())
    ]
    columns = ("scorer", "family", "unit", "better", "needs", "measures")
    print_rows("scorers", columns, rows, "no scorers", json)


@app.command()
def check(
    composition: Annotated[
        str, typer.Argument(help="A TOML file, or one of the packaged: asr, tts, realtime.")
    ],
    json: JsonOption = False,
) -> None:
    """Check a composition without loading a model: names, directions, bounds, families, branch."""
    from trivox.platform.scoring import join
    from trivox.reward_models.composition import load
    from trivox.reward_models.registry import families

    config = load(composition)
    told = {
        "composition": config.name,
        "version": config.version,
        "branch": config.branch.value,
        "combine": config.combine,
        "gates": ", ".join(one.scorer for one in config.gate),
        "components": ", ".join(f"{one.scorer} x {one.weight:g}" for one in config.component),
        "evaluators": ", ".join(config.evaluators),
        "families": join(list(families(config.scorers).values())),
        "steady": config.steady,
    }
    print_json(told) if json else print_figures(told)


@app.command()
def score(
    clips: Annotated[list[Path], typer.Argument(help="Recordings to score.")],
    text: Annotated[
        list[str] | None,
        typer.Option(help="What each was to say, in the order of the clips; else the file's name."),
    ] = None,
    with_: WithOption = "tts",
    voice: Annotated[
        Path | None, typer.Option(help="A recording of the voice that was asked for.")
    ] = None,
    transcript: Annotated[
        list[str] | None, typer.Option(help="Transcripts of the clips, to score those (asr).")
    ] = None,
    instruction: Annotated[str, typer.Option(help="Style asked for, such as `slow, high`.")] = "",
    language: Annotated[str, typer.Option(help="BCP-47; mul for several at once.")] = "en",
    json: JsonOption = False,
) -> None:
    """Score recordings, or transcripts of them, with one scorer or a composition.

    A recording is taken to have ended by itself. A failure is shown as such, with its cause; it is never a number.
    """
    items = _items(clips, text, transcript, voice, instruction, language)
    rows = _scored(with_, items)
    if json:
        print_json({"with": with_, "scores": rows})
        return
    for row in rows:
        shown = f"{row['value']:.4f}" if row["value"] is not None else f"failed: {row['failure']}"
        typer.echo(f"{row['item']}  {shown}  {row['evidence'] or ''}")
        for part in row.get("parts", []):
            typer.echo(f"  {part['scorer']:<22} {part['state']:<10} {_told(part)}")


@app.command()
def battery(
    with_: WithOption = "tts",
    branch: Annotated[
        str, typer.Option(help="For a single scorer: whose battery, asr, tts or realtime.")
    ] = "tts",
    dose: Annotated[
        bool,
        typer.Option("--dose", help="Doses of damage at three severities in place of attacks."),
    ] = False,
    dimension: Annotated[
        list[str] | None, typer.Option(help="With --dose: the damage; else what the scorer is for.")
    ] = None,
    clips: ClipsOption = None,
    texts: TextsOption = None,
    most: MostOption = 12,
    seconds: BetweenOption = (1.2, 10.0),
    words: WordsOption = 1,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Attack a scorer or composition, and list what gets through; exit code 1 when something does.

    Attacks are made of honest clips: without --clips, of synthetic ones spoken here. With --dose each clean clip
    must be preferred to its damaged self, in 95 of 100 pairs at the middle severity.
    """
    from trivox.platform.records import Branch

    spoken = attack_clips(clips, texts, most, seconds, words)
    if dose:
        failed = _dosed(with_, spoken, seed, dimension or [], json)
    else:
        failed = _attacked(with_, Branch(branch), spoken, seed, json)
    if failed:
        raise typer.Exit(1)


def _items(
    clips: list[Path],
    text: list[str] | None,
    transcript: list[str] | None,
    voice: Path | None,
    instruction: str,
    language: str,
) -> "list[Item]":
    from trivox.platform.audio.io import read_audio
    from trivox.platform.errors import UsageError
    from trivox.platform.records import FinishReason
    from trivox.platform.scoring import Clip, Item

    for name, given in (("--text", text), ("--transcript", transcript)):
        if given and len(given) != len(clips):
            raise UsageError(f"{len(clips)} clips and {len(given)} {name}: give one for each clip")
    own = Clip(*read_audio(voice)) if voice else None
    return [
        Item(
            clip.stem,
            *read_audio(clip),
            text[index] if text else clip.stem.replace("_", " "),
            language,
            FinishReason.END,
            transcript[index] if transcript else None,
            voice=own,
            instruction=instruction or None,
        )
        for index, clip in enumerate(clips)
    ]


def _scored(name: str, items: "list[Item]") -> list[dict[str, Any]]:
    from trivox.reward_models import registry
    from trivox.reward_models.composition import Composition

    if name in registry.names():
        values = registry.build(name).score(items)
        return [_value(item.rollout, value) for item, value in zip(items, values, strict=True)]
    composed = Composition.of(name).score(items)
    return [_composed(item.rollout, one) for item, one in zip(items, composed, strict=True)]


def _value(item: str, value: Any) -> dict[str, Any]:
    return {"item": item, **asdict(value)}


def _composed(item: str, one: "ComposedValue") -> dict[str, Any]:
    return {
        **_value(item, one.total),
        "stopped_by": one.stopped_by,
        "disagreement": one.disagreement,
        "parts": [asdict(part) for part in one.parts],
    }


def _told(part: dict[str, Any]) -> str:
    value = part["value"]
    if value is None:
        return ""
    if value["failure"]:
        return f"{value['failure']['kind']}: {value['failure']['message']}"
    share = f" -> {part['share']:.3f}" if part["share"] is not None else ""
    return f"{value['value']:.4f}{share}  {value['evidence'] or ''}"


def attack_clips(
    folder: Path | None,
    texts: Path | None,
    most: int,
    seconds: tuple[float, float],
    words: int = 1,
) -> "list[Spoken]":
    """Recordings of a folder, else speech made here: one synthetic voice, labelled so."""
    from trivox.platform.errors import UsageError
    from trivox.reward_models.adversarial.clips import read_clips

    if folder is not None:
        low, high = seconds
        return read_clips(
            folder,
            texts,
            kind="recorded",
            least_s=low,
            longest_s=high,
            least_words=words,
            most=most,
        )
    if texts is not None:
        raise UsageError("--texts without --clips: name the folder of the recordings too")
    return _synthetic(most)


def _synthetic(most: int) -> "list[Spoken]":
    from trivox.pipelines.nano.teachers import HIBARI_VOICE, Manner, speak
    from trivox.reward_models.adversarial.clips import Spoken, voiced

    sentences = (
        "turn off the light in the bedroom", "call john tomorrow in the morning",
        "set a timer for fifteen minutes", "what is the weather like today",
        "play some music in the kitchen", "remind me to water the plants on sunday",
        "how long does the train to the city take", "close the window before it starts to rain",
        "please read the last message again", "the meeting begins at nine in the small room",
        "open the door when the driver rings", "there are three cups left on the table",
    )  # fmt: skip
    made = [
        Spoken(text, speak(text, HIBARI_VOICE, Manner(), None), text, "en", "synthetic")
        for text in sentences[: max(2, most)]
    ]
    return voiced(made)


def _attacked(name: str, branch: "Branch", spoken: "list[Spoken]", seed: int, json: bool) -> int:
    from trivox.reward_models import registry
    from trivox.reward_models.adversarial.battery import battery_of_composition, battery_of_scorer
    from trivox.reward_models.composition import Composition
    from trivox.reward_models.report.report import battery_facts

    if name in registry.names():
        found = battery_of_scorer(registry.build(name), spoken, seed, branch)
    else:
        found = battery_of_composition(Composition.of(name), spoken, seed)
    print_json(battery_facts(found)) if json else reward_report.say_battery(found)
    return found.failures


def _dosed(name: str, spoken: "list[Spoken]", seed: int, dimensions: list[str], json: bool) -> int:
    from trivox.reward_models import registry
    from trivox.reward_models.adversarial.dose import dose_response

    found = dose_response(registry.build(name), spoken, seed, dimensions)
    failed = sum(not one.reached for one in found)
    if json:
        told = [{**asdict(one), "share": one.share, "reached": one.reached} for one in found]
        print_json({"scorer": name, "seed": seed, "failed": failed, "doses": told})
        return failed
    columns = ("damage", "severity", "ordered", "share", "95%", "clean", "damaged", "failed")
    print_rows("doses", columns, [_dose_row(one) for one in found], "no doses", json)
    return failed


def _dose_row(one: "DoseResult") -> tuple[str, ...]:
    means = [
        f"{mean:.3f}" if mean is not None else "-" for mean in (one.mean_clean, one.mean_damaged)
    ]
    bounds = f"{one.interval.low:.3f}-{one.interval.high:.3f}"
    severity = f"{one.severity:g} {one.unit}"
    ordered = f"{one.ordered} of {one.pairs}"
    return (one.dimension, severity, ordered, f"{one.share:.1%}", bounds, *means, str(one.failed))
