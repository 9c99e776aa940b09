"""`trivox cluster`: a Ray cluster of one's own machines for the pools of rollouts and scores."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from trivox.commands.common import JsonOption, print_json
from trivox.platform.errors import ConfigError

app = typer.Typer(
    help="A Ray cluster of your own machines, for rollouts and scores.", no_args_is_help=True
)
PORT = 6379
DryOption = Annotated[bool, typer.Option("--dry-run", help="Show the command and run nothing.")]


@app.command()
def up(
    address: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of a head that is there: this machine joins it."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of a new head.", min=1, max=65535)] = PORT,
    cpus: Annotated[int | None, typer.Option(help="CPUs to give (default: all).", min=0)] = None,
    gpus: Annotated[int | None, typer.Option(help="GPUs to give (default: all).", min=0)] = None,
    dashboard: Annotated[
        bool,
        typer.Option(
            "--dashboard",
            help="With Ray's dashboard at 127.0.0.1:8265 of a new head, which `ray job submit` talks to.",
        ),
    ] = False,
    dry_run: DryOption = False,
) -> None:
    """Begin a cluster on this machine, or join one with --address. All machines mount the workspace at one path.

    A Ray cluster runs code of whoever reaches its ports: keep it inside a network that you trust.
    """
    if address is not None and dashboard:
        raise ConfigError(f"--dashboard is of a head, and this machine joins the one at {address}")
    shown = f"--include-dashboard={str(dashboard).lower()}"
    words = ["start", "--head", f"--port={port}", shown] if address is None else ["start"]
    words += [f"--address={address}"] if address is not None else []
    words += [f"--num-cpus={cpus}"] if cpus is not None else []
    words += [f"--num-gpus={gpus}"] if gpus is not None else []
    _ray(words, dry_run)
    if not dry_run:
        typer.echo(f"work on it with: RAY_ADDRESS={address or f'127.0.0.1:{port}'} trivox worker")


@app.command()
def down(dry_run: DryOption = False) -> None:
    """Stop Ray on this machine: workers of pools that run here are replaced by others elsewhere."""
    _ray(["stop"], dry_run)


@app.command()
def status(
    address: Annotated[str, typer.Option(help="HOST:PORT of its head.", envvar="RAY_ADDRESS")],
    json: JsonOption = False,
) -> None:
    """Nodes of a cluster and what they have."""
    from trivox.pipelines.pools.cluster import nodes_of

    nodes = nodes_of(address)
    if json:
        print_json({"address": address, "nodes": nodes})
        return
    for one in nodes:
        alive = "alive" if one["alive"] else "dead"
        typer.echo(f"{one['host']}: {alive}, {one['cpus']:g} CPUs, {one['gpus']:g} GPUs")


def _ray(words: list[str], dry_run: bool) -> None:
    # The one of this environment: nodes of different versions refuse each other.
    command = [str(Path(sys.executable).parent / "ray"), *words]
    if dry_run:
        typer.echo(shlex.join(["ray", *words]))
        return
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, check=False)
    if ended.returncode:
        raise typer.Exit(1)
