"""The overview and what all pages share: who is let in, what an empty and a damaged workspace look like."""

from pathlib import Path

import pytest

from tests.dashboards.building import build
from tests.dashboards.conftest import Show
from trivox.dashboards.queries.overview import overview
from trivox.dashboards.queries.source import Source
from trivox.dashboards.screens import overview as page
from trivox.platform.store import Workspace


def source_of(root: Path) -> Source:
    source = Source(Workspace.open(root))
    source.look()
    return source


def test_empty_says_what_to_do(show: Show, empty: Path) -> None:
    shown = show(empty)
    assert not shown.exception and [one.value for one in shown.info] == [page.EMPTY]


def test_small_has_figures_with_intervals(show: Show, built: Path) -> None:
    """`two` over `one`: 24 of 32 decisive, 0.75; Wilson: centre (0.75 + 3.84 / 64) / 1.12 = 0.723, half width
    1.96 * sqrt(0.75 * 0.25 / 32 + 3.84 / 4096) / 1.12 = 0.144: 0.579 to 0.867."""
    shown = show(built)
    assert not shown.exception and not shown.error
    metrics = {one.label: one.value for one in shown.metric}
    assert metrics["tts: win rate over the parent"] == "75.0%"
    assert "95% interval 57.9% to 86.7%" in [one.value for one in shown.caption]
    assert metrics["Human judgements"] == "36" and metrics["Simulated judgements"] == "6"
    assert metrics["Rounds under way"] == "1"


def test_win_rate_over_the_first_is_chained(built: Path) -> None:
    """20:12 and 24:8: log odds ln(20.5/12.5) + ln(24.5/8.5) = 0.4947 + 1.0586 = 1.5533: 0.8254; variance
    1/20.5 + 1/12.5 + 1/24.5 + 1/8.5 = 0.2872, half width 1.0504: 0.6232 to 0.9311."""
    found = overview(source_of(built)).figures["tts.win_rate_first"]
    assert found.value == pytest.approx(0.8254, abs=1e-4)
    assert (found.low, found.high) == (
        pytest.approx(0.6232, abs=1e-3),
        pytest.approx(0.9311, abs=1e-3),
    )


def test_hours_and_pay_are_of_people_alone(built: Path) -> None:
    """Three answers to each of 12 questions, 12 s + its number: 3 (144 + 66) = 630 s; 12 EUR an hour."""
    figures = overview(source_of(built)).figures
    assert figures["hours"].value == pytest.approx(0.175)
    assert figures["pay"].value == pytest.approx(2.1) and figures["pay"].unit == "EUR"


def test_what_waits_for_whom(built: Path) -> None:
    rows = {
        one["what"]: (one["for"], one["count"])
        for one in overview(source_of(built)).tables["waiting"].to_dicts()
    }
    assert rows["rounds waiting"] == ("annotators", 1)
    assert rows["candidates without a decision"] == ("researchers", 1)
    assert rows["rounds failed"][1] == 1


def test_the_last_round_is_told_in_words(built: Path) -> None:
    (story,) = overview(source_of(built)).notes
    assert (
        story.startswith("The last round, round_4, began from name-two")
        and "a worker died" in story
    )


def test_damage_is_named_and_left_out(show: Show, spoilt: Path) -> None:
    shown = show(spoilt)
    assert not shown.exception
    (warning,) = [one.value for one in shown.warning]
    assert warning.startswith("2 damaged files are left out") and ".parquet" in warning


def test_nobody_and_annotators_see_nothing(show: Show, built: Path) -> None:
    for person in (None, "ann0"):
        shown = show(built, person=person)
        assert "not signed in" in shown.warning[0].value and not shown.metric


def test_one_file_to_send_around(built: Path) -> None:
    from tests.dashboards.building import NOW
    from trivox.dashboards.export import sheet

    view = overview(source_of(built))
    made = {kind: sheet(view, "Overview", NOW, kind) for kind in ("pdf", "png")}  # type: ignore[arg-type]
    assert made["pdf"].startswith(b"%PDF") and made["png"].startswith(b"\x89PNG")
    assert sheet(view, "Overview", NOW, "pdf") == made["pdf"]


def test_new_data_is_seen_and_old_comes_from_memory(tmp_path: Path) -> None:
    source = source_of(build(tmp_path / "ws"))
    before = overview(source)
    assert overview(source) is before
    with Workspace.open(tmp_path / "ws") as ws:
        from trivox.platform.records import Campaign

        (one, *_) = ws.records.find(Campaign)
        from dataclasses import replace

        ws.records.replace(replace(one, budget=3))
    source.look()
    assert overview(source) is not before
