"""Scores kept by content: the same clip asked of the same scorer is not listened to again.

The key covers who scores (name, version, weights) and all that an item holds but its ids, so a rollout that
sounds and reads the same has the same value. Failures are not kept: they are tried again.
"""

import hashlib
import json
import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trivox.platform.hashing import content_hash
from trivox.platform.records import Persona
from trivox.platform.scoring import Clip, Item, Scorer, ScorerInfo, Value

_FOLDER, _FILE = "cache", "scores.sqlite"
_WAIT_S = 10.0
_AT_ONCE = 500
_log = logging.getLogger(__name__)


class ScoreCache(Protocol):
    """Values by key."""

    def get(self, keys: Sequence[str]) -> dict[str, Value]: ...

    def put(self, values: dict[str, Value]) -> None: ...


class ScoreFile:
    """A SQLite file that several processes of one machine may share.

    It only saves work: where it cannot be read or written, scoring goes on without and says so in the log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of(cls, workspace: Path) -> "ScoreFile":
        """The cache of a workspace."""
        return cls(workspace / _FOLDER / _FILE)

    def get(self, keys: Sequence[str]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for begin in range(0, len(keys), _AT_ONCE):
            some = keys[begin : begin + _AT_ONCE]
            marks = ",".join("?" * len(some))
            # The marks are question marks alone; the keys go in as parameters.
            query = f"SELECT key, value, uncertainty, evidence FROM score WHERE key IN ({marks})"
            rows = self._try(lambda file, q=query, k=some: file.execute(q, k).fetchall())
            found |= {key: Value(rest[0], rest[1], evidence=rest[2]) for key, *rest in rows or []}
        return found

    def put(self, values: dict[str, Value]) -> None:
        rows = [(key, one.value, one.uncertainty, one.evidence) for key, one in values.items()]
        self._try(
            lambda file: file.executemany("INSERT OR IGNORE INTO score VALUES (?, ?, ?, ?)", rows)
        )

    def _try(self, work: Callable[..., Any]) -> Any:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as file, file:
                file.execute("PRAGMA journal_mode=WAL")
                file.execute(
                    "CREATE TABLE IF NOT EXISTS score"
                    " (key TEXT PRIMARY KEY, value REAL NOT NULL, uncertainty REAL, evidence TEXT)"
                )
                return work(file)
        except (sqlite3.Error, OSError) as error:
            _log.warning("%s: scores are not kept (%s)", self._path, error)
            return None


class CachedScorer:
    """A scorer that asks the cache first. Values, uncertainty and evidence are what the scorer gave."""

    def __init__(self, scorer: Scorer, cache: ScoreCache) -> None:
        self._scorer, self._cache = scorer, cache

    @property
    def info(self) -> ScorerInfo:
        return self._scorer.info

    def score(self, items: Sequence[Item]) -> list[Value]:
        keys = [score_key(self.info, item) for item in items]
        known = self._cache.get(keys)
        missing = [at for at, key in enumerate(keys) if key not in known]
        if not missing:
            return [known[key] for key in keys]
        # Like items are scored each: a failure's words name the rollout.
        found = dict(zip(missing, self._scorer.score([items[at] for at in missing]), strict=True))
        self._cache.put({keys[at]: one for at, one in found.items() if one.failure is None})
        return [found[at] if at in found else known[key] for at, key in enumerate(keys)]


def score_key(info: ScorerInfo, item: Item) -> str:
    """sha256 over the scorer's identity and the item's content; rollout and prompt ids do not count."""
    who = [info.name, info.version, info.weights_hash, info.component]
    return content_hash([who, item_content(item)])


def item_content(item: Item) -> dict[str, Any]:
    """What an item holds, sound by hash, as JSON knows it."""
    own = Clip(item.samples, item.rate or 0) if item.samples is not None else None
    return {
        "audio": _sound(own),
        "text": item.text,
        "language": item.language,
        "finish_reason": item.finish_reason,
        "hypothesis": item.hypothesis,
        "scope": item.scope,
        "reference": _sound(item.reference),
        "reference_text": item.reference_text,
        "voice": _sound(item.voice),
        "baseline": asdict(item.baseline) if item.baseline else None,
        "instruction": item.instruction,
        "directives": item.directives,
        "history": [asdict(turn) for turn in item.history],
        "turns": [asdict(turn) for turn in item.turns],
        "persona": _character(item.persona),
        "rubric": asdict(item.rubric) if item.rubric else None,
    }


def _character(persona: Persona | None) -> list[Any] | None:
    return None if persona is None else [persona.description, persona.traits]


def _sound(clip: Clip | None) -> str | None:
    if clip is None:
        return None
    head = json.dumps([clip.rate, clip.samples.shape, str(clip.samples.dtype)])
    return hashlib.sha256(head.encode() + np.ascontiguousarray(clip.samples).tobytes()).hexdigest()
