"""A version has a hash of what it holds; a diff says what changed; nothing that is reached is collected."""

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from trivox.pipelines.datasets import Filters, difference, find_version, freeze, versions_of
from trivox.pipelines.datasets.digests import SetHash
from trivox.pipelines.datasets.figures import band, ordered, statistics_of
from trivox.pipelines.datasets.garbage import collect
from trivox.pipelines.datasets.resplit import crossing, resplit
from trivox.pipelines.datasets.samples import judgement
from trivox.pipelines.datasets.validation import check_version, check_workspace
from trivox.pipelines.imports import SplitPlan
from trivox.platform.errors import ConfigError, CorruptObject, NotFound
from trivox.platform.records import (
    Audio,
    JudgeKind,
    Judgement,
    Preference,
    PreferenceSet,
    PromptItem,
    PromptSet,
    Split,
    Task,
)
from trivox.platform.store import Workspace

Filled = Callable[..., Workspace]


@given(st.lists(st.binary(max_size=20), max_size=12), st.randoms(use_true_random=False))
def test_a_set_hash_knows_no_order_but_every_row(rows: list[bytes], rng: random.Random) -> None:
    def of(given: list[bytes]) -> str:
        made = SetHash()
        for row in given:
            made.add(row)
        return made.hexdigest()

    shuffled = rng.sample(rows, len(rows))
    assert of(rows) == of(shuffled)
    assert of(rows) != of([*rows, b"one more"])
    if rows:
        assert of(rows) != of(rows[1:])
        assert of([*rows, rows[0]]) != of(rows)  # twice is not once
        assert of([*rows[1:], rows[0] + b"!"]) != of(rows)


def test_the_same_content_is_the_same_version(filled: Filled) -> None:
    ws = filled()
    first, new = freeze(ws, "speech")
    again, newer = freeze(ws, "speech")
    assert new and not newer and again == first and first.reference == "speech@1"
    elsewhere, _ = freeze(filled("other"), "speech")
    assert elsewhere.hash == first.hash  # nothing of place or time is in it
    assert first.parts["prompts"].count == 6 and first.parts["judgements"].count == 18
    assert first.parts["placements"].count == 6 and first.licences["CC-BY-4.0"] == 2
    other, _ = freeze(filled("another", prompts=7), "speech")
    assert other.hash != first.hash


def test_a_diff_names_prompts_judgements_and_filters(filled: Filled) -> None:
    ws = filled()
    first, _ = freeze(ws, "speech")
    task = ws.records.find(Task)[0]
    late = judgement(ws, task, 99, random.Random(5))
    ws.records.add(late)
    second, new = freeze(ws, "speech")
    assert new and second.version == 2 and second.parent == first.hash
    found = difference(ws, first, second)
    assert list(found.parts) == ["judgements"] and not found.filters
    assert found.parts["judgements"].ids == (("+", late.id),)
    people, _ = freeze(ws, "speech", Filters(judges=(JudgeKind.HUMAN,), languages=("zh-CN",)))
    found = difference(ws, second, people)
    assert found.filters == {"judges": (None, ["human"]), "languages": (None, ["zh-CN"])}
    assert found.parts["prompts"].removed == 5 and found.parts["prompts"].added == 0
    assert found.parts["judgements"].removed > 14
    back = difference(ws, people, second)
    assert back.parts["prompts"].added == 5
    assert difference(ws, second, second).same


def test_a_changed_row_is_changed(filled: Filled) -> None:
    ws = filled()
    first, _ = freeze(ws, "speech")
    ws.records.add(replace(ws.records.find(PromptSet)[0], id="ps_two", version=2, name="two"))
    found = ws.records.find(PreferenceSet)[0]
    pair: Preference = replace(found.preferences[0], margin=0.123)
    ws.records.add(replace(found, id="ps_changed", preferences=(pair,)))
    second, _ = freeze(ws, "speech", Filters(preference_sets=("ps_changed",)))
    change = difference(ws, first, second).parts["preferences"]
    assert ("~", pair.id) in change.ids and change.changed == 1


