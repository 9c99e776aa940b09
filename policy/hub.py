"""Loading from a hub or a folder, with errors that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trivox.platform.errors import ConfigError, MissingModel, NotFound, TrivoxError


@contextmanager
def loading(what: str, source: str, wanted: str) -> Iterator[None]:
    """Around transformers' loading of `source`, a hub id or a folder. wanted: what would have been right.

    Raises NotFound for a folder that is not there or lacks a file, MissingModel for an id that cannot be had,
    naming the way without a connection, and ConfigError for what transformers cannot make sense of.
    """
    folder = Path(source)
    if not folder.is_dir() and (
        folder.is_absolute() or source.startswith(".") or source.count("/") != 1
    ):
        raise NotFound(
            f"{what} {source}: no such folder: give a folder, or a hub id such as org/name"
        )
    try:
        yield
    except TrivoxError:
        raise
    except OSError as error:
        if folder.is_dir():
            raise NotFound(f"{what} {source}: {_first_line(error)}: {wanted}") from error
        raise MissingModel(
            f"{what} {source} cannot be loaded ({_first_line(error)}): without a connection, run "
            f"`hf download {source} --local-dir FOLDER` where there is one and give the folder"
        ) from error
    except (ValueError, KeyError) as error:
        raise ConfigError(
            f"{what} {source}: transformers cannot load it ({_first_line(error)}): {wanted}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
