"""Tasks that cannot be played: left out with a reason that is stored, never a page that breaks."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.annotation.work.conftest import FIRST, NOON, PLAIN, Desk, campaign, people, rollout
from trivox.annotation.people.audit import THE_SYSTEM
from trivox.annotation.waiting import waiting_tasks
from trivox.annotation.work.faults import ask_again, faults_of
from trivox.annotation.work.shapes import Lease, LeaseLost, Nothing
from trivox.platform.errors import NotFound
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Audio,
    Branch,
    Control,
    FaultKind,
    LeaseStatus,
    Prompt,
    Purpose,
    Rollout,
    Task,
    TaskLease,
    TaskState,
)
from trivox.platform.store import Workspace


def sound_file(ws: Workspace, task: str, item: int = 0) -> Path:
    held = ws.records.get(Task, task)
    (one,) = [one for one in ws.tables.read(Rollout) if one.id == held.items[item]]
    assert one.audio is not None
    return ws.audio.path(one.audio)


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_a_sound_that_cannot_be_read_is_passed_over(ws: Workspace, desk: Desk, damage: str) -> None:
    one = campaign(ws, 2, plan=replace(PLAIN, active=False))
    people(ws, "ann")
    desk.enter("ann", one)
    for task in ("task_first_000", "task_first_001"):
        file = sound_file(ws, task)
        content = file.read_bytes()
        file.unlink() if damage == "gone" else file.write_bytes(content[:-40] + b"x" * 40)
        if task == "task_first_000":
            assert desk.next("ann", one).task == "task_first_001"
            kept = content
    assert isinstance(Desk(ws).work.next_lease("ann", one.id), Nothing)
    kinds = {"gone": FaultKind.MISSING_AUDIO, "damaged": FaultKind.DAMAGED_AUDIO}
    found = faults_of(ws, one.id)
    assert {fault.task: fault.kind for fault in found} == {
        "task_first_000": kinds[damage],
        "task_first_001": kinds[damage],
    }
    assert all(fault.item in fault.message for fault in found)
    assert waiting_tasks(ws, None) == []  # the round does not wait for what cannot be judged
    states = ws.records.find(TaskState)
    assert {(state.taken, state.closed) for state in states} == {(0, True)}
    assert {one.status for one in ws.records.find(TaskLease)} == {LeaseStatus.EXPIRED}

    if damage == "damaged":
        sound_file(ws, "task_first_000").write_bytes(kept)
        (fault,) = [one for one in found if one.task == "task_first_000"]
        ask_again(ws, THE_SYSTEM, fault.id)
        assert Desk(ws).next("ann", one).task == "task_first_000"
        with pytest.raises(NotFound):
            ask_again(ws, THE_SYSTEM, fault.id)


def test_what_is_not_in_the_store_has_a_name(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 1)
    (whole,) = ws.records.find(Task)
    silent = replace(rollout(ws, whole.prompt, 7), audio=None)
    lost = replace(rollout(ws, whole.prompt, 8), audio="0" * 64)
    ws.tables.write([silent, lost], branch=Branch.TTS, round="none", part="more")
    asr = Prompt.of(Branch.ASR, ("en",), reference_text="hello")
    ws.records.add(asr)
    first, second = whole.items
    ws.records.add(
        replace(whole, id="t_item", items=(first, "ro_none")),
        replace(whole, id="t_silent", items=(first, silent.id)),
        replace(whole, id="t_lost", items=(second, lost.id)),
        replace(
            whole, id="t_prompt", items=(second, first), prompt="pr_none", question="naturalness@1"
        ),  # fmt: skip
        replace(whole, id="t_asr", prompt=asr.id, question="naturalness@1"),
    )
    people(ws, "ann")
    desk.enter("ann", one)
    assert desk.judge("ann", one, FIRST).task == whole.id
    assert isinstance(desk.work.next_lease("ann", one.id), Nothing)
    assert {fault.task: (fault.kind, fault.item) for fault in faults_of(ws, one.id)} == {
        "t_item": (FaultKind.MISSING_ITEM, "ro_none"),
        "t_silent": (FaultKind.NO_AUDIO, silent.id),
        "t_lost": (FaultKind.MISSING_AUDIO, "0" * 64),
        "t_prompt": (FaultKind.MISSING_PROMPT, "pr_none"),
        "t_asr": (FaultKind.NO_AUDIO, asr.id),
    }
    assert ws.records.find(Audio)


def test_a_damaged_control_stands_in_nobodys_way(ws: Workspace, desk: Desk) -> None:
    """A training block of two of which one cannot be played: the other one qualifies."""
    one = campaign(ws, 3, plan=replace(PLAIN, training_size=2))
    people(ws, "ann")
    desk.enter("ann", one)
    for task in ("task_first_000", "task_first_001"):
        expected = Answer(AnswerKind.COMPARISON, comparison=1)
        ws.records.add(
            Control(f"c{task}", ws.project, one.id, task, Purpose.TRAINING, expected, NOON)
        )
    right = ws.records.get(Task, "task_first_000").items

    def as_expected(lease: Lease) -> object:
        held = ws.records.get(TaskLease, lease.id)
        return FIRST if held.presentation == right else replace(FIRST, comparison=-2)

    desk.judge("ann", one, as_expected)  # type: ignore[arg-type]
    sound_file(ws, "task_first_001").unlink()
    assert isinstance(desk.work.next_lease("ann", one.id), Nothing)
    assert desk.next("ann", one).task == "task_first_002"


def test_a_sound_that_goes_while_it_is_judged_ends_the_lease(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 1)
    people(ws, "ann")
    desk.enter("ann", one)
    lease = desk.next("ann", one)
    sound_file(ws, lease.task).unlink()
    late = Desk(ws)  # another process: it has not read the file before
    clips = [clip.audio_id for clip in lease.clips]
    with pytest.raises(LeaseLost):
        for clip in clips:
            late.work.audio("ann", lease.id, clip, None)
    (fault,) = faults_of(ws, one.id)
    assert fault.kind is FaultKind.MISSING_AUDIO
    with pytest.raises(LeaseLost):
        late.work.lease("ann", lease.id)
