"""Weights where the workspace's configuration keeps them.

They are made in the folder `artefacts` of the workspace, sent to its object store before a record names them, and
fetched on machines that have no copy.
"""

from pathlib import Path, PurePosixPath

from trivox.platform.hashing import derived_id
from trivox.platform.store.config import FILE, read_config
from trivox.platform.store.workspace import Workspace

FOLDER = "artefacts"
"""Below the workspace: where weights are made, and stay unless the configuration names another place."""


def adapter_of(round: str) -> str:
    """Name of the folder in which a round trains an adapter on its preferences."""
    return derived_id("adapter", round)


def send(ws: Workspace, artefact: str) -> None:
    """Publish the folder of an artefact (relative to the workspace) where they are kept elsewhere.

    What has arrived is not sent again. What ships with Trivox or lies outside of the workspace stays where it is.
    Raises StoreError: then nothing should name it.
    """
    name = _name(artefact)
    if name is not None and _elsewhere(ws.config.artefacts):
        ws.artefacts.publish(ws.root / artefact, name)


def bring(root: Path, artefact: str) -> Path:
    """The folder of an artefact on this machine: in the workspace at root, else fetched, every byte checked.

    Raises NotFound for one that was never published, CorruptObject.
    """
    folder, name = root / artefact, _name(artefact)
    if folder.exists() or name is None or not (root / FILE).is_file():
        return folder
    if not _elsewhere(read_config(root).artefacts):
        return folder
    with Workspace.open(root) as ws:
        return ws.artefacts.fetch(name)


def _elsewhere(place: str) -> bool:
    return place.rstrip("/") != FOLDER


def _name(artefact: str) -> str | None:
    """Below the place for artefacts; None for what is not kept there."""
    first, *rest = PurePosixPath(artefact).parts or ("",)
    return "/".join(rest) if first == FOLDER and rest else None
