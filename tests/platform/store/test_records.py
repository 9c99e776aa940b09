"""Records in SQL: what is added once stays, what may change changes, all or nothing."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trivox.platform.errors import DiskFull, NotFound, StoreError, UsageError
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Branch,
    Campaign,
    CostEntry,
    Decision,
    JudgeKind,
    Judgement,
    PreferenceSet,
    Project,
    Prompt,
    PromptSet,
    Rollout,
    Round,
    RoundStatus,
    Stage,
    StageRun,
    Task,
    TaskKind,
)
from trivox.platform.store import Workspace

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
CAMPAIGN = Campaign("ca_1", "default", "first", Branch.TTS, "listen", 1, ("en",), 1, NOW)
TASK = Task("ta_1", "default", "ca_1", TaskKind.COMPARE, "pr_1", ("a", "b"), "q@1", "en", 1)


def judgement(id_: str, key: str) -> Judgement:
    answer = Answer(AnswerKind.COMPARISON, comparison=2)
    kind = JudgeKind.SIMULATED
    return Judgement(id_, "default", "ta_1", kind, "sim@1", answer, ("b", "a"), key, NOW)


def a_round(id_: str = "rd_1", status: RoundStatus = RoundStatus.QUEUED, **more: Any) -> Round:
    stage = Stage.ROLLOUT
    return Round(
        id_, "default", Branch.TTS, "dpo", "po", "ps@1", {}, 7, stage, status, NOW, NOW, **more
    )


def test_add_counts_what_is_new(ws: Workspace) -> None:
    one, two = (Prompt.of(Branch.TTS, ("en",), text=text) for text in ("one", "two"))
    assert ws.records.add(one) == 1
    assert ws.records.add(one, two, two) == 1
    assert ws.records.add() == 0
    assert ws.records.find(Prompt) == [one, two]


def test_first_write_wins(ws: Workspace) -> None:
    ws.records.add(CAMPAIGN)
    assert ws.records.add(replace(CAMPAIGN, name="second")) == 0
    assert ws.records.get(Campaign, "ca_1").name == "first"


def test_records_that_name_each_other_in_any_order(ws: Workspace) -> None:
    assert ws.records.add(judgement("ju_1", "key"), TASK, CAMPAIGN) == 3


def test_same_key_is_the_same_judgement(ws: Workspace) -> None:
    ws.records.add(CAMPAIGN, TASK, judgement("ju_1", "key"))
    assert ws.records.add(judgement("ju_2", "key")) == 0
    assert ws.records.add(judgement("ju_3", "other")) == 1
    assert [one.id for one in ws.records.find(Judgement, task="ta_1")] == ["ju_1", "ju_3"]


def test_a_version_of_a_set_is_immutable(ws: Workspace) -> None:
    ws.records.add(PromptSet("ps_1", "default", "mine", 1, ()))
    with pytest.raises(StoreError, match=r"prompt_set\.version|PromptSet"):
        ws.records.add(PromptSet("ps_2", "default", "mine", 1, ()))


def test_unknown_reference_adds_nothing(ws: Workspace) -> None:
    with pytest.raises(StoreError, match="Task"):
        ws.records.add(Prompt.of(Branch.TTS, ("en",), text="one"), TASK)
    assert ws.records.find(Prompt) == []


def test_get_names_kind_and_id(ws: Workspace) -> None:
    with pytest.raises(NotFound, match=r"no Prompt 'pr_x' in"):
        ws.records.get(Prompt, "pr_x")


def test_find_by_columns(ws: Workspace) -> None:
    ws.records.add(a_round("b"), a_round("a"), a_round("c", RoundStatus.DONE, error="none"))
    assert [r.id for r in ws.records.find(Round, status=RoundStatus.QUEUED)] == ["b", "a"]
    assert [r.id for r in ws.records.find(Round, error=None, seed=7)] == ["b", "a"]
    with pytest.raises(UsageError, match="cannot be found by 'config'"):
        ws.records.find(Round, config={})


def test_find_by_a_column_named_kind(ws: Workspace) -> None:
    ws.records.add(Decision("de_1", "default", "promotion", "po", "me", "better", NOW))
    assert len(ws.records.find(Decision, kind="promotion")) == 1


@pytest.mark.parametrize(
    "record",
    [
        judgement("ju_1", "key"),
        Decision("de_1", "default", "promotion", "po", "me", "better", NOW),
        StageRun("sr_1", "default", "rd_1", Stage.SCORE, {}, {}, "1", 7, NOW, NOW),
        PreferenceSet("pf_1", "default", None, "majority@1", ()),
    ],
    ids=lambda record: type(record).__name__,
)
def test_append_only(ws: Workspace, record: Any) -> None:
    with pytest.raises(UsageError, match="append-only"):
        ws.records.replace(record)


def test_replace(ws: Workspace) -> None:
    ws.records.add(a_round("a"), a_round("b"))
    ws.records.replace(a_round("a", RoundStatus.FAILED, error="why"))
    assert [r.status for r in ws.records.find(Round)] == [RoundStatus.FAILED, RoundStatus.QUEUED]
    with pytest.raises(NotFound, match="no Round 'c'"):
        ws.records.replace(a_round("c"))


def test_rollouts_are_not_in_sql(ws: Workspace) -> None:
    with pytest.raises(TypeError, match="Rollout is not kept in SQL"):
        ws.records.find(Rollout)


@pytest.mark.parametrize("quantity", [float("nan"), float("inf")])
def test_figures_are_finite(ws: Workspace, quantity: float) -> None:
    entry = CostEntry("co_1", "default", None, None, "cpu", quantity, "h", None, None, NOW)
    with pytest.raises(StoreError, match="CostEntry co_1: quantity"):
        ws.records.add(entry)
    with pytest.raises(StoreError, match="adding CostEntry: .*not JSON compliant"):
        ws.records.add(replace(entry, quantity=1.0, note={"x": quantity}))


def test_naive_time_is_refused(ws: Workspace) -> None:
    with pytest.raises(StoreError, match="no time zone"):
        ws.records.add(Project("p", "p", NOW.replace(tzinfo=None)))


def test_transaction_is_all_or_nothing(ws: Workspace) -> None:
    with pytest.raises(KeyError), ws.records.transaction():
        ws.records.add(a_round("a"))
        with ws.records.transaction():
            ws.records.replace(a_round("a", RoundStatus.DONE))
        assert ws.records.get(Round, "a").status == RoundStatus.DONE
        raise KeyError
    assert ws.records.find(Round) == []
    with ws.records.transaction():
        ws.records.add(a_round("a"))
    assert len(ws.records.find(Round)) == 1


def test_other_threads_do_not_see_an_open_transaction(ws: Workspace) -> None:
    with ThreadPoolExecutor(1) as pool, ws.records.transaction():
        ws.records.add(a_round("a"))
        assert pool.submit(ws.records.find, Round).result() == []


def test_writers_wait_for_each_other(ws: Workspace) -> None:
    def bump(_: int) -> None:
        with ws.records.transaction():
            seen = ws.records.get(Round, "a")
            ws.records.replace(replace(seen, seed=seen.seed + 1))

    ws.records.add(a_round("a"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(bump, range(40)))
    assert ws.records.get(Round, "a").seed == 47


def test_lease_takes_the_oldest_queued_round(ws: Workspace) -> None:
    ws.records.add(a_round("z"), a_round("a"), a_round("w", RoundStatus.WAITING))
    first = ws.records.lease_round("me", 60)
    assert first is not None and first.id == "z"
    assert (first.status, first.worker) == (RoundStatus.RUNNING, "me")
    assert ws.records.get(Round, "z") == first
    second = ws.records.lease_round("me", 60)
    assert second is not None and second.id == "a"
    assert ws.records.lease_round("me", 60) is None


def test_lease_by_id_takes_a_waiting_round(ws: Workspace) -> None:
    ws.records.add(a_round("q"), a_round("w", RoundStatus.WAITING), a_round("d", RoundStatus.DONE))
    taken = ws.records.lease_round("me", 60, "w")
    assert taken is not None and taken.id == "w"
    assert ws.records.lease_round("other", 60, "w") is None
    assert ws.records.lease_round("me", 60, "d") is None
    with pytest.raises(NotFound, match="no Round 'x'"):
        ws.records.lease_round("me", 60, "x")


def test_expired_lease_is_taken_over(ws: Workspace) -> None:
    past, future = datetime.now(UTC) - timedelta(1), datetime.now(UTC) + timedelta(1)
    running = RoundStatus.RUNNING
    ws.records.add(a_round("held", running, worker="other", lease_until=future))
    ws.records.add(a_round("lost", running, worker="other", lease_until=past))
    taken = ws.records.lease_round("me", 60)
    assert taken is not None and (taken.id, taken.worker) == ("lost", "me")
    with pytest.raises(StoreError, match="not leased to 'other'"):
        ws.records.renew_lease("lost", "other", 60)
    ws.records.renew_lease("lost", "me", 7200)
    until = ws.records.get(Round, "lost").lease_until
    assert until is not None and until > datetime.now(UTC) + timedelta(seconds=7000)


def test_each_round_is_leased_once(ws: Workspace) -> None:
    ws.records.add(*[a_round(f"r{n}") for n in range(5)])
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda n: ws.records.lease_round(f"w{n}", 60), range(16)))
    assert sorted(one.id for one in taken if one) == [f"r{n}" for n in range(5)]


def test_full_database(tmp_path: Path) -> None:
    with Workspace.create(tmp_path / "ws") as ws:
        with ws.records.transaction():
            connection = ws.records._open.get()
            assert connection is not None
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 4}")
        prompts = [Prompt.of(Branch.TTS, ("en",), text=f"{n} " * 5000) for n in range(20)]
        with pytest.raises(DiskFull, match="free some space"):
            ws.records.add(*prompts)
        assert ws.records.find(Prompt) == []
        ws.close()
        assert ws.records.add(*prompts) == 20


def test_a_text_with_nul_is_refused_on_both(ws: Workspace) -> None:
    """PostgreSQL has no text with NUL: a workspace on SQLite must not hold one either, or it could never move."""
    with pytest.raises(UsageError, match="Project p: name holds the character NUL"):
        ws.records.add(Project("p", "a\0b", NOW))
    entry = CostEntry("co", "default", None, None, "cpu", 1.0, "s", None, None, NOW, {"a": "x\0y"})
    ws.records.add(entry)
    assert ws.records.get(CostEntry, "co") == entry
