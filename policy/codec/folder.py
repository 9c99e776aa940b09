"""Which codec a folder or a hub id is."""

import json
from pathlib import Path
from typing import Any

from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.hashing import sha256_file
from trivox.policy.codec.hub import CONFIG_FILE, KIND, HubCodec
from trivox.policy.codec.interface import Codec
from trivox.policy.codec.nano import WEIGHTS_FILE, NanoCodec


def load_codec(source: str | Path, codebooks: int | None = None) -> Codec:
    """A codec folder of a Trivox backbone (nano, or a codec of transformers, copied or by id), a folder that
    transformers saved, or a hub id.

    codebooks: how many of them to use, of a transformers codec; None for all, or for what the folder says.
    Raises NotFound, MissingModel, ConfigError, CorruptObject.
    """
    kind = _kind(Path(source))
    if kind not in (None, "nano", KIND):
        raise ConfigError(f"codec {source}: kind {kind!r} is not known: nano and {KIND} are")
    if kind is None:
        return HubCodec.load(str(source), codebooks)
    codec: Codec = (
        NanoCodec.load(Path(source)) if kind == "nano" else HubCodec.load_folder(Path(source))
    )
    if codebooks not in (None, codec.spec.codebooks):
        raise ConfigError(
            f"codec {source} has {codec.spec.codebooks} codebooks fixed and {codebooks} are asked for: "
            "leave the number out"
        )
    return codec


def save_codec(codec: Codec, folder: Path, copy: bool = True) -> None:
    """Writes the codec folder of a backbone; copy=False names a transformers codec by its id or folder."""
    if isinstance(codec, HubCodec):
        codec.save(folder, copy)
    elif isinstance(codec, NanoCodec):
        codec.save(folder)
    else:
        raise ConfigError(
            f"codec {codec.spec.name} cannot be saved: it is neither nano nor of transformers"
        )


def codec_folder_hash(folder: Path) -> str:
    """sha256 of the weights of a codec folder, without loading them. Raises NotFound for a folder without them."""
    if _kind(folder) == KIND:
        recorded: str = _config(folder)["weights_hash"]
        return recorded
    if not (folder / WEIGHTS_FILE).exists():
        raise NotFound(f"{folder / WEIGHTS_FILE} is missing: give a codec folder that has it")
    return sha256_file(folder / WEIGHTS_FILE)


def _kind(folder: Path) -> Any:
    return _config(folder).get("codec") if (folder / CONFIG_FILE).is_file() else None


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text())
    return config
