"""What is shown and heard for a task: the prompt, the items, the dialogue before them."""

import secrets
from dataclasses import dataclass
from typing import Any

import polars as pl

from trivox.annotation.work.questions import Question
from trivox.annotation.work.shapes import ClipRole, Content, HistoryTurn, Unplayable
from trivox.annotation.work.sounds import matched_gains
from trivox.platform.errors import NotFound
from trivox.platform.records import (
    Audio,
    Branch,
    ClipState,
    FaultKind,
    Persona,
    Prompt,
    Rollout,
    Task,
)
from trivox.platform.store import Workspace


@dataclass(frozen=True)
class Item:
    """A rollout as far as it is shown. last_reply: audio of its last turn that has one."""

    audio: str | None
    text: str | None
    last_reply: str | None


class Items:
    """Rollouts by id: those of a campaign are read at once and kept."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[str, Item] = {}
        self._audios: dict[str, Audio] = {}
        self._tasks: dict[str, Task] = {}
        self._prompts: dict[str, Prompt] = {}

    def get(self, task: Task, item: str) -> Item:
        """Raises Unplayable for a rollout that is not there."""
        if item not in self._known:
            self._load(task.campaign)
        if item not in self._known:
            text = f"rollout {item} is not in the store"
            raise Unplayable(task.id, FaultKind.MISSING_ITEM, item, text)
        return self._known[item]

    def _load(self, campaign: str) -> None:
        tasks = self._workspace.records.find(Task, campaign=campaign)
        wanted = sorted({item for task in tasks for item in task.items})
        rows = self._workspace.tables.scan(Rollout).filter(pl.col("id").is_in(wanted))
        for row in rows.select("id", "audio", "text", "turns").collect().iter_rows(named=True):
            self._known[row["id"]] = Item(row["audio"], row["text"], _last_reply(row["turns"]))

    def task(self, task_id: str) -> Task:
        """Tasks never change: kept once read. Raises NotFound."""
        if task_id not in self._tasks:
            self._tasks[task_id] = self._workspace.records.get(Task, task_id)
        return self._tasks[task_id]

    def prompt(self, prompt_id: str) -> Prompt:
        """Kept once read, as tasks are. Raises NotFound."""
        if prompt_id not in self._prompts:
            self._prompts[prompt_id] = self._workspace.records.get(Prompt, prompt_id)
        return self._prompts[prompt_id]

    def audio(self, audio_id: str) -> Audio:
        """The record of an audio, kept once read. Raises NotFound."""
        if audio_id not in self._audios:
            self._audios[audio_id] = self._workspace.records.get(Audio, audio_id)
        return self._audios[audio_id]


def _last_reply(turns: list[dict[str, Any]] | None) -> str | None:
    spoken = [turn["audio"] for turn in turns or [] if turn["audio"] is not None]
    return spoken[-1] if spoken else None


def clips_of(
    items: Items, task: Task, question: Question, shown: tuple[str, ...]
) -> tuple[ClipState, ...]:
    """Every sound of the task under fresh keys: what is judged in the order shown, then its context.

    Raises Unplayable for a task of which something is not there.
    """
    prompt = _prompt(items, task)
    asr = prompt.branch is Branch.ASR
    role = ClipRole.PROMPT if asr else ClipRole.ITEM
    sounds = (
        _speech(items, task, prompt)
        if asr
        else [_sound(items, task, question, name) for name in shown]
    )
    judged = [_audio(items, task, name) for name in sounds]
    gains = matched_gains(judged) if question.level_matched else [0.0] * len(judged)
    made = [
        _clip(audio, role, None if asr else place, gain)
        for place, (audio, gain) in enumerate(zip(judged, gains, strict=True))
    ]
    return (*made, *_context(items, task, prompt))


def _prompt(items: Items, task: Task) -> Prompt:
    try:
        return items.prompt(task.prompt)
    except NotFound as error:
        raise Unplayable(task.id, FaultKind.MISSING_PROMPT, task.prompt, str(error)) from error


def _speech(items: Items, task: Task, prompt: Prompt) -> list[str]:
    """The speech whose transcripts are judged; they are looked for as well."""
    for item in task.items:
        items.get(task, item)
    if prompt.audio is None:
        text = f"prompt {prompt.id} has no audio"
        raise Unplayable(task.id, FaultKind.NO_AUDIO, prompt.id, text)
    return [prompt.audio]


def _audio(items: Items, task: Task, audio: str) -> Audio:
    try:
        return items.audio(audio)
    except NotFound as error:
        raise Unplayable(task.id, FaultKind.MISSING_AUDIO, audio, str(error)) from error


def _context(items: Items, task: Task, prompt: Prompt) -> list[ClipState]:
    spoken = [(turn.audio, ClipRole.HISTORY) for turn in prompt.turns if turn.audio is not None]
    if prompt.voice_audio is not None:
        spoken.append((prompt.voice_audio, ClipRole.VOICE))
    audios = [(_audio(items, task, audio), role) for audio, role in spoken]
    return [_clip(audio, role, None, *matched_gains([audio])) for audio, role in audios]


def _clip(audio: Audio, role: ClipRole, place: int | None, gain_db: float) -> ClipState:
    judged = role in (ClipRole.ITEM, ClipRole.PROMPT)
    key = secrets.token_urlsafe(16)
    return ClipState(key, audio.id, role.value, place, audio.duration_s, gain_db, judged)


def _sound(items: Items, task: Task, question: Question, name: str) -> str:
    item = items.get(task, name)
    wanted = (
        (item.last_reply, item.audio) if question.scope == "turn" else (item.audio, item.last_reply)
    )
    found = wanted[0] or wanted[1]
    if found is None:
        text = f"rollout {name} has no audio"
        raise Unplayable(task.id, FaultKind.NO_AUDIO, name, text)
    return found


def content_of(
    workspace: Workspace,
    items: Items,
    task: Task,
    prompt: Prompt,
    shown: tuple[str, ...],
    clips: tuple[ClipState, ...],
) -> Content:
    """The texts of a task. Hypotheses are shown for speech alone: elsewhere they would give away the words."""
    hypotheses: tuple[str, ...] = ()
    if prompt.branch is Branch.ASR:
        hypotheses = tuple(items.get(task, item).text or "" for item in shown)
    return Content(
        branch=prompt.branch.value,
        language=task.language,
        text=prompt.text,
        instruction=prompt.instruction,
        persona=_persona(workspace, prompt.persona),
        turns=_history(prompt, clips),
        hypotheses=hypotheses,
    )


def _history(prompt: Prompt, clips: tuple[ClipState, ...]) -> tuple[HistoryTurn, ...]:
    keys = {clip.audio: clip.key for clip in clips if clip.role == ClipRole.HISTORY}
    return tuple(
        HistoryTurn(turn.role, turn.text, keys.get(turn.audio or "")) for turn in prompt.turns
    )


def _persona(workspace: Workspace, reference: str | None) -> str | None:
    """The character's description; its name@version alone where the registry has none."""
    if reference is None:
        return None
    name, _, version = reference.partition("@")
    if not version.isdigit():
        return reference
    found = workspace.records.find(
        Persona, project=workspace.project, name=name, version=int(version)
    )
    return found[0].description if found else reference
