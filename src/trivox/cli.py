"""The `trivox` command: `trivox --help` is where to begin."""

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from trivox import __version__
from trivox.commands import (
    asr,
    bench,
    campaigns,
    cluster,
    dashboard,
    data,
    demo,
    doctor,
    label_studio,
    loop,
    nano,
    people,
    personas,
    policies,
    projects,
    realtime,
    report,
    reward,
    round_states,
    rounds,
    samples,
    serve,
    speech,
    talk,
)
from trivox.commands.common import DEFAULT_WORKSPACE
from trivox.platform.errors import EXIT_FAILED, DiskFull, TrivoxError

app = typer.Typer(
    name="trivox",
    help="RLHF for audio-language models: rollouts, judgements, rewards, policy updates.\n\n"
    "Begin with `trivox demo`, or with `trivox init` and `trivox round run`. Exit codes: 0 done, 1 the work "
    "failed, 2 wrong usage, 3 waiting for people.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.add_typer(data.app, name="data")
round_states.add_to(rounds.app)
app.add_typer(rounds.app, name="round")
app.add_typer(loop.app, name="loop")
app.add_typer(cluster.app, name="cluster")
app.command("worker")(rounds.worker)
app.command("label")(rounds.label)
app.command("report")(report.report)
app.add_typer(policies.app, name="policy")
app.add_typer(projects.app, name="project")
app.add_typer(people.app, name="people")
app.add_typer(personas.app, name="persona")
app.add_typer(reward.app, name="reward")
app.add_typer(campaigns.app, name="campaign")
app.add_typer(label_studio.app, name="label-studio")
app.add_typer(samples.app, name="sample")
app.add_typer(asr.app, name="asr")
app.add_typer(speech.tts, name="tts")
app.add_typer(realtime.app, name="realtime")
app.command("talk")(talk.talk)
app.command("serve")(serve.serve)
app.command("dashboard")(dashboard.dashboard)
app.add_typer(nano.app, name="nano")
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to make it.")] = DEFAULT_WORKSPACE,
    database: Annotated[
        str | None, typer.Option(help="URL, such as postgresql://user@host/name. Default: SQLite.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="URL such as s3://bucket/trivox for audio, tables and artefacts. Default: folders."
        ),
    ] = None,
    project: Annotated[str, typer.Option(help="The project to work in.")] = "default",
) -> None:
    """Make a workspace: the folder that holds database, audio, scores and adapters of your projects."""
    from trivox.pipelines.workspaces import init_workspace
    from trivox.platform.store.config import workspace_config

    ws = init_workspace(folder, workspace_config(project, database, storage))
    typer.echo(f"workspace {ws.root} is ready; next: trivox round run --workspace {folder} --help")


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show:
        typer.echo(f"trivox {__version__}")
        raise typer.Exit


def main() -> None:
    """Run a command; every failure that Trivox knows is one line on stderr and an exit code."""
    try:
        app()
    except TrivoxError as error:
        _fail(error)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _fail(
            DiskFull(f"no room is left on the disk ({error.filename or 'unknown file'}): free some")
        )
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)


def _fail(error: TrivoxError) -> None:
    line = " ".join(str(error).split()) or type(error).__name__
    typer.echo(f"error: {line}", err=True)
    sys.exit(error.exit_code or EXIT_FAILED)


if __name__ == "__main__":
    main()
