"""What is kept of judgements: by hand, and the same whether it was made at once or grew."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from tests.dashboards.building import NOW
from trivox.dashboards.queries.annotation import annotation
from trivox.dashboards.queries.source import FOLDER, Source
from trivox.dashboards.queries.votes import COUNTED_S
from trivox.platform.records import Decision, Judgement, Purpose, Voided
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

KEPT = ("days", "voters", "units", "agreed", "scores", "rollouts")


def tables(source: Source) -> dict[str, pl.DataFrame]:
    source.look()
    made = {name: getattr(source.rollups, name).table for name in KEPT}
    return {name: rows.sort(rows.columns[:8]) for name, rows in made.items()}


def test_by_hand(built: Path) -> None:
    """Three people, 12 questions: the second one votes for the first on questions 0, 4, 8, says a tie on 7, and
    otherwise what the others say. Held against the other two, who always agree, she is right on 8 of 12, half
    right for the tie: 8.5; the others are undecided wherever she differs."""
    with Workspace.open(built) as ws:
        rows = tables(Source(ws))["voters"].filter(pl.col("round") == "round_1")
    found = {one["judge"]: one for one in rows.to_dicts()}
    assert {name: one["counted"] for name, one in found.items()} == dict.fromkeys(
        ("human:ann0", "human:ann1", "human:ann2"), 12
    )
    assert found["human:ann1"]["s"] == 8.5 and found["human:ann1"]["n"] == 12
    assert found["human:ann0"]["s"] == found["human:ann0"]["n"] == 8
    assert found["human:ann1"]["decided"] == 11 and found["human:ann0"]["decided"] == 12
    assert found["human:ann0"]["seconds"] == sum(12 + n for n in range(12))


def test_who_was_held_against_nobody_has_no_interval(built: Path) -> None:
    with Workspace.open(built) as ws:
        source = Source(ws)
        source.look()
        rows = annotation(source).tables["judges"].to_dicts()
    told = {one["kind"]: one for one in rows}
    assert (told["grm"]["agrees"], told["grm"]["low"], told["grm"]["high"]) == (None, None, None)
    assert told["human"]["low"] is not None and told["grm"]["mean_s"] == 17.5


def test_flags_by_hand(built: Path) -> None:
    with Workspace.open(built) as ws:
        source = Source(ws)
        source.look()
        told = source.rollups.flags(None, "round_1")
    assert dict(told.iter_rows()) == {
        "round_1-1-1": "silence not passed",
        "round_1-5-3": "wer failed",
    }


def test_what_grew_is_what_is_made_at_once(small: Path) -> None:
    """A correction, an answer struck out, a check, an answer after a lunch break, one in another round."""
    with Workspace.open(small) as ws:
        before = tables(source := Source(ws))
        one, other, last, *_ = ws.records.find(Judgement, task="t-round_1-0-0")
        grm = ws.records.find(Judgement, task="t-round_2-0-0")[0]
        later = NOW + timedelta(days=3)
        ws.records.add(
            replace(one, id="j-new", supersedes=one.id, idempotency_key="1", created_at=later),
            Voided("v-1", ws.project, other.id, "lead", "clicked through", later),
            replace(last, id="j-gold", purpose=Purpose.GOLD, idempotency_key="2", taken_s=9_000.0),
            replace(grm, id="j-grm", judge="grm:second", idempotency_key="3"),
        )
        grown = tables(source)
        shutil.rmtree(small / FOLDER)
        anew = tables(Source(ws))
        for name in KEPT:
            assert grown[name].equals(anew[name]), name
    changed = grown["days"].join(
        before["days"], on=before["days"].columns, how="anti", nulls_equal=True
    )
    assert set(changed["round"]) == {"round_1", "round_2"}
    told = grown["voters"].filter(pl.col("round") == "round_1")
    assert told["answers"].sum() == 38 and told["counted"].sum() == 35
    assert told["seconds"].sum() == pytest.approx(630 + 12 + COUNTED_S)
    # Of 28 votes held out, 24.5 right, the one struck out was wrong; the two that stand beside it now agree.
    assert (told["n"].sum(), told["s"].sum()) == (29, 26.5)


def test_forgotten_judgements_are_in_no_figure(small: Path) -> None:
    """Forgetting takes rows away and ends with a decision, which tells that they have to be counted again."""
    with Workspace.open(small) as ws:
        before = tables(source := Source(ws))["days"]["answers"].sum()
        judged = table_of(Judgement)
        with ws.records.statements(write=True) as connection:
            connection.execute(sa.delete(judged).where(judged.c.task == "t-round_1-0-0"))
        ws.records.add(Decision("d-9", ws.project, "forgetting", "somebody", "lead", "asked", NOW))
        assert tables(source)["days"]["answers"].sum() == before - 3
