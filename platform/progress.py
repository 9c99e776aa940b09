"""Progress of long work, on stderr: a bar for people, nothing when stderr is no terminal; lines of the log where
that is written there (`observability.logs.written`)."""

import logging
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trivox.platform.observability import logs

Item = TypeVar("Item")

console = Console(stderr=True)
_log = logging.getLogger("trivox.progress")


def progress(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """The items, with a bar on stderr that shows label, count and time left."""
    with bar() as shown:
        yield from shown.track(items, total=total, description=label)


def bar() -> Progress:
    """A bar in the house's form, for work that counts by itself."""
    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal or logs.to_stderr(),
    )


def say(line: str) -> None:
    """One line for people, on stderr; a line of the log where that is written there."""
    if logs.to_stderr():
        _log.info(line.strip())
    else:
        console.print(line, highlight=False, markup=False)
