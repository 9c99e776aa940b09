"""Preferences into the files that other programs train on."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from trivox.pipelines.consent import Clock, UseOf, refusals, terms_of, utc_now
from trivox.pipelines.datasets.filters import Filters
from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.registry import register_export
from trivox.pipelines.datasets.selection import Selection
from trivox.pipelines.exports.forms import FORMS, Columns, Form, Kit, Refused, with_records
from trivox.pipelines.exports.pairs import Pair, pairs_of, prompts_of
from trivox.pipelines.exports.schemas import SCHEMAS
from trivox.pipelines.exports.speechjudge import judged_rows
from trivox.pipelines.exports.verl import verl_row
from trivox.platform.errors import ConfigError, NotFound, UsageError
from trivox.platform.hashing import sha256_file
from trivox.platform.records import Consent, Prompt
from trivox.platform.store import Workspace
from trivox.platform.store.files import write_atomically

MANIFEST = "export.json"
BATCH = 500
"""Pairs in memory at once: some forms hold their recordings in the rows."""
NAMES = (*FORMS, "verl", "speechjudge")
PromptTokens = Callable[[Prompt], "list[int] | str"]


@dataclass
class Exported:
    """rows: by split; files: name -> sha256; expires_at: when the first consent among the recordings ends."""

    form: str
    rows: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    files: dict[str, str] = field(default_factory=dict)
    expires_at: datetime | None = None


def export_preferences(
    ws: Workspace,
    out: Path,
    form: str,
    filters: Filters | None = None,
    *,
    wanted: UseOf | None = None,
    prompt_tokens: PromptTokens | None = None,
    size: int = BATCH,
    clock: Clock = utc_now,
) -> Exported:
    """One file (or data set) a split, in the empty folder out; memory is bounded by size.

    Pairs that a form has no row for are counted by reason. Raises ConfigError for an unknown form, UsageError
    for a folder that holds something, NotFound where nothing was left to write, DiskFull.
    """
    if form not in NAMES:
        raise ConfigError(f"format {form!r}: choose from {', '.join(NAMES)}")
    if out.exists() and any(out.iterdir()):
        raise UsageError(
            f"{out} holds {sorted(out.iterdir())[0].name!r} already: name an empty folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    wanted = wanted or UseOf(Consent.TRAIN)
    made = Exported(form)
    with Members() as members:
        refuse: Callable[[Any], dict[str, str]] = lambda ids: refusals(ws, ids, wanted, clock)  # noqa: E731
        selection = Selection(ws, filters or Filters(), members, size, refuse)
        desk = _Desk(ws, out, made)
        kit = Kit(desk.path, desk.sound, prompt_tokens)
        with Splits(out, form) as files:
            for split, rows in _rows(selection, form, kit, made):
                files.write(split, rows)
                made.rows[split] += len(rows)
        made.files = files.hashes()
        made.left_out.update({why: n for why, n in selection.left_out.items() if n})
    if not made.rows:
        why = "; ".join(f"{count} left out: {reason}" for reason, count in made.left_out.items())
        raise NotFound(
            f"{ws.root}: nothing to export as {form} ({why or 'no preference is stored'})"
        )
    moment = clock().isoformat()
    register_export(ws, out, form, moment, selection.voices, selection.judges)
    _manifest(out, made, wanted)
    return made


def _rows(
    selection: Selection, name: str, kit: Kit, made: Exported
) -> Iterator[tuple[str, list[Columns]]]:
    """(split, rows of one pair or prompt)."""
    if name == "verl":
        for number, (prompt, place) in enumerate(
            one for some in prompts_of(selection) for one in some
        ):
            yield verl_row(number, prompt, place)
    elif name == "speechjudge":
        yield from judged_rows(selection, kit, made.left_out)
    else:
        yield from _of_pairs(pairs_of(selection), FORMS[name], kit, made)


def _of_pairs(
    batches: Iterator[list[Pair]], form: Form, kit: Kit, made: Exported
) -> Iterator[tuple[str, list[Columns]]]:
    for pairs in batches:
        for pair in pairs:
            try:
                rows = with_records(form.rows(pair, kit), pair)
                for one in pair.audio:  # the records name them, whatever the form's columns hold
                    kit.path(one.id)
                yield pair.split.value, rows
            except Refused as refused:
                made.left_out[refused.reason] += 1


class _Desk:
    """Recordings of an export: copied once, their terms noted."""

    def __init__(self, ws: Workspace, out: Path, made: Exported) -> None:
        self._ws, self._out, self._made = ws, out, made

    def path(self, id: str) -> str:
        name = f"audio/{id[:2]}/{id}.flac"
        target = self._out / name
        if not target.is_file():
            write_atomically(target, self.sound(id))
        return name

    def sound(self, id: str) -> bytes:
        terms = terms_of(self._ws, [id])[id]
        if terms.expires_at is not None:
            self._made.expires_at = min(self._made.expires_at or terms.expires_at, terms.expires_at)
        return self._ws.audio.path(id).read_bytes()


class Splits:
    """A file for each split, written a group of rows at a time."""

    def __init__(self, out: Path, form: str) -> None:
        self._out, self._form = out, form
        self._container = FORMS[form].container if form in FORMS else "parquet"
        self._files: dict[str, Any] = {}
        self._held: dict[str, list[Columns]] = {}
        self._parts: dict[str, Path] = {}

    def write(self, split: str, rows: list[Columns]) -> None:
        held = self._held.setdefault(split, [])
        held += rows
        if len(held) >= BATCH:
            self._flush(split)

    def _flush(self, split: str) -> None:
        import pyarrow as pa

        rows, self._held[split] = self._held[split], []
        if not rows:
            return
        file = self._files.get(split) or self._begin(split)
        if self._container == "jsonl":
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            file.write_table(pa.Table.from_pylist(rows, schema=SCHEMAS[self._form]))

    def _begin(self, split: str) -> Any:
        from pyarrow import ipc, parquet

        suffix = {"jsonl": "jsonl", "parquet": "parquet", "hf": "arrow"}[self._container]
        folder = self._out / split if self._container == "hf" else self._out
        folder.mkdir(exist_ok=True)
        path = folder / (
            f"data-00000-of-00001.{suffix}" if self._container == "hf" else f"{split}.{suffix}"
        )
        self._parts[split] = path
        if self._container == "jsonl":
            self._files[split] = path.open("w", encoding="utf-8")
        elif self._container == "parquet":
            schema = _with_features(SCHEMAS[self._form])
            self._files[split] = parquet.ParquetWriter(path, schema, compression="zstd")
        else:
            self._files[split] = ipc.new_stream(str(path), SCHEMAS[self._form])
        return self._files[split]

    def __enter__(self) -> "Splits":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for split in list(self._held):
            if error is None:
                self._flush(split)
        for split, file in self._files.items():
            file.close()
            if self._container == "hf" and error is None:
                _dataset_files(self._out / split, SCHEMAS[self._form], self._parts[split].name)
        if self._container == "hf" and self._files and error is None:
            splits = json.dumps({"splits": sorted(self._files)})
            write_atomically(self._out / "dataset_dict.json", splits.encode())

    def hashes(self) -> dict[str, str]:
        return {str(one.relative_to(self._out)): sha256_file(one) for one in self._parts.values()}


def _with_features(schema: Any) -> Any:
    """So that `datasets` knows which columns are recordings."""
    return schema.with_metadata(
        {"huggingface": json.dumps({"info": {"features": _features(schema)}})}
    )


def _dataset_files(folder: Path, schema: Any, data: str) -> None:
    """What `datasets.load_from_disk` looks for beside the Arrow file."""
    info = {
        "features": _features(schema),
        "citation": "",
        "description": "",
        "homepage": "",
        "license": "",
    }
    state: dict[str, Any] = {
        "_data_files": [{"filename": data}],
        "_fingerprint": sha256_file(folder / data)[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    write_atomically(folder / "dataset_info.json", json.dumps(info).encode())
    write_atomically(folder / "state.json", json.dumps(state).encode())


def _features(schema: Any) -> dict[str, Any]:
    from datasets import Audio as AudioFeature
    from datasets import Features

    made = Features.from_arrow_schema(schema.remove_metadata())
    for field_ in schema:
        if str(field_.type).startswith("struct<bytes: binary"):
            made[field_.name] = AudioFeature()
    return dict(made.to_dict())


def _manifest(out: Path, made: Exported, wanted: UseOf) -> None:
    told = {
        "format": made.form,
        "rows": dict(made.rows),
        "left_out": dict(made.left_out),
        "files": made.files,
        "use": wanted.use.value,
        "commercial": wanted.commercial,
        "expires_at": made.expires_at.isoformat() if made.expires_at else None,
    }
    write_atomically(out / MANIFEST, json.dumps(told, indent=2, ensure_ascii=False).encode())
