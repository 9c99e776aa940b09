"""`trivox asr`: speech to text by one policy version, or by the vote of several systems."""

from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    PolicyOption,
    WorkspaceOption,
    load_policy,
    print_json,
)

if TYPE_CHECKING:
    from trivox.pipelines.voting import VotedPiece
    from trivox.platform.audio.io import Samples
    from trivox.policy.hearing.long import LongTranscript
    from trivox.policy.speaker import Speaker
    from trivox.reward_models.verifiable.recognisers import Recogniser

app = typer.Typer(
    help="Speech to text with any policy version, and by vote of several.", no_args_is_help=True
)

SystemsOption = Annotated[
    str,
    typer.Option(
        help="Who hears, separated by commas: whisper-base, whisper-tiny, pocketsphinx, or policy versions. Of a "
        "tie the one named first is believed."
    ),
]
DEFAULT_SYSTEMS = "whisper-base,whisper-tiny,pocketsphinx"
LanguageOption = Annotated[str, typer.Option(help="BCP-47, such as en-US or zh-CN.")]


class Channels(StrEnum):
    MIX = "mix"
    EACH = "each"


@app.command()
def transcribe(
    files: Annotated[
        list[Path], typer.Argument(help="Audio files of any common format, rate and length.")
    ],
    policy: PolicyOption = "nano",
    nbest: Annotated[
        int, typer.Option(help="Hypotheses for each piece of speech, by beam search.", min=1)
    ] = 1,
    channels: Annotated[
        Channels, typer.Option(help="Of several channels: mix them, or hear each by itself.")
    ] = Channels.MIX,
    longest: Annotated[
        float | None,
        typer.Option(help="Seconds of a piece, at most; otherwise as long as the policy hears."),
    ] = None,
    drafts: Annotated[
        bool,
        typer.Option(
            help="Decode several tokens a pass where the policy has blocks for it; the text is the same."
        ),
    ] = True,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Print the text of each file.

    Recordings are cut where nobody speaks, and heard piece by piece; --json has the pieces with their times. Where
    nobody speaks at all the text is empty, and a line on stderr says so.
    """
    from trivox.platform.progress import progress, say

    resident, version, adapter = load_policy(workspace, policy)
    rows: list[dict[str, Any]] = []
    with resident.using(adapter) as speaker:
        speaker.drafts = drafts
        for file in progress(files, "transcribing"):
            for channel, samples, rate in _channels(file, channels):
                heard = _heard(speaker, samples, rate, nbest, longest)
                where = {"file": str(file)} | ({} if channel is None else {"channel": channel})
                if accepted := heard.get("accepted"):
                    say(
                        f"{_named(where)}: {accepted['mean_length']:.1f} of {accepted['longest']} tokens a pass"
                    )
                if not heard["speech"]:
                    say(f"{_named(where)}: no speech in {heard['duration_s']:.1f} s")
                rows.append(where | heard)
    if json:
        print_json({"policy": version.name, "transcripts": rows})
        return
    for row in rows:
        typer.echo(f"{_named(row)}: {row['text']}" if len(rows) > 1 else row["text"])


@app.command()
def rover(
    file: Annotated[Path, typer.Argument(help="Audio file.")],
    systems: SystemsOption = DEFAULT_SYSTEMS,
    language: LanguageOption = "en-US",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Print what several systems hear by majority, word by word (ROVER, Fiscus 1997).

    Words are normalised. One that most systems did not say stands with its votes and the others' words, as in
    light{2 night:1}; * marks a tie, - no word.
    """
    from trivox.pipelines.voting import voted_pieces
    from trivox.platform.audio.io import read_audio

    samples, rate = read_audio(file)
    with ExitStack() as stack:
        named = _systems(systems, workspace, stack)
        voted = list(voted_pieces(samples, rate, named, language))
    if json:
        segments = [_voted(piece, language) for piece in voted]
        print_json({"file": str(file), "systems": list(named), "segments": segments})
        return
    for piece in voted:
        typer.echo(f"{piece.start_s:.2f} {_shown(piece)}")
    if not voted:
        typer.echo(f"{file}: no speech")


@app.command("pseudo-label")
def pseudo_label(
    sources: Annotated[list[Path], typer.Argument(help="Audio files, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder to write; a run that stopped goes on there.")],
    systems: SystemsOption = DEFAULT_SYSTEMS,
    min_votes: Annotated[int, typer.Option(help="Votes that a word needs to be kept.")] = 2,
    max_disagreement: Annotated[
        float,
        typer.Option(
            help="Share of places where no word has the votes; a piece above it is dropped."
        ),
    ] = 0.05,
    longest: Annotated[float, typer.Option(help="Seconds of a clip, at most.")] = 20.0,
    language: LanguageOption = "en-US",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Transcripts of recordings that nobody transcribed, where several systems agree.

    The folder's pseudo-labels.jsonl is for `trivox data import --branch asr`; dropped.jsonl says what was not
    taken, and why.
    """
    from trivox.pipelines.pseudo_labels import LabelRules, audio_files
    from trivox.pipelines.pseudo_labels import pseudo_label as labelled
    from trivox.platform.progress import progress

    rules = LabelRules(language, min_votes, max_disagreement, longest)
    files = audio_files(sources)
    with ExitStack() as stack:
        named = _systems(systems, workspace, stack)
        made = labelled(progress(files, "pseudo-labels"), named, out, rules)
    figures = {
        "manifest": str(made.manifest),
        "files": len(files),
        "clips": len(made.accepted),
        "accepted_s": made.accepted_s,
        "heard_s": made.heard_s,
        "dropped": made.reasons,
        "systems": list(named),
    }
    if json:
        print_json(figures)
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in made.reasons.items()) or "nothing"
    typer.echo(
        f"{made.manifest}: {len(made.accepted)} clips, {made.accepted_s / 60:.1f} of "
        f"{made.heard_s / 60:.1f} minutes, by {', '.join(named)}; dropped: {reasons}"
    )


def _channels(file: Path, channels: Channels) -> "Iterator[tuple[int | None, Samples, int]]":
    """Channel, samples and rate: one None for what is heard as a whole."""
    from trivox.platform.audio.io import read_audio

    samples, rate = read_audio(file)
    if channels is Channels.MIX or samples.ndim == 1:
        yield None, samples, rate
        return
    for channel in range(samples.shape[1]):
        yield channel, samples[:, channel], rate


def _heard(
    speaker: "Speaker", samples: "Samples", rate: int, count: int, longest: float | None
) -> dict[str, Any]:
    found = _pieces(speaker, samples, rate, count, longest)
    segments: list[dict[str, Any]] = []
    for one in found.segments:
        segment = {"start_s": one.start_s, "end_s": one.end_s, "text": one.text}
        if count > 1:
            segment["candidates"] = [
                {"text": c.text, "logprob": c.logprob, "score": c.score}
                for c in one.heard.candidates
            ]
        segments.append(segment)
    shown = {"accepted": accepted} if (accepted := _accepted(found)) else {}
    return {
        "text": found.text,
        "speech": found.has_speech,
        "duration_s": found.duration_s,
        "segments": segments,
    } | shown


def _accepted(found: "LongTranscript[Any]") -> dict[str, Any] | None:
    """How many drafted tokens stayed, where any were drafted."""
    from trivox.platform.statistics.acceptance import acceptance

    said = [getattr(segment.heard, "generation", None) for segment in found.segments]
    rates = acceptance(one.decoding for one in said if one is not None)
    if rates is None:
        return None
    return {
        "mean_length": rates.mean_length,
        "longest": rates.longest,
        "prefix_survival": rates.prefix_survival,
        "conditional": rates.conditional,
        "rounds": rates.rounds,
    }


def _pieces(
    speaker: "Speaker", samples: "Samples", rate: int, count: int, longest: float | None
) -> "LongTranscript[Any]":
    """What was heard has candidates where more than one is asked for."""
    from trivox.policy.hearing.beam import nbest_long
    from trivox.policy.hearing.long import transcribe_long

    if count == 1:
        return transcribe_long(speaker, samples, rate, longest)
    return nbest_long(speaker, samples, rate, count, longest)


def _named(row: dict[str, Any]) -> str:
    channel = f" channel {row['channel'] + 1}" if "channel" in row else ""
    return f"{row['file']}{channel}"


def _systems(names: str, workspace: Path, stack: ExitStack) -> "dict[str, Recogniser]":
    """The recognisers by their names; policies stay active until the stack closes."""
    from trivox.pipelines.voting import named_systems

    listed = [name.strip() for name in names.split(",") if name.strip()]
    return named_systems(listed, lambda name: policy_recogniser(name, workspace, stack))


def policy_recogniser(name: str, workspace: Path, stack: ExitStack) -> "Recogniser":
    """A policy version as a recogniser, active until the stack closes."""
    from trivox.pipelines.voting import PolicyRecogniser
    from trivox.platform.hashing import content_hash

    resident, version, adapter = load_policy(workspace, name)
    speaker = stack.enter_context(resident.using(adapter))
    weights = content_hash([version.backbone, version.artefact_hash])
    return PolicyRecogniser(name, weights, speaker)


def _voted(piece: "VotedPiece", language: str) -> dict[str, Any]:
    from trivox.platform.text.rover import joined

    consensus = piece.consensus
    slots = [
        {
            "word": slot.chosen.word,
            "votes": slot.chosen.votes,
            "tied": slot.tied,
            "alternatives": [{"word": arc.word, "votes": arc.votes} for arc in slot.arcs[1:]],
        }
        for slot in consensus.slots
    ]
    return {
        "start_s": piece.start_s,
        "end_s": piece.end_s,
        "text": joined(consensus.words(), language),
        "disagreement": consensus.disagreement(),
        "slots": slots,
        "heard": piece.heard,
    }


def _shown(piece: "VotedPiece") -> str:
    words = []
    for slot in piece.consensus.slots:
        word = slot.chosen.word or "-"
        others = " ".join(f"{arc.word or '-'}:{arc.votes}" for arc in slot.arcs[1:])
        tie = "*" if slot.tied else ""
        words.append(f"{word}{tie}{{{slot.chosen.votes} {others}}}" if others else word)
    return " ".join(words)
