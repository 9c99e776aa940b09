"""Column types of the forms that are kept in Parquet or as Hugging Face datasets."""

import pyarrow as pa

_SOUND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_IDS = pa.list_(pa.int32())
_TEXT, _REAL = pa.string(), pa.float64()
_HELD = ("trivox", _TEXT)

SCHEMAS: dict[str, pa.Schema] = {
    "trl": pa.schema(
        [("prompt", _TEXT), ("chosen", _TEXT), ("rejected", _TEXT), ("margin", _REAL), _HELD]
    ),
    "trl-dpo-tokens": pa.schema(
        [
            ("prompt_ids", _IDS),
            ("chosen_ids", _IDS),
            ("rejected_ids", _IDS),
            ("margin", _REAL),
            _HELD,
        ]
    ),
    "pairs": pa.schema(
        [(name, _TEXT) for name in "id branch language prompt split group licence".split()]
        + [("margin", _REAL), ("confidence", _REAL), ("judges", pa.list_(_TEXT))]
        + [
            (f"{side}_{name}", kind)
            for side in ("chosen", "rejected")
            for name, kind in (("text", _TEXT), ("tokens", _IDS), ("audio", _SOUND))
        ]
        + [_HELD]
    ),
    "cosyvoice": pa.schema(
        [
            ("utt", _TEXT),
            ("wav", _TEXT),
            ("audio_data", pa.binary()),
            ("text", _TEXT),
            ("spk", _TEXT),
        ]
        + [(name, pa.list_(pa.float32())) for name in ("utt_embedding", "spk_embedding")]
        + [("speech_token", _IDS), ("reject_speech_token", _IDS), _HELD]
    ),
    "verl": pa.schema(
        [
            ("data_source", _TEXT),
            ("prompt", pa.list_(pa.struct([("role", _TEXT), ("content", _TEXT)]))),
            ("ability", _TEXT),
            ("reward_model", pa.struct([("style", _TEXT), ("ground_truth", _TEXT)])),
            (
                "extra_info",
                pa.struct(
                    [("split", _TEXT), ("index", pa.int64()), ("group", _TEXT), ("trivox", _TEXT)]
                ),
            ),
        ]
    ),
    "speechjudge": pa.schema(
        [("index", _TEXT), ("subset", _TEXT), ("language_setting", _TEXT), ("target_text", _TEXT)]
        + [("audioA", _SOUND), ("audioB", _SOUND), ("rater", pa.list_(_TEXT))]
        + [("naturalness_annotation", pa.list_(_TEXT)), ("naturalness_label", _TEXT), _HELD]
    ),
}
SCHEMAS["trl-reward-tokens"] = SCHEMAS["trl-dpo-tokens"]
