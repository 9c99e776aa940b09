"""Preferences go out in the forms of other programs and come back; what is damaged is refused row by row."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.pipelines.exports.forms import FORMS, HELD, Foreign, Kit, Refused, SaidBy, own_hash
from trivox.pipelines.exports.pairs import Pair, SetHead
from trivox.pipelines.exports.preferences import NAMES, export_preferences
from trivox.pipelines.exports.said import read_said
from trivox.pipelines.imports.preferences import Asked, PreferenceReport, import_preferences
from trivox.pipelines.imports.tables import read_table
from trivox.pipelines.imports.terms import Terms
from trivox.platform.errors import BadImport, ConfigError, NotFound
from trivox.platform.records import (
    Branch,
    FinishReason,
    JudgeKind,
    Preference,
    PreferenceSet,
    Prompt,
    Rollout,
    Sampling,
    Speaker,
)
from trivox.platform.store import Workspace

Filled = Callable[..., Workspace]


def tokens_of(prompt: Prompt) -> list[int]:
    return [7, *(ord(c) % 97 for c in (prompt.text or "")[:5])]


def take(ws: Workspace, source: Path, form: str, **options: Any) -> PreferenceReport:
    asked = Asked("back", form, "en-US", Terms(licence="CC0-1.0"), **options)
    return import_preferences(ws, source, asked, size=3)


def rows_of(source: Path, form: str) -> list[dict[str, Any]]:
    return [one.values for one in read_table(source, FORMS[form].container)]  # type: ignore[union-attr]


@pytest.mark.parametrize("form", FORMS)
def test_each_form_comes_back_as_it_was(filled: Filled, tmp_path: Path, form: str) -> None:
    ws, other = filled(prompts=4), filled("other", prompts=0)
    (kept,) = ws.records.find(PreferenceSet)
    told = export_preferences(ws, tmp_path / "out", form, prompt_tokens=tokens_of, size=2)
    assert sum(told.rows.values()) == len(kept.preferences) * FORMS[form].per_pair
    report = take(other, tmp_path / "out", form)
    assert report.refused == [] and report.whole == report.taken == len(kept.preferences)
    (back,) = other.records.find(PreferenceSet)
    assert back == kept
    for pair in kept.preferences:
        assert other.records.get(Prompt, pair.prompt) == ws.records.get(Prompt, pair.prompt)
    known = {one.id: one for one in ws.tables.read(Rollout)}
    assert all(known[one.id] == one for one in other.tables.read(Rollout))
    again = export_preferences(other, tmp_path / "again", form, prompt_tokens=tokens_of)
    assert again.files.keys() == told.files.keys()
    without = lambda rows: sorted(map(own_hash, rows))  # noqa: E731
    assert without(rows_of(tmp_path / "again", form)) == without(rows_of(tmp_path / "out", form))
    assert take(other, tmp_path / "out", form).sets == [kept]  # nothing new the second time


@pytest.mark.parametrize("form", FORMS)
def test_rows_by_others_are_read_from_their_own_columns(
    filled: Filled, tmp_path: Path, form: str
) -> None:
    """Without our column the same rows say the same again: out of the import comes what went in."""
    ws, other = filled(prompts=2), filled("other", prompts=0)
    export_preferences(ws, tmp_path / "out", form, prompt_tokens=tokens_of)
    pairs = read_pairs(tmp_path / "out", form)
    for rows in pairs:
        told = FORMS[form].read(rows)
        assert told.chosen != told.rejected and 0 < told.margin <= 3
    for path in (one for one in (tmp_path / "out").glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row | {HELD: None}) + "\n" for row in lines))
    if FORMS[form].container == "jsonl":
        with pytest.raises(BadImport, match="who judged is not said"):
            take(other, tmp_path / "out", form)
        report = take(other, tmp_path / "out", form, judges=JudgeKind.GRM)
        assert report.taken == len(pairs) and report.whole == 0 and not report.refused
        (made,) = report.sets
        assert {kind for one in made.preferences for kind in one.judges} == {JudgeKind.GRM}
        assert take(other, tmp_path / "out", form, judges=JudgeKind.GRM).sets == [made]
        assert other.records.find(Speaker)[0].licence == "CC0-1.0"


def read_pairs(source: Path, form: str) -> list[list[dict[str, Any]]]:
    rows, width = rows_of(source, form), FORMS[form].per_pair
    return [rows[start : start + width] for start in range(0, len(rows), width)]


def test_trl_itself_takes_the_rows(filled: Filled, tmp_path: Path) -> None:
    from datasets import load_from_disk
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    ws = filled(prompts=3)
    export_preferences(ws, tmp_path / "dpo", "trl-dpo-tokens", prompt_tokens=tokens_of)
    held = load_from_disk(str(tmp_path / "dpo"))
    rows = [row for part in held.values() for row in part]
    batch = DataCollatorForPreference(pad_token_id=0)(rows[:1])
    asked, chosen = rows[0]["prompt_ids"], rows[0]["chosen_ids"]
    assert batch["input_ids"][0].tolist() == [*asked, *chosen]
    assert batch["completion_mask"][0].tolist() == [0] * len(asked) + [1] * len(chosen)
    export_preferences(ws, tmp_path / "text", "trl")
    part = next(iter(load_from_disk(str(tmp_path / "text")).values()))
    assert part[0]["chosen"].startswith("<|a_") and part[0]["prompt"]


def test_recordings_are_audio_columns(filled: Filled, tmp_path: Path) -> None:
    import datasets

    ws = filled(prompts=2)
    export_preferences(ws, tmp_path / "out", "pairs")
    file = next((tmp_path / "out").glob("*.parquet"))
    made = datasets.load_dataset("parquet", data_files=str(file), cache_dir=str(tmp_path / "c"))
    assert isinstance(made["train"].features["chosen_audio"], datasets.Audio)


def test_nemo_lines_are_adjacent_and_verl_rows_as_verl_has_them(
    filled: Filled, tmp_path: Path
) -> None:
    ws = filled(prompts=3)
    export_preferences(ws, tmp_path / "nemo", "nemo-pairs")
    for one, other in read_pairs(tmp_path / "nemo", "nemo-pairs"):
        assert one["reward"] == 1 > other["reward"] >= 0 and one["text"] == other["text"]
        assert (tmp_path / "nemo" / one["audio_filepath"]).is_file()
        assert one["context_audio_filepath"] and one["duration"] == 0.5
    export_preferences(ws, tmp_path / "verl", "verl")
    row = next(iter(read_table(tmp_path / "verl", "parquet"))).values  # type: ignore[union-attr]
    assert row["reward_model"]["style"] == "rule" and row["prompt"][0]["role"] == "user"
    assert row["prompt"][0]["content"] == row["reward_model"]["ground_truth"]
    assert row["data_source"] and row["ability"] == "tts" and row["extra_info"]["index"] >= 0


def test_speechjudge_rows_come_back_as_the_same_answers(filled: Filled, tmp_path: Path) -> None:
    from trivox.annotation.imports import import_speechjudge
    from trivox.annotation.people.audit import THE_SYSTEM
    from trivox.platform.records import Judgement

    ws, other = filled(prompts=2, judgements_each=5), filled("other", prompts=0)
    export_preferences(ws, tmp_path / "out", "speechjudge")
    told = import_speechjudge(other, THE_SYSTEM, tmp_path / "out" / "train.parquet")
    people = [o for o in ws.records.find(Judgement) if o.judge_kind is JudgeKind.HUMAN]
    assert told.taken == len(people) and told.refused == ()
    answers = lambda found: sorted(  # noqa: E731
        (str(one.answer.comparison), str(one.answer.tie), one.judge.rpartition(":")[2])
        for one in found
    )
    assert answers(other.records.find(Judgement)) == answers(people)
    export_preferences(other, tmp_path / "again", "speechjudge")
    strip = lambda folder: sorted(  # noqa: E731
        (row["target_text"], row["audioA"]["path"], sorted(row["naturalness_annotation"]))
        for row in (t.values for t in read_table(folder / "train.parquet", "parquet"))  # type: ignore[union-attr]
    )
    assert strip(tmp_path / "again") == strip(tmp_path / "out")


def test_what_has_no_row_is_counted(filled: Filled, tmp_path: Path) -> None:
    ws = filled(prompts=2)
    with pytest.raises(ConfigError, match="choose from trl, "):
        export_preferences(ws, tmp_path / "x", "rlhf")
    with pytest.raises(NotFound, match="no policy to write prompts in tokens"):
        export_preferences(ws, tmp_path / "y", "trl-dpo-tokens")
    assert {"verl", "speechjudge", *FORMS} == set(NAMES)


def test_an_edited_row_is_read_as_it_says_now(filled: Filled, tmp_path: Path) -> None:
    ws, other = filled(prompts=2), filled("other", prompts=0)
    export_preferences(ws, tmp_path / "out", "pairs-jsonl")
    path = next((tmp_path / "out").glob("*.jsonl"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["chosen_text"] = "something else"
    path.write_text("".join(json.dumps(row) + "\n" for row in lines))
    report = take(other, tmp_path / "out", "pairs-jsonl", judges=JudgeKind.HUMAN)
    assert report.whole == report.taken - 1
    assert "something else" in {one.text for one in other.tables.read(Rollout)}


HOSTILE = (
    "../secret.flac",
    "/etc/passwd",
    "a\0b",
    "https://example.org/a.wav",
    "link.flac",
    "gone.flac",
)


@pytest.mark.parametrize("form", ["nemo-pairs", "pairs-jsonl", "grm"])
def test_hostile_paths_and_lines_are_refused_by_name(
    filled: Filled, tmp_path: Path, form: str
) -> None:
    ws, other = filled(prompts=2), filled("other", prompts=0)
    export_preferences(ws, tmp_path / "out", form)
    (tmp_path / "secret.flac").write_bytes(b"secret")
    (tmp_path / "out" / "link.flac").symlink_to(tmp_path / "secret.flac")
    good = [{**row, HELD: None} for row in read_pairs(tmp_path / "out", form)[0]]
    text = json.dumps(good)
    inside = next(part for part in text.split('"') if part.startswith("audio/") and "/" in part)
    bad = [json.loads(text.replace(inside, json.dumps(name)[1:-1])) for name in HOSTILE]
    bad += [[good[0] | {"text": 5, "prompt": 5, "messages": 5}, *good[1:]]]
    path = tmp_path / "out" / "mixed.jsonl"
    lines = [json.dumps(row) for rows in ([good] + bad) for row in rows]
    long = '{"text": "' + "x" * (2 << 20) + '"}'
    path.write_text("\n".join([*lines, *["{"] * len(good), *[long] * len(good)]) + "\n")
    report = take(other, path, form, judges=JudgeKind.HUMAN)
    width = len(good)
    assert report.taken == 1 and len(report.refused) == width * (len(bad) + 2)
    reasons = " ".join(one.reason for one in report.refused)
    for part in ("leads out of", "is not a path", "no such file", "not JSON", "longer than"):
        assert part in reasons
    assert all(one.remedy for one in report.refused)
    assert report.quarantine is not None
    kept = [json.loads(line) for line in report.quarantine.read_text().splitlines()]
    assert len(kept) == len(report.refused)
    big = [one for one in kept if one.get("length") == len(long) + 1]
    assert (
        len(big) == width and (report.quarantine.parent / big[0]["file"]).stat().st_size > 2 << 20
    )
    assert b"secret" not in b"".join(f.read_bytes() for f in (other.root / "audio").rglob("*.flac"))


@pytest.mark.parametrize("form", ["pairs-jsonl", "nemo-pairs", "grm"])
def test_pairs_that_come_twice(filled: Filled, tmp_path: Path, form: str) -> None:
    """Again as they were: counted, taken once. Of one id but the other way round: refused by name and kept."""
    ws, other = filled(prompts=2), filled("other", prompts=0)
    export_preferences(ws, tmp_path / "out", form)
    pairs = read_pairs(tmp_path / "out", form)
    turned = json.loads(json.dumps(pairs[0]))
    held = json.loads(turned[0][HELD])
    told = json.loads(held["records"])
    told |= {"chosen": told["rejected"], "rejected": told["chosen"]}
    told["preference"] |= {"chosen": told["chosen"]["id"], "rejected": told["rejected"]["id"]}
    turned[0][HELD] = json.dumps(held | {"records": json.dumps(told)})
    for path in (tmp_path / "out").glob("*.jsonl"):
        path.unlink()
    lines = [json.dumps(row) for rows in (*pairs, pairs[0], turned) for row in rows]
    (tmp_path / "out" / "train.jsonl").write_text("\n".join(lines) + "\n")
    report = take(other, tmp_path / "out", form)
    assert report.taken == report.whole == len(pairs) and report.repeated == 1
    assert len(report.refused) == len(turned)
    first = report.refused[0]
    assert "is that of an earlier row" in first.reason and first.remedy
    assert first.row.startswith(f"train.jsonl:{len(lines) - len(turned) + 1}")
    assert report.quarantine is not None


@pytest.mark.parametrize(
    "form", ["pairs", "cosyvoice", "trl", "trl-dpo-tokens", "trl-reward-tokens"]
)
def test_tables_that_are_cut_off_or_of_another_type(
    filled: Filled, tmp_path: Path, form: str
) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    ws, other = filled(prompts=6), filled("other", prompts=0)
    export_preferences(ws, tmp_path / "out", form, prompt_tokens=tokens_of)
    files = sorted((tmp_path / "out").rglob("*.parquet")) or sorted(
        (tmp_path / "out").rglob("*.arrow")
    )
    whole, cut = files[-1], files[0]
    cut.write_bytes(cut.read_bytes()[: -cut.stat().st_size // 3])
    table = (
        parquet.read_table(whole)
        if not form.startswith("trl")
        else pa.ipc.open_stream(whole).read_all()
    )
    wrong = table.set_column(
        table.column_names.index("margin" if form != "cosyvoice" else "text"),
        "margin" if form != "cosyvoice" else "text",
        pa.array([[n] for n in range(len(table))]),
    ).drop_columns([HELD])
    target = tmp_path / "out" / "wrong.parquet"
    parquet.write_table(wrong, target)
    report = take(other, tmp_path / "out", form, judges=JudgeKind.HUMAN)
    assert report.taken >= 1
    refused = {one.row.partition(":")[0]: one for one in report.refused}
    assert sum(one.row.startswith("wrong") for one in report.refused) == len(table)
    named = cut.relative_to(tmp_path / "out").as_posix()
    assert "cannot be read from row" in refused[named].reason and refused[named].remedy
    assert report.quarantine is not None


words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20
)
ids = st.lists(st.integers(0, 70_000), min_size=1, max_size=8).map(tuple)


@st.composite
def made_pairs(draw: st.DrawFn) -> Pair:
    prompt = Prompt.of(Branch.TTS, ("en-US",), text=draw(words))
    first = draw(ids)
    both = [
        Rollout(
            f"ro_{n}",
            "p",
            None,
            Branch.TTS,
            prompt.id,
            "external:x",
            0,
            n,
            Sampling(),
            "e",
            "d",
            tokens,
            (),
            (),
            FinishReason.END,
            draw(words),
            codes=tuple((t,) for t in tokens),
        )
        for n, tokens in enumerate((first, (*first, draw(st.integers(0, 9)))))
    ]
    margin = draw(st.floats(0.01, 3))
    preference = Preference("pf_1", prompt.id, "ro_0", "ro_1", margin, 1.0, (), (JudgeKind.HUMAN,))
    return Pair(SetHead("ps_1", None, "m"), preference, prompt, *both)


KIT = Kit(lambda id: f"audio/{id}", lambda id: b"", tokens_of)


@given(made_pairs())
def test_rows_say_what_the_pair_says(pair: Pair) -> None:
    """Of every form that needs no recording: what is read is what was written."""
    for name in ("trl", "trl-dpo-tokens", "trl-reward-tokens", "pairs-jsonl"):
        (row,) = FORMS[name].rows(pair, KIT)
        told = FORMS[name].read([json.loads(json.dumps(row))])
        assert told.margin == pair.preference.margin
        for side, one in ((told.chosen, pair.chosen), (told.rejected, pair.rejected)):
            assert side.tokens == one.tokens or side.codes == one.codes
        if name in ("trl", "pairs-jsonl"):
            assert told.text == pair.prompt.text


@given(
    st.dictionaries(
        st.sampled_from(
            "prompt chosen rejected prompt_ids chosen_ids rejected_ids margin text reward audio_filepath "
            "messages audios speech_token reject_speech_token audio_data chosen_text branch".split()
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["role", "content", "bytes"]), inner, max_size=2)
            ),
            max_leaves=5,
        ),
    )
)
def test_any_row_is_read_or_refused(row: dict[str, Any]) -> None:
    for form in FORMS.values():
        try:
            assert isinstance(form.read([row] * form.per_pair), Foreign)
        except Refused as refused:
            assert refused.reason and refused.remedy


@given(words)
def test_words_are_words_and_codes_are_codes(text: str) -> None:
    said = SaidBy(*read_said(text))
    assert said.text == text or text.startswith("<|")
    assert read_said("<|a_3|><|a_5|>") == (None, (), ((3,), (5,)))
    assert read_said("<|3|><|5|>") == (None, (3, 5), ())


def test_a_record_that_lies_about_its_prompt_is_refused(filled: Filled, tmp_path: Path) -> None:
    ws, other = filled(prompts=2), filled("other", prompts=0)
    export_preferences(ws, tmp_path / "out", "pairs-jsonl")
    path = next((tmp_path / "out").glob("*.jsonl"))
    lines = path.read_text().splitlines()
    row = json.loads(lines[0])
    held = json.loads(row[HELD])
    records = json.loads(held["records"])
    records["prompt"]["text"] = "another text"
    row[HELD] = json.dumps(held | {"records": json.dumps(records)})
    path.write_text("\n".join([json.dumps(row), *lines[1:]]) + "\n")
    report = take(other, tmp_path / "out", "pairs-jsonl")
    assert "is not what its id says" in report.refused[0].reason


def test_a_revoked_voice_does_not_come_back(filled: Filled, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    ws = filled(prompts=2)
    export_preferences(ws, tmp_path / "out", "nemo-pairs")
    for one in ws.records.find(Speaker):
        ws.records.replace(replace(one, revoked_at=datetime(2026, 1, 1, tzinfo=UTC)))
    from trivox.platform.errors import RefusedByConsent

    with pytest.raises(RefusedByConsent, match="revoked consent"):
        take(ws, tmp_path / "out", "nemo-pairs")
