"""Generative judges by file: what it asks for, and where the weights of the packaged models are."""

import tomllib
from pathlib import Path

from trivox.pipelines.workspaces import packaged_nano
from trivox.platform.config import load_toml
from trivox.policy.backbone import WEIGHTS_FILE, locate
from trivox.reward_models.generative.config import JudgeConfig
from trivox.reward_models.offline import cache_folder

SMOLLM2 = "smollm2"
NANO = "nano"


def load_judge(path: Path) -> JudgeConfig:
    """A judge's file, with `smollm2` and `nano` as folders. Raises NotFound, ConfigError, MissingModel."""
    config = load_toml(path, JudgeConfig)
    if config.backend == "server" or config.model is None:
        return config
    find = model_folder if config.backend == "local" else backbone_folder
    return config.model_copy(update={"model": find(config.model)})


def is_judge(name: str) -> bool:
    """Whether this is the file of a judge: a TOML file with a backend."""
    path = Path(name)
    if path.suffix != ".toml" or not path.is_file():
        return False
    try:
        return "backend" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return False


def backbone_folder(model: str) -> str:
    """Of the packaged backbone, or the folder that was named."""
    return str(locate(packaged_nano("default").artefact, Path())) if model == NANO else model


def model_folder(model: str) -> str:
    """Of a language model; SmolLM2 is unpacked into the cache at first use. Raises MissingModel."""
    if model != SMOLLM2:
        return model
    from trivox.pipelines.small.weights import SMOLLM2 as PACKAGE
    from trivox.pipelines.small.weights import write_language_model

    folder = cache_folder() / f"smollm2-{PACKAGE.sha256[:12]}"
    if not (folder / WEIGHTS_FILE).is_file():
        write_language_model(folder)
    return str(folder)
