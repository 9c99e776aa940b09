"""`trivox realtime`: a policy version answers, in character and aloud."""

from pathlib import Path
from typing import Annotated

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    PolicyOption,
    WorkspaceOption,
    load_policy,
    print_json,
)

app = typer.Typer(help="Spoken dialogue with any policy version.", no_args_is_help=True)


@app.callback()
def _realtime() -> None:
    pass


@app.command()
def reply(
    files: Annotated[
        list[Path], typer.Argument(help="What the user says, turn by turn: audio files.")
    ],
    persona: Annotated[
        str,
        typer.Option(
            help="Who answers: a packaged persona, or one of the workspace (name@version)."
        ),
    ] = "anna",
    out: Annotated[
        Path, typer.Option(help="Folder for the replies: reply-1.wav and so on.")
    ] = Path("replies"),
    think: Annotated[
        bool, typer.Option(help="Let the model write down what it heard before it answers.")
    ] = False,
    policy: PolicyOption = "nano",
    seed: Annotated[int, typer.Option(help="Another seed is another reply.")] = 0,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Answer each turn of a user, in character, knowing the turns before.

    Example: trivox realtime reply first.wav second.wav --persona anna
    """
    from trivox.pipelines.realtime.answering import answer_files, find_persona
    from trivox.platform.audio.io import write_wav

    character = find_persona(workspace, persona)
    resident, version, adapter = load_policy(workspace, policy)
    rate = resident.backbone.codec.spec.sample_rate
    rows = []
    out.mkdir(parents=True, exist_ok=True)
    with resident.using(adapter) as speaker:
        for number, speech in enumerate(answer_files(speaker, character, files, seed, think), 1):
            path = out / f"reply-{number}.wav"
            write_wav(path, speech.samples, rate)
            seconds = len(speech.samples) / rate
            row = {
                "file": str(path),
                "text": speech.text,
                "thought": speech.thought,
                "seconds": seconds,
            }
            rows.append(row)
            if not json:
                thought = f" ({speech.thought})" if speech.thought else ""
                typer.echo(f"{path}: {speech.text}{thought}")
    if json:
        print_json({"policy": version.name, "persona": character.name, "replies": rows})
