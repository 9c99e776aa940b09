"""Prompts as verl's data sets have them: data_source, prompt, ability, reward_model, extra_info."""

import json
from typing import Any

from trivox.pipelines.exports.columns import to_line
from trivox.pipelines.exports.forms import Columns, own_hash
from trivox.platform.hashing import content_hash
from trivox.platform.records import Prompt, PromptItem, Split

SOURCE = "trivox"


def verl_row(number: int, prompt: Prompt, place: PromptItem | None) -> tuple[str, list[Columns]]:
    """(split, the row). ground_truth: the reference answer, for speech the text itself."""
    split = (place.split if place else Split.TRAIN).value
    truth = prompt.reference_text or prompt.text or ""
    row: Columns = {
        "data_source": SOURCE,
        "prompt": messages_of(prompt),
        "ability": prompt.branch.value,
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": {"split": split, "index": number, "group": place.group if place else None},
    }
    held = {"prompt": json.loads(to_line(prompt)), "place": _place(place)}
    told = {"hash": verl_hash(row), "records": held}
    row["extra_info"]["trivox"] = json.dumps(told, ensure_ascii=False)
    return split, [row]


def verl_hash(row: Columns) -> str:
    """Of a row without what Trivox adds to it."""
    info = {k: v for k, v in (row.get("extra_info") or {}).items() if k != "trivox"}
    return content_hash(own_hash(row | {"extra_info": info}))


def messages_of(prompt: Prompt) -> list[dict[str, str]]:
    """System message of the instruction, then what was said; audio has no place in verl's text columns."""
    made = [{"role": "system", "content": prompt.instruction}] if prompt.instruction else []
    if prompt.turns:
        said = [{"role": turn.role, "content": turn.text or ""} for turn in prompt.turns]
        return [*made, *said]
    return [*made, {"role": "user", "content": prompt.text or ""}]


def _place(place: PromptItem | None) -> Any:
    return json.loads(to_line(place)) if place else None
