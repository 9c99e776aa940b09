"""`trivox tts`: a policy version speaks."""

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

tts = typer.Typer(help="Text to speech with any policy version.", no_args_is_help=True)


@tts.callback()
def _tts() -> None:
    pass


@tts.command()
def say(
    text: Annotated[
        str,
        typer.Argument(
            help='What to say; "turn on (slow) the light" is slow from there on. Known: slow, fast, low, high, '
            "soft, loud, pause."
        ),
    ],
    voice: Annotated[
        str, typer.Option(help="Name of a voice, or an audio file to speak like.")
    ] = "",
    instruction: Annotated[
        str, typer.Option(help='How to say all of it, such as "slow high".')
    ] = "",
    context: Annotated[
        Path | None,
        typer.Option(help="Text file of what was said before: one turn a line, `user: text`."),
    ] = None,
    out: Annotated[Path, typer.Option(help="WAV file to write.")] = Path("speech.wav"),
    policy: PolicyOption = "nano",
    seed: Annotated[int, typer.Option(help="Another seed is another take.")] = 0,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.", min=0)] = None,
    takes: Annotated[
        int, typer.Option(help="Takes to choose from; 1 keeps the first, whatever it says.", min=1)
    ] = 8,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Speak a text into a WAV file.

    Of several takes the one is kept that the asr branch of the same policy understands best.
    """
    from dataclasses import replace

    from trivox.pipelines.speaking import read_context, utterance
    from trivox.platform.audio.io import write_wav
    from trivox.platform.errors import WorkError
    from trivox.platform.text.directives import parse
    from trivox.policy.speaker import TTS_SAMPLING

    parse(text)  # before a model is loaded for it
    before = read_context(context) if context else ()
    resident, version, adapter = load_policy(workspace, policy)
    sampling = (
        TTS_SAMPLING if temperature is None else replace(TTS_SAMPLING, temperature=temperature)
    )
    asked = utterance(resident.backbone, text, instruction, voice, before)
    with resident.using(adapter) as speaker:
        speech = speaker.speak_verified([asked], [seed], sampling, takes)[0]
    if len(speech.samples) == 0:
        raise WorkError(f"policy {version.name} said nothing for {text!r}: try another --seed")
    rate = resident.backbone.codec.spec.sample_rate
    write_wav(out, speech.samples, rate)
    seconds = len(speech.samples) / rate
    if json:
        print_json({"policy": version.name, "file": str(out), "seconds": seconds, "seed": seed})
    else:
        typer.echo(f"{out}: {seconds:.2f} s by {version.name}")