@pytest.mark.parametrize(
    "filters",
    [
        Filters(splits=(Split.TEST,), judges=(JudgeKind.SIMULATED,)),
        Filters(languages=("zh-CN",), prompt_sets=("made-up@1",)),
        Filters(since=datetime(2026, 2, 1, tzinfo=UTC), until=datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_filters_take_what_they_say_and_what_it_needs(filled: Filled, filters: Filters) -> None:
    from trivox.pipelines.datasets.members import Members
    from trivox.pipelines.datasets.selection import Selection

    ws = filled(prompts=10)
    with Members() as members:
        parts: dict[str, list] = {}  # type: ignore[type-arg]
        for part, records in Selection(ws, filters, members, size=3).batches():
            parts.setdefault(part, []).extend(records)
    prompts = {one.id for one in parts["prompts"]}
    assert all(filters.takes_prompt(one) for one in parts["prompts"])
    assert all(filters.takes_judgement(one) for one in parts.get("judgements", []))
    assert {one.prompt for one in parts["rollouts"]} == prompts
    tasks = {one.id for one in parts["tasks"]}
    assert {one.task for one in parts.get("judgements", [])} <= tasks
    placed = {item.prompt for one in parts["prompt_sets"] for item in one.items}
    assert placed == prompts
    heard = {one.id for one in parts["audio"]}
    assert {one.audio for one in parts["rollouts"]} <= heard


def test_wrong_names_and_hands_are_told(filled: Filled) -> None:
    ws = filled(prompts=3)
    with pytest.raises(ConfigError, match=r"dataset '\.\./x'"):
        freeze(ws, "../x")
    with pytest.raises(NotFound, match="no prompt set 'other'"):
        freeze(ws, "speech", Filters(prompt_sets=("other",)))
    with pytest.raises(NotFound, match="no dataset version"):
        find_version(ws, "speech")
    made, _ = freeze(ws, "speech")
    assert find_version(ws, made.hash[:10]) == find_version(ws, "speech@1") == made
    path = ws.root / "datasets" / "speech" / "v0001" / "manifest.json"
    path.write_text(path.read_text().replace('"count": 3', '"count": 4', 1))
    with pytest.raises(CorruptObject, match="changed by hand"):
        versions_of(ws)


def test_validate_finds_what_is_gone(filled: Filled) -> None:
    ws = filled(prompts=3)
    made, _ = freeze(ws, "speech")
    assert check_version(ws, made) == [] and check_workspace(ws) == []
    lost = ws.records.find(Audio)[0]
    ws.audio.path(lost.id).unlink()
    with ws.records.statements(write=True) as connection:
        from trivox.platform.store.schema import table_of

        table = table_of(Judgement)
        first = ws.records.find(Judgement)[0].id
        connection.execute(table.delete().where(table.c.id == first))
    faults = check_version(ws, made)
    assert [(one.row, "is gone" in one.reason) for one in faults] == [
        (f"judgements: {first}", True),
        (f"audio: {lost.id}", False),
    ]
    assert check_workspace(ws)[0].row == f"audio: {lost.id}"


@given(shares=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)), seed=st.integers(0, 1000))
def test_splits_never_share_a_group(shares: tuple[float, float], seed: int) -> None:
    from trivox.pipelines.imports.splits import assign

    groups = [f"g{n % 7}" for n in range(20)]
    placed = assign(groups, {}, SplitPlan(*shares, seed))
    items = tuple(PromptItem(f"p{n}", placed[g], g, None, "") for n, g in enumerate(groups))
    assert crossing(PromptSet("ps", "p", "n", 1, items)) == {}
    assert crossing(
        PromptSet("ps", "p", "n", 1, (replace(items[0], split=Split.TEST), *items))
    ) == ({} if placed["g0"] == Split.TEST else {"g0": sorted({Split.TEST, placed["g0"]})})


def test_resplitting_keeps_groups_whole(filled: Filled) -> None:
    ws = filled(prompts=20)
    made, new = resplit(ws, "made-up", SplitPlan(0.3, 0.2, seed=3))
    assert new and made.version == 2 and crossing(made) == {}
    assert {item.split for item in made.items} == set(Split)
    assert resplit(ws, "made-up", SplitPlan(0.3, 0.2, seed=3)) == (made, False)


def test_only_what_nothing_reaches_is_collected(filled: Filled) -> None:
    import numpy as np

    ws = filled(prompts=3)
    reached = {one.id for one in ws.audio.stored()}
    lost = ws.audio.put(np.ones(8000) * 0.1, 8000, project=ws.project, source="broken off")
    left = ws.root / "tables" / ".part.parquet.1a2b.tmp"
    left.write_bytes(b"half")
    assert collect(ws).sounds == [] and collect(ws).too_young >= 2  # a day of grace
    later = lambda: datetime.now(UTC) + timedelta(days=2)  # noqa: E731
    found = collect(ws, clock=later)
    assert found.sounds == [lost.id] and found.files == [left] and left.exists()
    assert {one.id for one in ws.audio.stored()} == reached | {lost.id}  # a dry run
    collect(ws, remove=True, clock=later)
    assert {one.id for one in ws.audio.stored()} == reached and not left.exists()
    assert collect(ws, clock=later).size == 0
    assert check_workspace(ws) == []


def test_figures_keep_simulated_judges_apart(filled: Filled) -> None:
    found = statistics_of(filled())
    assert found.counts["judgements"] == 18 and found.tables["judgements by judge"] == {
        "human": 12,
        "simulated": 6,
    }
    assert sum(found.tables["people's answers"].values()) == 12
    assert sum(found.tables["answers, simulated"].values()) == 6
    assert found.tokens == 12 * 24
    assert [band(v, (1.0, 2.0)) for v in (0.0, 1.0, 1.9, 2.0)] == ["0-1", "1-2", "1-2", "2+"]
    assert [name for name, _ in ordered(found.tables["margin of preferences"])][0] < "3"


def test_the_commands(filled: Filled, tmp_path: Path) -> None:
    from trivox.cli import app

    ws = filled()
    where = ["--workspace", str(ws.root)]

    def run(*words: str, code: int = 0) -> str:
        ended = CliRunner().invoke(app, ["data", *words, *where], catch_exceptions=False)
        assert ended.exit_code == code, ended.output
        return ended.stdout

    def told(*words: str, code: int = 0) -> dict:  # type: ignore[type-arg]
        out = run(*words, "--json", code=code)
        assert out.count("\n") == 1
        return json.loads(out)  # type: ignore[no-any-return]

    made = told("freeze", "speech")
    assert made["dataset"] == "speech@1" and made["new_version"]
    assert "unchanged: speech@1" in run("freeze", "speech")
    told("freeze", "speech", "--judges", "human")
    assert [one["dataset"] for one in told("versions")["datasets"]] == ["speech@1", "speech@2"]
    assert "speech@2" in run("versions")
    changed = told("diff", "speech@1", "speech@2")
    assert not changed["same"] and changed["filters"]["judges"]["after"] == ["human"]
    assert "judgements: 0 added, 6 removed" in run("diff", "speech@1", "speech@2")
    page = tmp_path / "page.html"
    assert told("stats", "--html", str(page))["counts"]["prompts"] == 6
    assert "<svg" in page.read_text() and "http" not in page.read_text()
    assert "█" in run("stats")
    assert told("split", "made-up", "--test-share", "0.3")["prompt_set"] == "made-up@2"
    assert told("gc") == {"applied": False, "sounds": [], "files": [], "bytes": 0, "too_young": 0}
    assert told("validate")["faults"] == [] == told("validate", "speech@1")["faults"]
    (tmp_path / "m.jsonl").write_text('{"text": "hello"}\n{"text": ""}\n')
    faults = told("validate", str(tmp_path / "m.jsonl"), code=1)["faults"]
    assert [one["row"] for one in faults] == ["m.jsonl:2"]
    os.unlink(ws.audio.path(ws.records.find(Audio)[0].id))
    assert "bring it back" in run("validate", code=1)
