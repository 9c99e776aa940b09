"""Preferences from the files of other programs: those that `trivox data export` wrote, and anybody's.

A row that was written here and not changed since is the records it was made of. Any other row is read from its own
columns; then who judged has to be stated, for a preference is worth nothing without.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trivox.pipelines.consent import Clock, utc_now
from trivox.pipelines.datasets.members import Members
from trivox.pipelines.exports.forms import (
    FORMS,
    HELD,
    Columns,
    Foreign,
    Form,
    Refused,
    SaidBy,
    own_hash,
)
from trivox.pipelines.exports.pairs import Pair, SetHead, records_held
from trivox.pipelines.imports.publish import add_set
from trivox.pipelines.imports.quarantine import Quarantine
from trivox.pipelines.imports.rows import Refusal, RowRefused, clean_text, inside
from trivox.pipelines.imports.tables import Table, read_table
from trivox.pipelines.imports.terms import Terms, check_speaker
from trivox.platform.audio.io import decode_audio
from trivox.platform.errors import BadImport, BrokenAudio, ConfigError
from trivox.platform.hashing import content_hash, derived_id
from trivox.platform.progress import progress
from trivox.platform.records import (
    Audio,
    FinishReason,
    JudgeKind,
    Preference,
    PreferenceSet,
    Prompt,
    PromptItem,
    Rollout,
    Sampling,
    Split,
)
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import storage_check

BATCH = 200
_IMPORTED = "imported"


@dataclass(frozen=True)
class Asked:
    """judges: who judged the rows that do not say so; language: BCP-47 of rows that name none; form: of FORMS."""

    name: str
    form: str
    language: str
    terms: Terms
    judges: JudgeKind | None = None


@dataclass
class PreferenceReport:
    """sets: what was made; taken: preferences; whole: of them, rows that are exactly what was exported."""

    sets: list[PreferenceSet] = field(default_factory=list)
    taken: int = 0
    whole: int = 0
    repeated: int = 0
    refused: list[Refusal] = field(default_factory=list)
    quarantine: Path | None = None


def import_preferences(
    ws: Workspace, source: Path, asked: Asked, *, size: int = BATCH, clock: Clock = utc_now
) -> PreferenceReport:
    """Take a file or folder of preferences; the same again makes the same sets. Memory is bounded by size, but
    for the preferences themselves, which a set holds together.

    Raises ConfigError for an unknown form, BadImport when nothing could be taken, RefusedByConsent, BudgetSpent
    (storage).
    """
    if asked.form not in FORMS:
        raise ConfigError(f"format {asked.form!r}: choose from {', '.join(FORMS)}")
    report = PreferenceReport()
    quarantine = Quarantine(ws.root, asked.name)
    with Members() as members:
        taking = _Taking(ws, FORMS[asked.form], asked, source, report, quarantine, members)
        rows = read_table(source, FORMS[asked.form].container)
        check_room = storage_check(ws)
        for some in _grouped(progress(rows, f"importing {asked.name}"), taking, size):
            check_room()
            taking.take(some)
        taking.finish()
    report.quarantine = quarantine.file
    if not report.taken and not report.repeated:
        first = f"; the first: {report.refused[0]}" if report.refused else ""
        raise BadImport(
            f"{source}: nothing could be taken, {len(report.refused)} rows refused{first}"
        )
    return report


Labelled = tuple[str, list[Columns], str | None]
"""Where rows stand, the rows of one pair, and the split that their file is named after."""


def _grouped(
    rows: Iterator[Table | Refusal], taking: "_Taking", size: int
) -> Iterator[list[Labelled]]:
    """Rows of one pair together, size pairs at a time. A refused or missing line breaks up its own pair only: the
    other line of it is refused too."""
    per_pair, held, batch = taking.form.per_pair, list[Table | Refusal](), list[Labelled]()
    for row in rows:
        held.append(row)
        if len(held) < per_pair:
            continue
        good = [one for one in held if isinstance(one, Table)]
        taking.refuse(*(one for one in held if isinstance(one, Refusal)))
        if len(good) == per_pair:
            batch.append((good[0].label, [one.values for one in good], good[0].split))
        else:
            taking.refuse(*(_alone(one) for one in good))
        held = []
        if len(batch) == size:
            yield batch
            batch = []
    taking.refuse(*(one if isinstance(one, Refusal) else _alone(one) for one in held))
    yield batch


def _alone(one: Table) -> Refusal:
    reason = "its other line is refused or missing"
    return Refusal(one.label, reason, "mend both and import them together", one.values)


@dataclass
class _Taking:
    ws: Workspace
    form: Form
    asked: Asked
    source: Path
    report: PreferenceReport
    quarantine: Quarantine
    members: Members
    sets: dict[str, tuple[SetHead, list[Preference]]] = field(default_factory=dict)
    places: dict[str, PromptItem] = field(default_factory=dict)
    wanting: Counter[str] = field(default_factory=Counter)

    @property
    def root(self) -> Path:
        return self.source if self.source.is_dir() else self.source.parent

    def refuse(self, *refusals: Refusal) -> None:
        self.quarantine.keep(refusals)
        self.report.refused += refusals

    def take(self, batch: list[Labelled]) -> None:
        made: list[Pair] = []
        for label, rows, split in batch:
            try:
                pair = self._pair(label, rows, split)
                if pair is not None:
                    made.append(pair)
            except (Refused, RowRefused) as refused:
                for number, row in enumerate(rows):
                    name = label if not number else f"{label} +{number}"
                    self.refuse(Refusal(name, refused.reason, refused.remedy, row))
        self._store(made)

    def _pair(self, label: str, rows: list[Columns], split: str | None) -> Pair | None:
        """None for one that was there before in this import."""
        missing = [
            name for name in self.form.required if any(row.get(name) is None for row in rows)
        ]
        if missing and missing != ["rejected_audio"] and not missing[0].endswith("_audio"):
            raise Refused(
                f"no {missing[0]}", f"{self.form.name} has {', '.join(self.form.required)}"
            )
        whole = self._whole(rows)
        pair = whole or self._foreign(label, self.form.read(rows), split)
        key, digest = (
            pair.preference.id,
            content_hash([pair.preference.chosen, pair.preference.rejected]),
        )
        earlier = self.members.known("preference", [key]).get(key)
        if earlier == digest:
            self.report.repeated += 1
            return None
        if earlier is not None:
            raise Refused(f"id {key!r} is that of an earlier row", "give it an id of its own")
        self.members.add("preference", [(key, digest)])
        self.report.whole += whole is not None
        return pair

    def _whole(self, rows: list[Columns]) -> Pair | None:
        """The records of rows that were written here and are as they were."""
        held = rows[0].get(HELD)
        if not isinstance(held, str):
            return None
        try:
            told = json.loads(held)
            if told["hash"] != content_hash([own_hash(row) for row in rows]):
                return None
            pair = records_held(told["records"])
        except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
            return None
        self._check(pair)
        for one in pair.speakers:
            check_speaker(self.ws, replace(one, project=self.ws.project))
        self._adopt(pair, rows)
        return pair

    def _check(self, pair: Pair) -> None:
        """A prompt's id is that of its content: nobody hands in another under its name."""
        from dataclasses import asdict

        one, preference = pair.prompt, pair.preference
        if one.id != derived_id("pr", asdict(replace(one, id=""))):
            raise Refused(f"prompt {one.id} is not what its id says", "export it again")
        named = (preference.prompt, preference.chosen, preference.rejected)
        if named != (one.id, pair.chosen.id, pair.rejected.id):
            raise Refused("the preference is between other answers", "export it again")

    def _adopt(self, pair: Pair, rows: list[Columns]) -> None:
        """The recordings come from the export's own folder, by their ids."""
        for one in pair.audio:
            if not one.id.isalnum():
                raise Refused(f"{one.id!r} is no id of a recording", "export it again")
            path = inside(self.root, f"audio/{one.id[:2]}/{one.id}.flac")
            content = path.read_bytes() if path.is_file() else _in_rows(rows, one.id)
            if content is None:
                if not self.ws.records.find(Audio, id=one.id):
                    raise Refused(f"recording {path.name} is missing", "copy the folder again")
                continue
            from trivox.platform.errors import CorruptObject

            try:
                self.ws.audio.adopt(one.id, content)
            except CorruptObject as error:
                raise Refused(str(error), "copy the recording again") from None

    def _foreign(self, label: str, told: Foreign, split: str | None) -> Pair:
        if self.asked.judges is None:
            raise Refused("who judged is not said", "state --judges human, grm or simulated")
        language = told.language or self.asked.language
        voice = self._sound(told.voice, label, told.speaker) if told.voice else None
        prompt = Prompt.of(
            told.branch,
            (language,),
            text=clean_text(told.text) if told.text.strip() else None,
            voice_audio=voice.id if voice else None,
        )
        sides, sounds = [], [voice] if voice else []
        for index, one in enumerate((told.chosen, told.rejected)):
            sound = self._sound(one.sound, label, told.speaker) if one.sound else None
            sounds += [sound] if sound else []
            sides.append(self._rollout(prompt, one, sound, index))
        chosen, rejected = sides
        if chosen.id == rejected.id:
            raise Refused("chosen and rejected are the same", "leave it out")
        preference = Preference(
            id=derived_id("pf", prompt.id, chosen.id, rejected.id),
            prompt=prompt.id,
            chosen=chosen.id,
            rejected=rejected.id,
            margin=told.margin,
            confidence=1.0,
            judgements=(),
            judges=(self.asked.judges,),
        )
        head = SetHead("", None, f"imported@1 {self.form.name} {self.asked.name}")
        place = self._place(prompt, told, split, label)
        return Pair(head, preference, prompt, chosen, rejected, place, tuple(sounds), ())

    def _place(self, prompt: Prompt, told: Foreign, split: str | None, label: str) -> PromptItem:
        """Prompts of equal words are one group, and in one split: that of the first."""
        words = "".join(c for c in told.text.casefold() if c.isalnum()) or prompt.id
        named = told.extra.get("split") or split
        chosen = Split(named) if named in set(Split) else Split.TRAIN
        group = told.group or derived_id("gr", words)
        return PromptItem(
            prompt.id, chosen, group, self.asked.terms.licence, f"{self.asked.name}:{label}"
        )

    def _rollout(self, prompt: Prompt, one: SaidBy, sound: Audio | None, index: int) -> Rollout:
        if not (one.text or one.tokens or one.codes or sound):
            raise Refused("an answer has no words, tokens or recording", "give one of them")
        content = [one.text, one.tokens, one.codes, sound.id if sound else None]
        return Rollout(
            id=derived_id("ro", "imported", prompt.id, *content),
            project=self.ws.project,
            round=None,
            branch=prompt.branch,
            prompt=prompt.id,
            producer=f"external:{self.asked.name}",
            seed=0,
            index=index,
            sampling=Sampling(),
            engine="external",
            dtype="none",
            tokens=one.tokens,
            segments=(),
            logprobs=(),
            finish_reason=FinishReason.END,
            text=one.text,
            audio=sound.id if sound else None,
            codes=one.codes,
            codes_layout="flat" if one.codes else None,
        )

    def _sound(self, held: Any, label: str, speaker: str | None) -> Audio:
        """A recording by path below the source's folder, or as bytes."""
        given = held if isinstance(held, dict) else {"bytes": None, "path": held}
        content, name = given.get("bytes"), str(given.get("path") or label)
        if not isinstance(content, bytes):
            path = inside(self.root, name)
            if not path.is_file():
                raise Refused(f"recording {name!r}: no such file", "copy it into the folder")
            content = path.read_bytes()
        try:
            samples, rate = decode_audio(content, name)
        except BrokenAudio as error:
            raise Refused(str(error), "record or copy it again") from None
        voice = self.asked.terms.speaker_record(self.ws.project, self.asked.name, speaker)
        check_speaker(self.ws, voice)
        self.ws.records.add(voice)
        made = self.ws.audio.put(
            samples,
            rate,
            project=self.ws.project,
            source=f"{self.asked.name}:{label}",
            speaker=voice.id,
            licence=self.asked.terms.licence,
        )
        return made

    def _store(self, pairs: Sequence[Pair]) -> None:
        home = self.ws.project
        records: list[Any] = []
        for pair in pairs:
            records += [replace(voice, project=home) for voice in pair.speakers]
            records += [replace(sound, project=home) for sound in pair.audio]
            records.append(pair.prompt)
            _, found = self.sets.setdefault(f"{pair.head.id}{pair.head.method}", (pair.head, []))
            found.append(pair.preference)
            if pair.place is not None:
                self.places.setdefault(pair.place.prompt, pair.place)
        unique = {(type(one), one.id): one for one in records}
        self.ws.records.add(*unique.values()) if unique else None
        self._rollouts([replace(r, project=home) for p in pairs for r in (p.chosen, p.rejected)])
        self.report.taken += len(pairs)

    def _rollouts(self, found: list[Rollout]) -> None:
        """Those that are not stored, by branch and round."""
        if not self.members.count("asked"):
            for ids in self.ws.tables.ids(Rollout, 5000):
                self.members.add("stored", [(id, "") for id in ids])
            self.members.add("asked", [("asked", "")])
        known = self.members.known("stored", [one.id for one in found])
        groups: dict[tuple[Any, str], dict[str, Rollout]] = {}
        for one in found:
            if one.id not in known:
                groups.setdefault((one.branch, one.round or _IMPORTED), {})[one.id] = one
        for (branch, round_), some in groups.items():
            part = derived_id("pairs", *sorted(some))
            self.ws.tables.write(list(some.values()), branch=branch, round=round_, part=part)
            self.members.add("stored", [(id, "") for id in some])

    def finish(self) -> None:
        """The preference sets, and the prompts' places as a version of a prompt set."""
        for head, found in self.sets.values():
            ordered = sorted(found, key=lambda one: (one.prompt, one.id))
            known = self.ws.records.find(PreferenceSet, id=head.id) if head.id else []
            same = bool(known) and {p.id for p in known[0].preferences} == {p.id for p in ordered}
            whole = derived_id("ps", self.ws.project, head.method, [one.id for one in ordered])
            made = PreferenceSet(
                known[0].id if same else (head.id if head.id and not known else whole),
                self.ws.project,
                head.round,
                head.method,
                tuple(ordered) if not same else known[0].preferences,
                head.dropped,
            )
            self.ws.records.add(made)
            self.report.sets.append(made)
        if self.places:
            add_set(self.ws, self.asked.name, _one_split_each(list(self.places.values())))


def _one_split_each(items: list[PromptItem]) -> list[PromptItem]:
    """Every group in the split of its first item."""
    first: dict[str, Split] = {}
    return [replace(one, split=first.setdefault(one.group, one.split)) for one in items]


def _in_rows(rows: list[Columns], id: str) -> bytes | None:
    """The bytes of a recording that the rows hold themselves."""
    for row in rows:
        for value in row.values():
            held = value if isinstance(value, dict) else {}
            path, content = str(held.get("path") or ""), held.get("bytes")
            if isinstance(content, bytes) and Path(path).stem == id:
                return content
    return None
