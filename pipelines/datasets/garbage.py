"""What nothing reaches: recordings without a record, files of work that broke off, copies."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

from trivox.pipelines.consent import Clock, utc_now
from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.reading import BATCH, stream
from trivox.pipelines.datasets.selection import sounds_of
from trivox.platform.errors import UsageError
from trivox.platform.records import Audio, Prompt, Rollout, TaskLease
from trivox.platform.store import Tables, Workspace
from trivox.platform.store.audio import StoredSound

DAY = timedelta(days=1)


@dataclass
class Garbage:
    """What would be, or was, removed. sounds: audio ids; files: unfinished ones and copies; size in bytes.

    too_young: unreached, but written within the time of grace: an import may be about to name them.
    """

    sounds: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    size: int = 0
    too_young: int = 0


def collect(
    ws: Workspace, *, remove: bool = False, grace: timedelta = DAY, clock: Clock = utc_now
) -> Garbage:
    """Find, and with remove also delete, what nothing reaches and is older than grace.

    A recording is reached by its record, by a prompt, a rollout or a question that somebody holds, in any project
    of the workspace. Records themselves are never removed. Raises UsageError for a grace below 0, StoreError.
    """
    if grace < timedelta(0):
        raise UsageError(f"grace of {grace}: give 0 or more")
    found, before = Garbage(), clock() - grace
    with Members() as reached:
        _reach(ws, reached)
        for sounds in _in_batches(ws.audio.stored()):
            known = reached.known("audio", [one.id for one in sounds])
            for one in (one for one in sounds if one.id not in known):
                _add(found, one, before)
    _leftovers(ws, found, before)
    if remove:
        for id in found.sounds:
            ws.audio.remove(id)
        for path in found.files:
            path.unlink(missing_ok=True)
    return found


def _add(found: Garbage, one: StoredSound, before: datetime) -> None:
    if one.written_at > before:
        found.too_young += 1
        return
    found.sounds.append(one.id)
    found.size += one.size


def _in_batches(sounds: Iterator[StoredSound]) -> Iterator[list[StoredSound]]:
    held: list[StoredSound] = []
    for one in sounds:
        held.append(one)
        if len(held) == BATCH:
            yield held
            held = []
    yield held


def _reach(ws: Workspace, reached: Members) -> None:
    """Every id of audio that something names, in all projects: they share the store."""

    def mark(ids: list[str]) -> None:
        reached.add("audio", [(id, "") for id in ids])

    for audios in stream(ws, Audio):
        mark([id for one in audios for id in (one.id, one.derived_from) if id])
    for prompts in stream(ws, Prompt):
        mark([id for one in prompts for id in sounds_of(one)])
    for leases in stream(ws, TaskLease):
        mark([clip.audio for one in leases for clip in one.clips])
    root = ws.root / ws.config.tables
    for folder in sorted(root.glob("rollout/project=*")):
        project = unquote(folder.name.removeprefix("project="))
        for rollouts in Tables(root, project).batches(Rollout, BATCH):
            mark([id for one in rollouts for id in sounds_of(one)])


def _leftovers(ws: Workspace, found: Garbage, before: datetime) -> None:
    """`.name.1a2b3c4d.tmp` of writes that broke off, and copies of recordings that lie elsewhere."""
    patterns = ("**/.*.tmp", "cache/audio/*.flac")
    for path in (one for pattern in patterns for one in ws.root.glob(pattern)):
        if not path.is_file() or path.is_symlink():
            continue
        held = path.stat()
        if held.st_mtime > before.timestamp():
            found.too_young += 1
        else:
            found.files.append(path)
            found.size += held.st_size
