"""From what was taken to a version of a prompt set, in one transaction."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from trivox.pipelines.imports.intake import Intake, Taken, values_of
from trivox.pipelines.imports.quarantine import Quarantine
from trivox.pipelines.imports.recordings import ASR_RATE
from trivox.pipelines.imports.report import ImportReport
from trivox.pipelines.imports.rows import Refusal
from trivox.pipelines.imports.splits import (
    AUDIO,
    NAMED,
    TEXT,
    Key,
    SplitPlan,
    assign,
    connected_groups,
)
from trivox.platform.errors import BadImport
from trivox.platform.hashing import derived_id
from trivox.platform.records import Audio, Prompt, PromptItem, PromptSet, Split
from trivox.platform.store import Workspace


def publish(
    intake: Intake, layout: str, plan: SplitPlan, source: str, add: bool = False
) -> ImportReport:
    """Write speakers, audio, prompts and the set; refused rows go into quarantine. add: to the set's latest
    version, whose prompts stay in their splits. Raises BadImport when nothing was taken."""
    before = _earlier(intake) if add else ()
    kept, items = _divide(intake, plan, before)
    if not kept:
        raise BadImport(_nothing_taken(source, intake.refused))
    quarantine = Quarantine(intake.workspace.root, intake.request.name)
    quarantine.keep(intake.refused)
    records = intake.workspace.records
    audios = {audio.id: audio for taken in kept for audio in taken.audios}
    speakers = {
        audio.speaker: intake.recordings.speakers[str(audio.speaker)] for audio in audios.values()
    }
    with records.transaction():
        all_new = records.add(*audios.values()) == len(audios)
        records.add(*speakers.values(), *(taken.prompt for taken in kept))
        others = 0 if all_new else _under_other_terms(intake.workspace, audios.values())
        prompt_set, new = add_set(intake.workspace, intake.request.name, items)
    natives = [audio for audio in audios.values() if audio.derived_from is None]
    return ImportReport(
        prompt_set=prompt_set,
        layout=layout,
        taken=len(kept),
        audio_seconds=sum(audio.duration_s for audio in natives),
        refused=tuple(intake.refused),
        repeated=intake.repeated,
        new_version=new,
        quarantine=quarantine.file,
        notes=tuple(_notes(intake, [speaker.name for speaker in speakers.values()], others)),
    )


def add_set(workspace: Workspace, name: str, items: Sequence[PromptItem]) -> tuple[PromptSet, bool]:
    """The latest version of the set if it holds these items, else a new one; and whether it is new."""
    with workspace.records.transaction():
        versions = workspace.records.find(PromptSet, project=workspace.project, name=name)
        latest = max(versions, key=lambda version: version.version, default=None)
        if latest is not None and latest.items == tuple(items):
            return latest, False
        version = latest.version + 1 if latest else 1
        content = [asdict(item) for item in items]
        named = derived_id("ps", workspace.project, name, version, content)
        prompt_set = PromptSet(named, workspace.project, name, version, tuple(items))
        workspace.records.add(prompt_set)
        return prompt_set, True


def _earlier(intake: Intake) -> tuple[PromptItem, ...]:
    """The items of the set's latest version, but for prompts that come again."""
    found = intake.workspace.records.find(
        PromptSet, project=intake.workspace.project, name=intake.request.name
    )
    latest = max(found, key=lambda one: one.version, default=None)
    return tuple(one for one in latest.items if one.prompt not in intake.taken) if latest else ()


def _keys(intake: Intake, item: PromptItem) -> tuple[Key, ...]:
    """Of a prompt that is there already: its group, its words, its recordings."""
    prompt = intake.workspace.records.get(Prompt, item.prompt)
    text = prompt.text or prompt.reference_text or ""
    letters = "".join(c for c in text.casefold() if c.isalnum())
    words = [(TEXT, letters)] if letters else []
    sounds = [(AUDIO, id) for id in (prompt.audio, prompt.reference_audio) if id]
    return ((NAMED, item.group), *words, *sounds)


def _divide(
    intake: Intake, plan: SplitPlan, before: Sequence[PromptItem] = ()
) -> tuple[list[Taken], list[PromptItem]]:
    """What is kept and its place in the set; rows that contradict their group's split are refused."""
    rows = list(intake.taken.values())
    named = connected_groups(
        [*(_keys(intake, item) for item in before), *(taken.keys for taken in rows)]
    )
    groups = named[len(before) :]
    wanted: dict[str, tuple[Split, str]] = {
        group: (item.split, item.source) for group, item in zip(named, before, strict=False)
    }
    kept: list[tuple[Taken, str]] = []
    for taken, group in zip(rows, groups, strict=True):
        if taken.split is not None:
            split, first = wanted.setdefault(group, (taken.split, taken.label))
            if split != taken.split:
                intake.refused.append(_contradiction(taken, split, first))
                continue
        kept.append((taken, group))
    fixed = {group: split for group, (split, _) in wanted.items()}
    splits = assign([group for _, group in kept], fixed, plan)
    items = list(before) + [
        PromptItem(
            taken.prompt.id, splits[group], group, taken.licence, intake.source_name + taken.label
        )
        for taken, group in kept
    ]
    return [taken for taken, _ in kept], items


def _contradiction(taken: Taken, split: Split, first: str) -> Refusal:
    return Refusal(
        taken.label,
        f"is in {taken.split}, but {first}, of the same text, recording or group, is in {split}",
        "put both in one split, or delete one",
        values_of(taken.row),
    )


def _nothing_taken(source: str, refused: Sequence[Refusal]) -> str:
    if not refused:
        return f"{source}: holds no rows: give at least one"
    rows = "1 row" if len(refused) == 1 else f"{len(refused)} rows"
    return f"{source}: nothing could be taken, {rows} refused; the first: {refused[0]}"


def _under_other_terms(workspace: Workspace, audios: Iterable[Audio]) -> int:
    """How many were stored before as somebody else's or under another licence: the first word holds."""
    count = 0
    for audio in audios:
        stored = workspace.records.get(Audio, audio.id)
        count += (stored.speaker, stored.licence) != (audio.speaker, audio.licence)
    return count


def _notes(intake: Intake, speakers: Sequence[str], others: int) -> Iterator[str]:
    terms = intake.request.terms
    if speakers:
        yield terms.note(speakers)
    for rate, count in sorted(intake.recordings.resampled.items()):
        missing = f"; nothing above {rate // 2} Hz is heard in them" if rate < ASR_RATE else ""
        yield f"{count} at {rate} Hz resampled to {ASR_RATE} Hz{missing}"
    if intake.recordings.mixed_down:
        yield f"{intake.recordings.mixed_down} of several channels mixed down to one"
    if others:
        yield (
            f"{others} recordings were here already with another speaker or licence, which they keep"
        )
    yield from intake.remarks
