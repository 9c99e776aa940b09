"""Rows of other programs, made of preferences and understood again.

Each form has the columns that its program reads, and one more, `trivox`: the records that the row was made of
and a hash of the other columns. A row that is read back as it was written is those records again; one that was
edited, or written by somebody else, is read from its own columns. Schemas: TRL's data formats (trl 1.16,
"preference"); NeMo's Magpie-TTS preference manifests (adjacent lines, chosen first); CosyVoice's
tools/make_parquet_list.py with --dpo; verl's "prepare data"; ms-swift's messages with `<audio>`, as SpeechJudge
trains its judge.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from trivox.pipelines.exports.pairs import Pair, held_records
from trivox.pipelines.exports.said import prompt_text, read_said, said
from trivox.platform.hashing import content_hash, derived_seed
from trivox.platform.records import Branch, Prompt, Rollout

Container = Literal["jsonl", "parquet", "hf"]
Columns = dict[str, Any]
HELD = "trivox"
SAME = "chosen and rejected read the same"


class Refused(Exception):
    """A pair that a form has no row for, or a row that cannot be understood: reason and remedy."""

    def __init__(self, reason: str, remedy: str = "export it in another format") -> None:
        super().__init__(reason, remedy)
        self.reason, self.remedy = reason, remedy


@dataclass
class Kit:
    """What forms need from outside. path: of an exported recording, relative to the export; sound: its FLAC bytes;
    prompt_tokens: the prompt of a policy in tokens, or why there are none."""

    path: Callable[[str], str]
    sound: Callable[[str], bytes]
    prompt_tokens: Callable[[Prompt], list[int] | str] | None = None


@dataclass(frozen=True)
class SaidBy:
    """What is known of one answer. sound: a path, or a struct of bytes and path."""

    text: str | None = None
    tokens: tuple[int, ...] = ()
    codes: tuple[tuple[int, ...], ...] = ()
    sound: Any = None


@dataclass(frozen=True)
class Foreign:
    """A preference as far as a row of its own tells it."""

    text: str
    chosen: SaidBy
    rejected: SaidBy
    branch: Branch = Branch.TTS
    language: str | None = None
    margin: float = 1.0
    speaker: str | None = None
    group: str | None = None
    voice: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Form(Protocol):
    """rows: of one pair, in order (per_pair of them). read: the pair that so many rows tell of; raises Refused."""

    @property
    def name(self) -> str: ...

    @property
    def container(self) -> Container: ...

    @property
    def per_pair(self) -> int: ...

    @property
    def required(self) -> tuple[str, ...]: ...

    def rows(self, pair: Pair, kit: Kit) -> list[Columns]: ...

    def read(self, rows: list[Columns]) -> Foreign: ...


def own_hash(row: Columns) -> str:
    """Of a row without `trivox`; the bytes of a recording by their own hash."""
    return content_hash({name: _hashable(value) for name, value in row.items() if name != HELD})


def _hashable(value: Any) -> Any:
    if isinstance(value, bytes):
        import hashlib

        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Mapping):
        return {name: _hashable(item) for name, item in value.items()}
    return [_hashable(item) for item in value] if isinstance(value, list | tuple) else value


def with_records(rows: list[Columns], pair: Pair) -> list[Columns]:
    """The rows, the first of them with its records."""
    held = {"hash": content_hash([own_hash(row) for row in rows]), "records": held_records(pair)}
    rest = [row | {HELD: None} for row in rows[1:]]
    return [rows[0] | {HELD: json.dumps(held, ensure_ascii=False)}, *rest]


@dataclass(frozen=True)
class TrlText:
    """prompt, chosen, rejected in text, and margin."""

    name: str = "trl"
    container: Container = "hf"
    per_pair: int = 1
    required: tuple[str, ...] = ("prompt", "chosen", "rejected")

    def rows(self, pair: Pair, kit: Kit) -> list[Columns]:
        both = said(pair.chosen, pair.prompt), said(pair.rejected, pair.prompt)
        if both[0] == both[1] or "" in both:
            raise Refused(SAME if both[0] else "an answer has neither words nor tokens")
        asked = prompt_text(pair.prompt)
        margin = pair.preference.margin
        return [{"prompt": asked, "chosen": both[0], "rejected": both[1], "margin": margin}]

    def read(self, rows: list[Columns]) -> Foreign:
        row = rows[0]
        chosen, rejected = (SaidBy(*read_said(_text(row, n))) for n in ("chosen", "rejected"))
        margin = _number(row, "margin", 1.0)
        return Foreign(_text(row, "prompt"), chosen, rejected, margin=margin)


@dataclass(frozen=True)
class TrlTokens:
    """prompt_ids, chosen_ids, rejected_ids and margin. For DPO (`full` False) the answers stand alone, as TRL's
    collator joins them with the prompt; for RewardTrainer (`full`) they begin with the prompt."""

    name: str = "trl-dpo-tokens"
    full: bool = False
    container: Container = "hf"
    per_pair: int = 1
    required: tuple[str, ...] = ("prompt_ids", "chosen_ids", "rejected_ids")

    def rows(self, pair: Pair, kit: Kit) -> list[Columns]:
        if kit.prompt_tokens is None:
            raise Refused("no policy to write prompts in tokens with", "name one with --policy")
        asked = kit.prompt_tokens(pair.prompt)
        if isinstance(asked, str):
            raise Refused(asked)
        both = [list(one.tokens) for one in (pair.chosen, pair.rejected)]
        if not all(both) or both[0] == both[1]:
            raise Refused(SAME if both[0] else "an answer has no tokens")
        chosen, rejected = ([*asked, *one] if self.full else one for one in both)
        margin = pair.preference.margin
        return [
            {"prompt_ids": asked, "chosen_ids": chosen, "rejected_ids": rejected, "margin": margin}
        ]

    def read(self, rows: list[Columns]) -> Foreign:
        row = rows[0]
        asked, chosen, rejected = (_ids(row, name) for name in self.required)
        if self.full:
            if chosen[: len(asked)] != asked or rejected[: len(asked)] != asked:
                raise Refused("an answer does not begin with its prompt", "write prompt and answer")
            chosen, rejected = chosen[len(asked) :], rejected[len(asked) :]
        if not chosen or not rejected:
            raise Refused("an answer has no tokens", "write at least one")
        text = "".join(f"<|{token}|>" for token in asked)
        both = SaidBy(tokens=chosen), SaidBy(tokens=rejected)
        return Foreign(text, *both, margin=_number(row, "margin", 1.0))


@dataclass(frozen=True)
class Table:
    """Everything of a preference in plain columns, with its recordings."""

    name: str = "pairs"
    container: Container = "parquet"
    per_pair: int = 1
    required: tuple[str, ...] = ("prompt", "chosen_audio", "rejected_audio")

    def rows(self, pair: Pair, kit: Kit) -> list[Columns]:
        row: Columns = {
            "id": pair.preference.id,
            "branch": pair.prompt.branch.value,
            "language": pair.prompt.languages[0],
            "prompt": prompt_text(pair.prompt),
            "split": pair.split.value,
            "group": pair.place.group if pair.place else None,
            "licence": pair.place.licence if pair.place else None,
            "margin": pair.preference.margin,
            "confidence": pair.preference.confidence,
            "judges": [kind.value for kind in pair.preference.judges],
        }
        for side, one in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            row[f"{side}_text"] = one.text
            row[f"{side}_tokens"] = list(one.tokens)
            row[f"{side}_audio"] = self._sound(one, kit)
        return [row]

    def _sound(self, one: Rollout, kit: Kit) -> Any:
        if one.audio is None:
            return None
        path = kit.path(one.audio)
        return path if self.container == "jsonl" else {"bytes": kit.sound(one.audio), "path": path}

    def read(self, rows: list[Columns]) -> Foreign:
        row = rows[0]
        return Foreign(
            _text(row, "prompt"),
            self._said(row, "chosen"),
            self._said(row, "rejected"),
            branch=_branch(row.get("branch")),
            language=row.get("language"),
            margin=_number(row, "margin", 1.0),
            group=row.get("group"),
            extra={"split": row.get("split")},
        )

    def _said(self, row: Columns, side: str) -> SaidBy:
        tokens = _ids(row, f"{side}_tokens") if row.get(f"{side}_tokens") else ()
        return SaidBy(row.get(f"{side}_text"), tokens, (), row.get(f"{side}_audio"))


@dataclass(frozen=True)
class Nemo:
    """Two lines a pair, the chosen first: reward 1, and less than 1 by a third of the margin for the rejected."""

    name: str = "nemo-pairs"
    container: Container = "jsonl"
    per_pair: int = 2
    required: tuple[str, ...] = ("audio_filepath", "text", "reward")

    def rows(self, pair: Pair, kit: Kit) -> list[Columns]:
        lower = 1 - max(pair.preference.margin, 1e-3) / 3
        sides = ((pair.chosen, 1.0), (pair.rejected, lower))
        return [self._row(pair, one, reward, kit) for one, reward in sides]

    def _row(self, pair: Pair, one: Rollout, reward: float, kit: Kit) -> Columns:
        sound = pair.sound(one.audio)
        if sound is None:
            raise Refused("an answer has no recording")
        row: Columns = {
            "audio_filepath": kit.path(sound.id),
            "duration": sound.duration_s,
            "text": pair.prompt.text or prompt_text(pair.prompt),
            "lang": pair.prompt.languages[0],
            "reward": reward,
        }
        if voice := pair.sound(pair.prompt.voice_audio):
            row["context_audio_filepath"] = kit.path(voice.id)
            row["context_audio_duration"] = voice.duration_s
            speaker = pair.speaker(voice.id)
            row["speaker"] = speaker.name if speaker else None
        return row

    def read(self, rows: list[Columns]) -> Foreign:
        first, second = rows
        rewards = [_number(row, "reward", None) for row in rows]
        if _text(first, "text") != _text(second, "text"):
            raise Refused(
                "two adjacent lines are of different texts", "write chosen and rejected in pairs"
            )
        if not rewards[1] < rewards[0]:
            told = f"rewards {rewards[0]:g} and {rewards[1]:g}"
            raise Refused(f"{told}: the first line is the chosen one", "write the chosen first")
        return Foreign(
            first["text"],
            SaidBy(sound=_text(first, "audio_filepath")),
            SaidBy(sound=_text(second, "audio_filepath")),
            language=first.get("lang"),
            margin=round(3 * (rewards[0] - rewards[1]), 9),
            speaker=first.get("speaker"),
            voice=first.get("context_audio_filepath"),
        )


@dataclass(frozen=True)
class CosyVoice:
    """One row a pair: the chosen recording and its speech tokens, and the rejected's tokens.

    Speaker embeddings are CosyVoice's own (CAM++) and left empty here. Its tools/extract_embedding.py makes them
    from wav.scp and utt2spk, which are not written: `utt`, `wav` (relative to the export) and `spk` hold the same.
    Only answers in one codebook have such tokens.
    """

    name: str = "cosyvoice"
    container: Container = "parquet"
    per_pair: int = 1
    required: tuple[str, ...] = ("utt", "text", "audio_data", "speech_token", "reject_speech_token")

    def rows(self, pair: Pair, kit: Kit) -> list[Columns]:
        tokens = [_one_codebook(one) for one in (pair.chosen, pair.rejected)]
        if tokens[0] == tokens[1]:
            raise Refused(SAME)
        sound = pair.sound(pair.chosen.audio)
        if sound is None:
            raise Refused("the chosen answer has no recording")
        voice = pair.speaker(pair.prompt.voice_audio)
        row: Columns = {
            "utt": pair.preference.id,
            "wav": kit.path(sound.id),
            "audio_data": kit.sound(sound.id),
            "text": pair.prompt.text or prompt_text(pair.prompt),
            "spk": voice.name.replace(" ", "_")
            if voice
            else pair.chosen.producer.partition(":")[2],
            "utt_embedding": None,
            "spk_embedding": None,
            "speech_token": tokens[0],
            "reject_speech_token": tokens[1],
        }
        return [row]

    def read(self, rows: list[Columns]) -> Foreign:
        row = rows[0]
        both = [_ids(row, name) for name in ("speech_token", "reject_speech_token")]
        if not all(both):
            raise Refused("no speech tokens", "extract them with CosyVoice's tools")
        chosen, rejected = (tuple((code,) for code in one) for one in both)
        if not isinstance(row.get("audio_data"), bytes):
            raise Refused("audio_data holds no bytes", "write the file's content")
        sound = {"bytes": row["audio_data"], "path": row.get("wav")}
        return Foreign(
            _text(row, "text"),
            SaidBy(codes=chosen, sound=sound),
            SaidBy(codes=rejected),
            speaker=row.get("spk"),
        )


QUESTION = (
    "Which of the two recordings says this text better?\nText: {text}\nA: <audio>\nB: <audio>"
)


@dataclass(frozen=True)
class GrmChat:
    """A chat for supervised fine-tuning of a judge that hears: which of two recordings is better.

    A coin that is the preference's own says which stands first, so that position tells nothing.
    """

    name: str = "grm"
    container: Container = "jsonl"
    per_pair: int = 1
    required: tuple[str, ...] = ("messages", "audios")
    system: str = "You compare two recordings. Answer with A or B."

    def rows(self, pair: Pair, kit: Kit) -> list[Columns]:
        sounds = [one.audio for one in (pair.chosen, pair.rejected)]
        if None in sounds:
            raise Refused("an answer has no recording")
        first = derived_seed("grm", pair.preference.id) % 2 == 0
        paths = [kit.path(str(id)) for id in (sounds if first else sounds[::-1])]
        question = QUESTION.format(text=pair.prompt.text or prompt_text(pair.prompt))
        messages = [
            {"role": "system", "content": self.system},
            {"role": "user", "content": question},
            {"role": "assistant", "content": "A" if first else "B"},
        ]
        return [{"messages": messages, "audios": paths, "margin": pair.preference.margin}]

    def read(self, rows: list[Columns]) -> Foreign:
        row = rows[0]
        asked, verdict = self._said(row, "user"), self._said(row, "assistant").strip()[-1:]
        head, foot = (part for part in QUESTION.split("{text}"))
        audios = row.get("audios")
        if not (asked.startswith(head) and asked.endswith(foot)):
            raise Refused("a question of another form", f"ask as here: {QUESTION!r}")
        if not isinstance(audios, list) or len(audios) != 2 or verdict not in "AB" or not verdict:
            raise Refused("not two recordings and the verdict A or B", "write both")
        chosen, rejected = audios if verdict == "A" else audios[::-1]
        text = asked.removeprefix(head).removesuffix(foot)
        margin = _number(row, "margin", 1.0)
        return Foreign(text, SaidBy(sound=chosen), SaidBy(sound=rejected), margin=margin)

    def _said(self, row: Columns, role: str) -> str:
        messages = row.get("messages")
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            raise Refused("messages is no list of objects", "write role and content of each")
        found = [m.get("content") for m in messages if m.get("role") == role]
        if len(found) != 1 or not isinstance(found[0], str):
            raise Refused(f"not one message of the {role}", "write system, user, assistant")
        return found[0]


def _one_codebook(one: Rollout) -> list[int]:
    if not one.codes or any(len(frame) != 1 for frame in one.codes):
        raise Refused("an answer has no codes of one codebook")
    return [frame[0] for frame in one.codes]


def _text(row: Columns, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise Refused(f"{name} is a {type(value).__name__}, not text", "write it as text")
    return value


def _ids(row: Columns, name: str) -> tuple[int, ...]:
    value = row.get(name)
    good = isinstance(value, list) and all(type(one) is int and 0 <= one < 2**31 for one in value)
    if not good:
        raise Refused(f"{name} is no list of token ids", "write whole numbers from 0")
    return tuple(value)  # type: ignore[arg-type]


def _number(row: Columns, name: str, default: float | None) -> float:
    value = row.get(name, default)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise Refused(f"{name} is {value!r}, not a number", "write a number")
    return float(value)


def _branch(name: Any) -> Branch:
    try:
        return Branch(name or "tts")
    except ValueError:
        told = ", ".join(Branch)
        raise Refused(f"branch {name!r} is unknown", f"write one of {told}") from None


FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        TrlText(),
        TrlTokens(),
        TrlTokens(name="trl-reward-tokens", full=True),
        Table(),
        Table(name="pairs-jsonl", container="jsonl"),
        Nemo(),
        CosyVoice(),
        GrmChat(),
    )
}
