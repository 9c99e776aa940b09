"""`trivox data export` as a function."""

from pathlib import Path
from typing import Any, cast

from trivox.pipelines.consent import UseOf
from trivox.pipelines.datasets.filters import Filters
from trivox.pipelines.exports.bundle import Form, export_bundle
from trivox.pipelines.exports.preferences import NAMES, PromptTokens, export_preferences
from trivox.platform.errors import ConfigError
from trivox.platform.store import Workspace

BUNDLES = ("parquet", "jsonl")


def export_dataset(
    ws: Workspace,
    out: Path,
    form: str,
    name: str,
    filters: Filters,
    wanted: UseOf,
    *,
    with_audio: bool = True,
    prompt_tokens: PromptTokens | None = None,
) -> dict[str, Any]:
    """What was written: format, hash, rows by part, left_out by reason, expires_at. Raises ConfigError for an
    unknown form, and what the exporters raise."""
    if form in NAMES:
        told = export_preferences(
            ws, out, form, filters, wanted=wanted, prompt_tokens=prompt_tokens
        )
        return {
            "format": form,
            "rows": dict(told.rows),
            "left_out": dict(told.left_out),
            "expires_at": told.expires_at,
            "files": told.files,
        }
    if form not in BUNDLES:
        raise ConfigError(f"format {form!r}: choose from {', '.join((*BUNDLES, *NAMES))}")
    made = export_bundle(
        ws, out, name, filters, form=cast(Form, form), wanted=wanted, with_audio=with_audio
    )
    return {
        "format": form,
        "hash": made.hash,
        "rows": {part: one.count for part, one in made.parts.items()},
        "left_out": made.left_out,
        "expires_at": made.expires_at,
    }
