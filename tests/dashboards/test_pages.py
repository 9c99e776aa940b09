"""Every page on an empty, a small and a damaged workspace; what a page shows is what the command line says."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from tests.dashboards.conftest import Show
from trivox.cli import app as cli
from trivox.dashboards.app import PAGES
from trivox.dashboards.queries.cluster import ray_nodes

NAMES = [name for name, _, _ in PAGES]
SAID = {
    "overview": "Nothing here yet",
    "rounds": "No round yet",
    "samples": "No sample yet",
    "rewards": "Nothing was judged yet",
    "annotation": "Nobody has judged anything yet",
    "data": "Nothing is stored yet",
    "cluster": "No round has run yet",
}


@pytest.mark.parametrize("name", NAMES)
def test_empty_says_what_to_do(show: Show, empty: Path, name: str) -> None:
    shown = show(empty, name)
    assert not shown.exception and not shown.error
    assert any(one.value.startswith(SAID[name]) for one in shown.info), [
        one.value for one in shown.info
    ]


@pytest.mark.parametrize("name", NAMES)
def test_damage_is_said_and_the_rest_is_shown(show: Show, spoilt: Path, name: str) -> None:
    shown = show(spoilt, name)
    assert not shown.exception
    assert any("2 damaged files are left out" in one.value for one in shown.warning)
    assert shown.metric


@pytest.fixture(scope="session")
def told(built: Path) -> dict[str, Any]:
    """What `trivox report --json` says of the workspace."""
    ended = CliRunner().invoke(cli, ["report", "--workspace", str(built), "--json"])
    assert ended.exit_code == 0, ended.output
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_what_the_command_line_says(
    show: Show, built: Path, told: dict[str, Any], name: str
) -> None:
    shown = show(built, name)
    assert not shown.exception and list(told) == NAMES
    assert [one.value for one in shown.error] in ([], ["round round_4, stage score: a worker died"])
    same_figures(shown, told[name]["figures"])
    same_tables(shown, told[name]["tables"])


def same_figures(shown: AppTest, figures: dict[str, Any]) -> None:
    """Every figure on the page is one of the command line's, word for word, with its interval."""
    known = {(one["name"], one["shown"]) for one in figures.values()}
    metrics = [(one.label, one.value) for one in shown.metric if one.label != "Swap consistency"]
    assert metrics and set(metrics) <= known
    bounds = [one.value for one in shown.caption if one.value.startswith("95% interval")]
    assert len(bounds) == sum(
        one["low"] is not None and (one["name"], one["shown"]) in set(metrics)
        for one in figures.values()
    )


def same_tables(shown: AppTest, tables: dict[str, Any]) -> None:
    """Every table on the page that has a name of the command line's holds the same rows."""
    compared = 0
    for element in shown.dataframe:
        rows = json.loads(element.value.to_json(orient="records"))
        columns = list(element.value.columns)
        same = [one for one in tables.values() if one and list(one[0]) == columns]
        for one in same:
            compared += [close(row) for row in rows] == [close(row) for row in one]
    named = [
        one
        for one in shown.dataframe
        if any(t and list(t[0]) == list(one.value.columns) for t in tables.values())
    ]
    assert compared >= len(named)


def close(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()
    }


def test_a_viewer_has_no_button_and_no_way_around_it(show: Show, built: Path) -> None:
    from trivox.dashboards import access, actions
    from trivox.platform.errors import UsageError
    from trivox.platform.records import Role
    from trivox.platform.store import Workspace

    shown = show(built, "rounds", "viewer", round="round_3")
    assert [one.label for one in shown.button] == ["Sign out"]
    new = show(built, "rounds", "viewer", view="New round")
    assert new.info[0].value.startswith("You may look") and not new.number_input
    viewer = access.Viewer("viewer", "Vic", frozenset({Role.VIEWER}), "s")
    with Workspace.open(built) as ws:
        for attempt in (
            lambda: actions.say(ws, viewer, "cancel", "round_3"),
            lambda: actions.promote(ws, viewer, "three", "because"),
            lambda: actions.start(ws, viewer, None),  # type: ignore[arg-type]
            lambda: actions.plan(ws, viewer, None),  # type: ignore[arg-type]
            lambda: actions.rollback(ws, viewer, "tts", "because"),
        ):
            with pytest.raises(UsageError, match="for researchers and admins"):
                attempt()


def test_the_form_refuses_before_anything_runs(show: Show, small: Path) -> None:
    from trivox.platform.records import Round
    from trivox.platform.store import Workspace

    shown = show(small, "rounds", view="New round")
    assert "Default: 48" in shown.number_input(key="form.rollout.prompts").help
    shown.number_input(key="form.rollout.prompts").set_value(0)
    next(one for one in shown.button if one.label == "Start").click().run()
    assert any(
        "rollout.prompts" in one.value and "greater than or equal to 1" in one.value
        for one in shown.error
    )
    with Workspace.open(small) as ws:
        assert len(ws.records.find(Round)) == 4


def drawn(shown: AppTest) -> list[dict[str, Any]]:
    """The rows of all charts of a page."""
    sent = [data for one in shown.get("vega_lite_chart") for data in one.proto.datasets]
    return [row for data in sent for row in pl.read_ipc_stream(data.data.data).to_dicts()]


