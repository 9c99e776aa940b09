"""`trivox talk`: a conversation with a policy version, from recordings or by microphone."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    PolicyOption,
    WorkspaceOption,
    open_workspace,
    print_json,
)

if TYPE_CHECKING:
    from trivox.pipelines.live.hub import Hub, Version
    from trivox.pipelines.live.session import Keeper, LiveSettings
    from trivox.pipelines.live.talking import Exchange


def talk(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="What the user says, turn by turn: audio files. None: the microphone."),
    ] = None,
    persona: Annotated[
        str, typer.Option(help="Who answers: a packaged persona, or one of the workspace.")
    ] = "anna",
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for reply-1.wav and so on, and conversation.wav with both sides."
        ),
    ] = Path("conversation"),
    interrupt_after: Annotated[
        float | None,
        typer.Option(
            help="Let each turn after the first break in when so many seconds of the reply were played.",
            min=0.1,
        ),
    ] = None,
    silence: Annotated[
        float, typer.Option(help="Seconds of quiet that end a turn.", min=0.05, max=5)
    ] = 0.5,
    think: Annotated[
        bool, typer.Option(help="Let the model write down what it heard before it answers.")
    ] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Keep the replies as rollouts in the workspace; you have the speaker's consent.",
        ),
    ] = False,
    policy: PolicyOption = "nano",
    seed: Annotated[int, typer.Option(help="Another seed is another conversation.")] = 0,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Talk with a policy: it hears where your turn ends, answers aloud, and stops when you break in.

    Example: trivox talk first.wav second.wav --persona anna. Without files it listens to the microphone, until
    Ctrl-C; wear headphones.
    """
    from trivox.pipelines.live.hub import Hub
    from trivox.pipelines.live.keeping import Keeper
    from trivox.pipelines.live.session import LiveSettings
    from trivox.pipelines.realtime.answering import find_persona
    from trivox.pipelines.realtime.personas import character
    from trivox.policy.hearing.listening import Endpointing

    if not files and json:
        raise typer.BadParameter("--json tells of recordings: name audio files")
    who = find_persona(workspace, persona)
    settings = LiveSettings(
        character(who),
        who.traits.get("voice", ""),
        Endpointing(silence_s=silence),
        thinks=think,
        seed=seed,
    )
    keeper = Keeper(open_workspace(workspace)) if keep else None
    try:
        with Hub(workspace, slots=1) as hub:
            version = hub.version(policy)
            if files:
                rows = _recorded(hub, version, settings, keeper, files, out, interrupt_after, json)
                if json:
                    said = {"policy": version.policy.name, "persona": who.name}
                    print_json(
                        {**said, "conversation": str(out / "conversation.wav"), "turns": rows}
                    )
            else:
                _by_microphone(hub, version, settings, keeper)
    finally:
        if keeper is not None:
            keeper.close()


def _recorded(
    hub: "Hub",
    version: "Version",
    settings: "LiveSettings",
    keeper: "Keeper | None",
    files: list[Path],
    out: Path,
    interrupt_after: float | None,
    json: bool,
) -> list[dict[str, Any]]:
    from ulid import ULID

    from trivox.pipelines.live.talking import FileTalk, merged
    from trivox.platform.audio.io import write_wav

    talk = FileTalk(hub, version, settings, str(ULID()), keeper, interrupt_after)
    out.mkdir(parents=True, exist_ok=True)
    done, rows = [], []
    for number, exchange in enumerate(talk.exchanges(files), 1):
        path = out / f"reply-{number}.wav"
        write_wav(path, exchange.samples, talk.rate)
        done.append(exchange)
        rows.append(_row(exchange, path, talk.rate))
        if not json:
            cut = (
                "" if exchange.heard_s is None else f" (interrupted after {exchange.heard_s:.1f} s)"
            )
            typer.echo(f"{path}: {exchange.text}{cut}")
    write_wav(out / "conversation.wav", merged(done, talk.rate), talk.rate)
    return rows


def _row(exchange: "Exchange", path: Path, rate: int) -> dict[str, Any]:
    told = asdict(exchange)
    kept = ("text", "reason", "timings", "heard_s", "user_at", "reply_at")
    seconds = len(exchange.samples) / rate
    return {"file": str(exchange.file), "reply": str(path), "seconds": seconds} | {
        name: told[name] for name in kept
    }


def _by_microphone(
    hub: "Hub", version: "Version", settings: "LiveSettings", keeper: "Keeper | None"
) -> None:
    from ulid import ULID

    from trivox.pipelines.live.events import ReplyDone, Truncated
    from trivox.pipelines.live.microphone import sound, talk
    from trivox.pipelines.live.session import LiveSession
    from trivox.platform.progress import say

    device, rate = sound(), version.resident.backbone.codec.spec.sample_rate

    def session(emit: Any) -> LiveSession:
        return LiveSession(hub, version, settings, emit, str(ULID()), keeper=keeper)

    say("speak; Ctrl-C ends the conversation")
    for event in talk(device, rate, session):
        if isinstance(event, ReplyDone):
            typer.echo(str(event.error) if event.error else event.text)
        elif isinstance(event, Truncated):
            say(f"interrupted after {event.heard_s:.1f} s")
