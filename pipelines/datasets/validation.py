"""Whether what a version was made of is still there, and still the same."""

from dataclasses import dataclass

from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.reading import BATCH, stream
from trivox.pipelines.datasets.resplit import crossing
from trivox.pipelines.datasets.selection import Selection
from trivox.pipelines.datasets.versions import (
    MEMBERS,
    PARTS,
    Manifest,
    Tally,
    folder_of,
    read_members,
)
from trivox.platform.errors import CorruptObject, NotFound
from trivox.platform.records import Audio, PromptSet
from trivox.platform.store import Workspace

SHOWN = 100


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be. row: what it is about."""

    row: str
    reason: str
    remedy: str


def check_version(ws: Workspace, made: Manifest, sounds: bool = True) -> list[Fault]:
    """What of a version is missing or changed, and whether its recordings (sounds) are what their ids say; at most
    SHOWN faults. More rows than the version has are no fault."""
    faults: list[Fault] = []
    with Members() as members:
        tally = Tally(members)
        for batch in Selection(ws, made.filters, members).batches():
            tally.take(batch)
        for rows in read_members(folder_of(ws, made) / MEMBERS):
            for part in PARTS:
                held = [(id, digest) for name, id, digest in rows if name == part]
                there = members.known(f"={part}", [id for id, _ in held])
                faults += [_fault(part, id, id in there) for id, d in held if there.get(id) != d]
            if len(faults) >= SHOWN:
                return faults[:SHOWN]
        if sounds:
            faults += _silent(ws, members)
    return faults[:SHOWN]


def _fault(part: str, id: str, there: bool) -> Fault:
    if there:
        return Fault(f"{part}: {id}", "is not as it was", "make a new version: trivox data freeze")
    remedy = "import the dataset's export again, or make a new version"
    return Fault(f"{part}: {id}", "is gone", remedy)


def _silent(ws: Workspace, members: Members) -> list[Fault]:
    faults = []
    for rows in members.rows("=audio", BATCH):
        for id, _ in rows:
            if fault := _sound_fault(ws, id):
                faults.append(fault)
    return faults


def _sound_fault(ws: Workspace, id: str) -> Fault | None:
    try:
        ws.audio.read(id)
    except (NotFound, CorruptObject) as error:
        return Fault(f"audio: {id}", str(error), "bring it back from a backup or an export")
    return None


def check_workspace(ws: Workspace) -> list[Fault]:
    """Of the whole project: groups within one split, recordings there and whole."""
    faults = [
        Fault(one.reference, f"group {group} lies in {' and '.join(splits)}", "trivox data split")
        for one in ws.records.find(PromptSet, project=ws.project)
        for group, splits in crossing(one).items()
    ]
    for audios in stream(ws, Audio, project=ws.project):
        faults += [fault for one in audios if (fault := _sound_fault(ws, one.id))]
        if len(faults) >= SHOWN:
            break
    return faults[:SHOWN]
