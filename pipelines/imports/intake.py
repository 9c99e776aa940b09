"""From rows to prompts: texts checked, recordings stored, personas and groups found. Writes no SQL."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from trivox.pipelines.imports.languages import language_tag
from trivox.pipelines.imports.recordings import Recordings, Whose
from trivox.pipelines.imports.rows import (
    EncodedAudio,
    Read,
    Refusal,
    Remark,
    Row,
    RowRefused,
    RowTurn,
    checked_spans,
    clean_text,
)
from trivox.pipelines.imports.splits import AUDIO, NAMED, TEXT, Key
from trivox.pipelines.imports.terms import Terms
from trivox.platform.errors import NotFound
from trivox.platform.personas.registry import reference, resolve
from trivox.platform.records import Audio, Branch, Persona, Prompt, Split, Turn
from trivox.platform.store import Workspace

ROW_KEYS = tuple(one.name for one in fields(Row) if one.name != "label")


@dataclass(frozen=True)
class Request:
    """What an import is asked for. language: BCP-47; min_rate: Hz, below it recordings are refused."""

    name: str
    branch: Branch
    language: str
    terms: Terms
    min_rate: int


@dataclass(frozen=True)
class Taken:
    """A row that became a prompt, and what it brought into the store."""

    label: str
    prompt: Prompt
    audios: tuple[Audio, ...]
    keys: tuple[Key, ...]
    split: Split | None
    licence: str | None
    row: Row


@dataclass(frozen=True)
class _Content:
    """What a row asks for: the payload of its prompt, what it brings into the store, and by which text and
    recordings it belongs to others of its group. A voice to imitate ties no group: many rows may share one."""

    payload: dict[str, Any]
    audios: tuple[Audio, ...]
    text: str
    tying: tuple[Audio, ...]


@dataclass
class Intake:
    """Collects what is read, in order."""

    workspace: Workspace
    request: Request
    source_name: str
    taken: dict[str, Taken] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    repeated: int = 0
    ids: dict[tuple[str, str], str] = field(default_factory=dict)
    """(File, id of a row) -> label of the first row that has it."""
    recordings: Recordings = field(init=False)

    def __post_init__(self) -> None:
        asked = self.request
        self.recordings = Recordings(
            self.workspace, asked.name, self.source_name, asked.terms, asked.min_rate
        )

    def add(self, read: Read) -> None:
        """Take, refuse or note one thing read; only errors that end the whole import are raised."""
        match read:
            case Refusal():
                self.refused.append(read)
            case Remark():
                self.remarks.append(read.text)
            case Row():
                self._add_row(read)

    def _add_row(self, row: Row) -> None:
        try:
            taken = self._take(row)
        except RowRefused as refused:
            self.refused.append(refused.of(row.label, values_of(row)))
            return
        earlier = self.taken.get(taken.prompt.id)
        if earlier is None:
            first = self._first_of_id(row)
            if first == row.label:
                self.taken[taken.prompt.id] = taken
                return
            reason = f"id {row.id!r} is that of {first} too, which says something else"
            remedy = "give each row an id of its own"
            self.refused.append(Refusal(row.label, reason, remedy, values_of(row)))
            return
        if None not in (earlier.split, taken.split) and earlier.split != taken.split:
            reason = f"the same as {earlier.label}, which is in {earlier.split}"
            self.refused.append(Refusal(row.label, reason, "delete one of them", values_of(row)))
            return
        self.repeated += 1
        # A repeated prompt still ties the groups that both rows name.
        keys = tuple(dict.fromkeys((*earlier.keys, *taken.keys)))
        self.taken[taken.prompt.id] = replace(earlier, keys=keys)

    def _first_of_id(self, row: Row) -> str:
        """The label of the first row of its file with its id."""
        if row.id is None:
            return row.label
        file = row.label.rpartition(":")[0] or row.label.partition("[")[0]
        return self.ids.setdefault((file, row.id), row.label)

    def _take(self, row: Row) -> Taken:
        branch, language = self.request.branch, self._language(row)
        make = {Branch.ASR: self._asr, Branch.TTS: self._tts, Branch.REALTIME: self._realtime}
        content = make[branch](row)
        instruction = clean_text(row.instruction) if row.instruction else None
        prompt = Prompt.of(branch, (language,), instruction=instruction, **content.payload)
        licence = row.licence or self.request.terms.licence
        keys = _keys(row.group, content)
        return Taken(row.label, prompt, content.audios, keys, row.split, licence, row)

    def _asr(self, row: Row) -> _Content:
        text = clean_text(row.reference_text or row.text or "")
        if row.audio is None:
            raise RowRefused("no recording, and asr needs one", "name one, or import it for tts")
        audios = self.recordings.heard(row.audio, _whose(row))
        payload = {"audio": audios[-1].id, "reference_text": text}
        return _Content(payload, audios, text, audios[:1])

    def _tts(self, row: Row) -> _Content:
        text, reply = clean_text(row.text or ""), self._reply(row)
        whose = replace(_whose(row), speaker=row.voice_speaker or row.speaker)
        voice = (self.recordings.voice(row.voice, whose),) if row.voice else ()
        payload = {
            "text": text,
            "reference_text": _cleaned(row.reference_text),
            "reference_audio": reply[0].id if reply else None,
            "voice_audio": voice[0].id if voice else None,
            "inline_instructions": checked_spans(row.inline_instructions, text, row.text or ""),
        }
        return _Content(payload, (*reply, *voice), text, reply)

    def _realtime(self, row: Row) -> _Content:
        """A dialogue that waits for its reply; `audio` and `reference_text` are the reply that was recorded."""
        reply = self._reply(row)
        written = row.turns or (RowTurn("user", text=clean_text(row.text or "")),)
        if written[-1].role != "user":
            raise RowRefused("the last turn is the assistant's", "end with what is to be answered")
        heard, turns = list[Audio](), list[Turn]()
        for turn in written:
            turns.append(self._turn(turn, row, heard))
        payload = {
            "turns": tuple(turns),
            "persona": self._persona(row),
            "reference_text": _cleaned(row.reference_text),
            "reference_audio": reply[0].id if reply else None,
        }
        text = " ".join(turn.text for turn in turns if turn.text)
        return _Content(payload, (*reply, *heard), text, (*reply, *heard))

    def _turn(self, turn: RowTurn, row: Row, heard: list[Audio]) -> Turn:
        if turn.audio is None and not turn.text:
            raise RowRefused("a turn has neither text nor audio", "write what was said")
        audio = None
        if turn.audio is not None:
            whose = replace(_whose(row), speaker=turn.speaker or row.speaker)
            heard.append(self.recordings.native(turn.audio, whose))
            audio = heard[-1].id
        return Turn(turn.role, _cleaned(turn.text), audio)

    def _reply(self, row: Row) -> tuple[Audio, ...]:
        return (self.recordings.native(row.audio, _whose(row)),) if row.audio else ()

    def _persona(self, row: Row) -> str:
        if not row.persona:
            raise RowRefused(
                "no persona, and realtime needs one", "name one of `trivox persona list`"
            )
        try:
            return reference(resolve(self.workspace, Persona, row.persona))
        except NotFound as error:
            reason = " ".join(str(error).split())
            raise RowRefused(reason, "name one of `trivox persona list`, or add it") from None

    def _language(self, row: Row) -> str:
        if row.language is None:
            return self.request.language
        tag = language_tag(row.language)
        if tag is None:
            raise RowRefused(
                f"language {row.language!r} is no BCP-47 tag", "write one such as en-US or zh-CN"
            )
        return tag


def values_of(row: Row) -> dict[str, Any]:
    """A row by the keys of a manifest, so that it can be mended as one; paths as they are on this machine."""
    held: dict[str, Any] = {}
    for name in ROW_KEYS:
        value = getattr(row, name)
        if isinstance(value, EncodedAudio):
            held[name] = value.data
        elif name == "turns":
            held |= {"turns": [_turn_values(turn) for turn in value]} if value else {}
        elif value not in (None, ()):
            held[name] = str(value) if isinstance(value, Path | Split) else value
    return held


def _turn_values(turn: RowTurn) -> dict[str, Any]:
    held = {"role": turn.role, "text": turn.text, "speaker": turn.speaker}
    audio = {"audio": str(turn.audio)} if turn.audio else {}
    return {key: value for key, value in held.items() if value is not None} | audio


def _whose(row: Row) -> Whose:
    return Whose(row.label, row.speaker, row.licence)


def _cleaned(text: str | None) -> str | None:
    return clean_text(text) if text else None


def _keys(group: str | None, content: _Content) -> tuple[Key, ...]:
    """Rows of one group, of one text whatever its case and punctuation, or of one recording belong together."""
    text, tying = content.text, content.tying
    letters = "".join(c for c in text.casefold() if c.isalnum())
    named: Sequence[Key] = [(NAMED, group)] if group else []
    texts: Sequence[Key] = [(TEXT, letters or text)] if text else []
    return (*named, *texts, *((AUDIO, audio.id) for audio in tying))