def test_over_optimisation_is_drawn_as_the_policy_moves(show: Show, built: Path) -> None:
    """Two rounds ended 0.06 and 0.12 nats from where they began, the third never trained; `one` won 20 of 32,
    `two` 24 of 32. The mean of `mos` is 3 + 0.2 * 1.5 - 0.1 * 1 = 3.2."""
    rows = [row for row in drawn(show(built, "rewards")) if "win_rate" in row]
    told = {row["round"]: row for row in rows}
    assert {name: row["win_rate"] for name, row in told.items()} == {
        "round_1": 0.625,
        "round_2": 0.75,
    }
    assert told["round_1"]["kl"] == pytest.approx(0.06)
    assert told["round_2"]["kl"] == pytest.approx(0.12)
    assert all(row["low"] < row["win_rate"] < row["high"] for row in rows)
    mos = [row for row in drawn(show(built, "rewards", scorer="mos")) if "win_rate" in row]
    assert [row["reward"] for row in mos] == [pytest.approx(3.2)] * len(mos)


def test_the_nodes_of_a_ray_are_shown(
    show: Show, built: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page never waits for a cluster: it says that it asks, and shows the answer later."""
    import ray

    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
    shown = show(built, "cluster")
    ends = time.monotonic() + 30
    while not (nodes := [one.value for one in shown.dataframe if "gpus" in one.value.columns]):
        assert time.monotonic() < ends, [one.value for one in shown.caption]
        shown.run()
    assert nodes[0]["alive"].all() and nodes[0]["cpus"].sum() == 2


def test_the_nodes_are_shown_to_a_process_that_did_not_start_the_ray(ray_session: None) -> None:
    """A Ray asks for the token of who started it, as `trivox worker` does; the dashboard is another process."""
    import ray

    code = (
        "import sys; from trivox.dashboards.queries.cluster import ray_nodes; "
        "rows, why = ray_nodes(sys.argv[1]); print(why); sys.exit(0 if rows['cpus'].sum() == 2 else 1)"
    )
    address = ray.get_runtime_context().gcs_address
    environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    ran = subprocess.run(
        [sys.executable, "-c", code, address],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_ray_that_does_not_answer_is_one_line() -> None:
    rows, why = ray_nodes("127.0.0.1:1")
    assert rows.is_empty() and why.startswith("The Ray at 127.0.0.1:1 does not say what it has")


def test_curves_of_rounds_are_overlaid_and_two_compared(show: Show, built: Path) -> None:
    shown = show(built, "rounds", round="round_2")
    rows = drawn(shown)
    assert {row["round"] for row in rows if row.get("figure") == "loss"} == {"round_1", "round_2"}
    compared = show(built, "rounds", view="Compare", one="round_1", other="round_2")
    (config, *_) = [one.value for one in compared.dataframe]
    assert set(config["key"]) >= {"seed", "policy"}


def test_two_candidates_are_heard_side_by_side(show: Show, built: Path) -> None:
    shown = show(built, "samples", round="round_1", sample="t-round_1-0-0")
    assert not shown.exception and not shown.error
    assert len(shown.get("audio")) == 2 and len(shown.get("image")) == 2
    told = " ".join(one.value for one in shown.markdown)
    assert "mos (reward): 3 MOS" in told and "“say number 0”" in [
        one.value for one in shown.subheader
    ]
    judged = next(one.value for one in shown.dataframe if "reasons" in one.value.columns)
    assert list(judged["reasons"]) == ["clearer"] * 3 and "ann" not in " ".join(judged["judge"])


@pytest.mark.parametrize(
    ("order", "least"), [("disagree", 1), ("margin", 1), ("flagged", 1), ("any", 12)]
)
def test_samples_are_filtered(show: Show, built: Path, order: str, least: int) -> None:
    shown = show(built, "samples", round="round_1", order=order)
    rows = shown.dataframe[0].value
    assert len(rows) >= least
    if order == "disagree":
        assert set(rows["agree"]) == {"disagree"}
    if order == "flagged":
        assert all(rows["flags"])


def test_sound_that_is_damaged_is_one_line(show: Show, spoilt: Path) -> None:
    shown = show(spoilt, "samples", round="round_1", sample="t-round_1-0-0")
    assert not shown.exception and any("cannot be decoded" in one.value for one in shown.error)


def test_names_of_annotators_are_for_leads(show: Show, built: Path) -> None:
    judges = {
        person: next(
            one.value
            for one in show(built, "annotation", person).dataframe
            if "agrees" in one.value.columns
        )
        for person in ("viewer", "lead")
    }
    assert "name" not in judges["viewer"].columns and not set(judges["viewer"]["judge"]) & {
        "human:ann0",
        "ann0",
    }
    assert "Annotator 0" in set(judges["lead"]["name"])


def test_lineage_goes_down_to_judgements_and_up_again(show: Show, built: Path) -> None:
    down = show(built, "data", view="From a version down", version="one")
    (drawn,) = down.get("graphviz_chart")
    for word in (
        "name-base",
        "round_1",
        "numbers@1",
        "36 judgements",
        "majority@1",
        "bt-1",
        "promotion",
    ):
        assert word in drawn.proto.spec
    judged = next(one.value for one in down.dataframe if "judgements" in one.value.columns)
    up = show(built, "data", view="From a judgement up", judgement=judged["judgements"][0][0])
    reached = next(one.value for one in up.dataframe if "what" in one.value.columns)
    assert {"name-one", "name-two", "name-three"} <= {
        what.split("\n")[0] for what in reached["what"]
    }
    unknown = show(built, "data", view="From a judgement up", judgement="nothing")
    assert "no judgement 'nothing'" in unknown.error[0].value


def test_an_unknown_sample_or_round_in_a_link_does_no_harm(show: Show, built: Path) -> None:
    assert (
        "neither a comparison nor a prompt" in show(built, "samples", sample="gone").error[0].value
    )
    assert not show(built, "rounds", round="gone").exception
