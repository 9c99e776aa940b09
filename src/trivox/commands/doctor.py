"""`trivox doctor`: is everything here that work needs?"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    print_json,
    print_rows,
)

if TYPE_CHECKING:
    from trivox.platform.observability.doctor import Finding


def doctor(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    cluster: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster to look at too, such as auto."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Look at versions, GPU, disk, permissions, database, object storage and cluster; name what is wrong.

    The exit code is 1 where something fails that work needs; a warning leaves it 0. No password is shown.
    """
    from trivox.platform.observability.doctor import Health, examine

    more = [_gpu] if cluster is None else [_gpu, lambda: _cluster(cluster)]
    found = examine(workspace, more)
    failed = any(one.health is Health.FAILED for one in found)
    rows = [(one.check, one.health.value, one.told) for one in found]
    if json:
        checks = [dict(zip(("check", "health", "told"), row, strict=True)) for row in rows]
        print_json({"healthy": not failed, "checks": checks})
    else:
        print_rows("checks", ("check", "health", "told"), rows, "", json=False)
    raise typer.Exit(1 if failed else 0)


def _gpu() -> "Finding":
    import torch

    from trivox.platform.observability.doctor import Finding, Health

    if not torch.cuda.is_available():
        return Finding(
            "gpu", Health.WARNING, f"none seen by torch {torch.__version__}: work runs on the CPU"
        )
    free, total = torch.cuda.mem_get_info()
    names = [torch.cuda.get_device_name(one) for one in range(torch.cuda.device_count())]
    return Finding(
        "gpu",
        Health.OK,
        f"{', '.join(names)}; {free / 1e9:.1f} of {total / 1e9:.1f} GB free on the first",
    )


def _cluster(address: str) -> "Finding":
    import ray

    from trivox.platform.observability.doctor import Finding, Health

    untyped: Any = ray  # these functions of it have no types
    try:
        ray.init(address, ignore_reinit_error=True, log_to_driver=False)
        there: dict[str, float] = untyped.cluster_resources()
        nodes = sum(bool(one["Alive"]) for one in untyped.nodes())
    except (ConnectionError, RuntimeError, ValueError) as error:
        return Finding(
            "cluster",
            Health.FAILED,
            f"{address}: {error}: ray start --head, or leave --cluster out",
        )
    finally:
        ray.shutdown()
    return Finding(
        "cluster",
        Health.OK,
        f"{nodes} nodes, {there.get('CPU', 0):g} CPUs, {there.get('GPU', 0):g} GPUs",
    )
