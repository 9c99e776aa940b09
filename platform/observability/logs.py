"""Structured logs: one JSON object a line, with the ids of the round and stage that the work belongs to.

Modules log as ever, `logging.getLogger("trivox.…")`. What is being worked on is bound with
`bound(round=…, stage=…)` and stands in every line of that thread or task. Commands that run for long write them
inside `written(form)`; what is otherwise said to people (`platform.progress.say`) is then a line of the log too.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO

_BOUND: ContextVar[dict[str, str]] = ContextVar("trivox_bound", default={})  # noqa: B039  # never changed in place
_SECRET = re.compile(r"(?P<scheme>[a-z0-9+.-]+://)[^\s/@]*@", re.IGNORECASE)
_KEYS = re.compile(
    r"(?P<name>(?:secret|password|passwd|token|api[-_]?key|authorization)\w*[\"']?\s*[=:]\s*[\"']?)(?:bearer\s+)?[^\s\"',;&]+",
    re.IGNORECASE,
)


_OTHERS = ("uvicorn",)
"""Loggers of libraries whose lines belong into the log of a server."""


class LogForm(StrEnum):
    """auto: JSON lines, but plain progress where stderr is a terminal."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


@contextmanager
def written(form: LogForm = LogForm.AUTO) -> Iterator[None]:
    """The logs made inside go to stderr as JSON lines; where text is wanted, nothing is changed."""
    plain = form is LogForm.TEXT or (form is LogForm.AUTO and sys.stderr.isatty())
    if plain:
        yield
        return
    before = logging.getLogger("trivox").level
    handler = to_stream()
    for name in _OTHERS:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in ("trivox", *_OTHERS):
            logging.getLogger(name).removeHandler(handler)
        logging.getLogger("trivox").setLevel(before)


def to_stderr() -> bool:
    """Whether stderr holds JSON lines now, and therefore nothing else should be written there."""
    handlers = logging.getLogger("trivox").handlers
    return any(
        isinstance(one, logging.StreamHandler)
        and isinstance(one.formatter, JsonLines)
        and one.stream is sys.stderr
        for one in handlers
    )


@contextmanager
def bound(**ids: str) -> Iterator[None]:
    """Every line logged inside, by this thread or task, has these fields."""
    token = _BOUND.set(_BOUND.get() | ids)
    try:
        yield
    finally:
        _BOUND.reset(token)


def to_stream(stream: TextIO | None = None, level: int = logging.INFO) -> logging.Handler:
    """Send the logs of Trivox to stream (stderr) as JSON lines; returns the handler, to be removed again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    log = logging.getLogger("trivox")
    log.addHandler(handler)
    log.setLevel(level)
    return handler


class JsonLines(logging.Formatter):
    """at (UTC), level, logger, message, what is bound, and the error with its cause; secrets are taken out."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        } | _BOUND.get()
        if record.exc_info:
            told["error"] = redacted(self.formatException(record.exc_info))
        return json.dumps(told, ensure_ascii=False, default=str)


def redacted(text: str) -> str:
    """text without the passwords of URLs and the values of what is named as a secret."""
    return _KEYS.sub(r"\g<name>[redacted]", _SECRET.sub(r"\g<scheme>[redacted]@", text))
