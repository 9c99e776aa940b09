"""TOML files to pydantic models, with errors that name file, key and value."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from trivox.platform.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def load_toml(path: Path, model: type[Model]) -> Model:
    """Read and validate a TOML file.

    Raises ConfigError with one line that names the file and the first wrong key.
    """
    return validated(read_toml(path), model, str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as it is; raises ConfigError that names it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def validated(raw: object, model: type[Model], where: str) -> Model:
    """raw as a model; raises ConfigError with one line for the first wrong key."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = [where, *filter(None, [".".join(map(str, first["loc"]))])]
        hint = ""
        if first["type"] == "extra_forbidden":
            known = _section(model, first["loc"][:-1]).model_fields
            hint = f"; known keys: {', '.join(known)}"
        raise ConfigError(f"{': '.join(place)}: {first['msg']}{hint}") from None


def _section(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel]:
    """The model of the table that path leads to; the last one known where it leads elsewhere."""
    for name in path:
        if isinstance(name, int):  # the place in an array of tables
            continue
        field = model.model_fields.get(name)
        asked = [field.annotation, *get_args(field.annotation)] if field else []
        inner = [one for one in asked if isinstance(one, type) and issubclass(one, BaseModel)]
        if not inner:
            break
        model = inner[0]
    return model
