"""How rollouts, scores and samples of policies lie in Parquet. A change here raises SCHEMA_VERSION."""

from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from trivox.platform.records import PolicySample, Rollout, Score

_SEGMENT = pa.struct(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("in_loss", pa.bool_(), nullable=False),
    ]
)
_TURN = pa.struct(
    [
        pa.field("role", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("audio", pa.string()),
        pa.field("channel", pa.int32(), nullable=False),
        pa.field("start_ms", pa.int64()),
        pa.field("end_ms", pa.int64()),
        pa.field("interrupted_by", pa.int32()),
    ]
)
_SAMPLING = pa.struct(
    [
        pa.field("temperature", pa.float64(), nullable=False),
        pa.field("top_k", pa.int32(), nullable=False),
        pa.field("top_p", pa.float64(), nullable=False),
        pa.field("max_tokens", pa.int32(), nullable=False),
    ]
)
_DECODING = pa.struct(
    [
        pa.field("forward_passes", pa.int64(), nullable=False),
        pa.field("proposed", pa.list_(pa.int64()), nullable=False),
        pa.field("accepted", pa.list_(pa.int64()), nullable=False),
        pa.field("rescored", pa.int64(), nullable=False),
    ]
)
_TIMING = pa.struct(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
    ]
)
_COMPONENT = pa.struct(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
_FAILURE = pa.struct(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
    ]
)

ROLLOUT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("project", pa.string(), nullable=False),
        pa.field("round", pa.string()),
        pa.field("branch", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("producer", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("index", pa.int64(), nullable=False),
        pa.field("sampling", _SAMPLING, nullable=False),
        pa.field("engine", pa.string(), nullable=False),
        pa.field("dtype", pa.string(), nullable=False),
        pa.field("tokens", pa.list_(pa.int32()), nullable=False),
        pa.field("segments", pa.list_(_SEGMENT), nullable=False),
        pa.field("logprobs", pa.list_(pa.float64()), nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("audio", pa.string()),
        pa.field("codes", pa.list_(pa.list_(pa.int32())), nullable=False),
        pa.field("codes_layout", pa.string()),
        pa.field("turns", pa.list_(_TURN), nullable=False),
        pa.field("logprobs_recomputed", pa.list_(pa.float64()), nullable=False),
        pa.field("decoding", _DECODING),
        pa.field("timings", pa.list_(_TIMING), nullable=False),
        pa.field("codec_hash", pa.string()),
        pa.field("tokenizer_hash", pa.string()),
        pa.field("template_hash", pa.string()),
    ]
)

SCORE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("project", pa.string(), nullable=False),
        pa.field("round", pa.string()),
        pa.field("rollout", pa.string(), nullable=False),
        pa.field("scope", pa.string(), nullable=False),
        pa.field("component", pa.string(), nullable=False),
        pa.field("scorer", pa.string(), nullable=False),
        pa.field("scorer_version", pa.string(), nullable=False),
        pa.field("weights_hash", pa.string(), nullable=False),
        pa.field("family", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("direction", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("uncertainty", pa.float64()),
        pa.field("failure", _FAILURE),
        pa.field("evidence", pa.string()),
    ]
)

POLICY_SAMPLE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("project", pa.string(), nullable=False),
        pa.field("round", pa.string(), nullable=False),
        pa.field("branch", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("step", pa.int64(), nullable=False),
        pa.field("index", pa.int64(), nullable=False),
        pa.field("staleness", pa.int32(), nullable=False),
        pa.field("tokens", pa.list_(pa.list_(pa.int32())), nullable=False),
        pa.field("logprobs", pa.list_(pa.list_(pa.float64())), nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),
        pa.field("rewards", pa.list_(pa.float64()), nullable=False),
        pa.field("components", pa.list_(_COMPONENT), nullable=False),
        pa.field("failure", _FAILURE),
    ]
)

SCHEMAS: dict[type[Any], pa.Schema] = {
    Rollout: ROLLOUT,
    Score: SCORE,
    PolicySample: POLICY_SAMPLE,
}
NAMED = {"timings": "seconds", "components": "value"}
"""Fields that are dicts, and what the values of their names are called in a file."""
ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in SCHEMAS}


def to_arrow(records: list[Any], schema_version: int) -> pa.Table:
    """Records of one kind as a table whose metadata names kind and schema version."""
    kind = type(records[0])
    rows = [ADAPTERS[kind].dump_python(record) for record in records]
    for row in rows:
        for field, value in NAMED.items():
            if field in row:
                row[field] = [{"name": k, value: v} for k, v in row[field].items()]
    about = {"schema_version": str(schema_version), "kind": kind.__name__}
    return pa.Table.from_pylist(rows, schema=SCHEMAS[kind].with_metadata(about))


def from_row(kind: type[Any], row: dict[str, Any]) -> Any:
    """A record of a row; what an older file does not have takes its default."""
    for field, value in NAMED.items():
        if field in row:
            row = row | {field: {item["name"]: item[value] for item in row[field]}}
    return ADAPTERS[kind].validate_python(row)
