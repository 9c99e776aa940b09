"""Hostile players: nothing counts that the server did not send or that time does not allow."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.annotation.work.conftest import NOON
from trivox.annotation.work.playback import (
    SLACK_S,
    heard_s,
    intersection,
    measure,
    note,
    progress_of,
    sent,
    union,
)
from trivox.annotation.work.shapes import Played
from trivox.platform.records import ClipState

LONG = 10.0
A = ClipState("a", "audio_a", "item", 0, LONG, 0.0, True)
B = ClipState("b", "audio_b", "item", 1, LONG, 0.0, True)
FETCHED = sent(A, 0, LONG, NOON), sent(B, 0, LONG, NOON)
Interval = tuple[float, float]


def after(seconds: float, *reports: Played, clips: tuple[ClipState, ...] = FETCHED, last: int = 0):  # type: ignore[no-untyped-def]
    return note(clips, reports, last, NOON, NOON + timedelta(seconds=seconds))


def test_intervals_by_hand() -> None:
    assert union([(3, 4), (0, 2), (1, 2.5), (4, 5), (7, 7)]) == ((0, 2.5), (3, 5))
    assert measure(((0, 2.5), (3, 5))) == 4.5
    assert intersection(((0, 2), (3, 5)), ((1, 4),)) == ((1, 2), (3, 4))


_SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted).map(tuple))


@given(_SPANS, _SPANS)
@settings(deadline=None)
def test_intervals_are_sets_of_moments(one: list[Interval], other: list[Interval]) -> None:
    def moments(spans: object) -> set[int]:
        return {t for a, b in spans for t in range(int(a), int(b))}  # type: ignore[attr-defined]

    assert moments(union(one)) == moments(one)
    assert measure(union(one)) == len(moments(one))
    assert moments(intersection(union(one), union(other))) == moments(one) & moments(other)


def test_listening_in_pieces_counts_each_moment_once() -> None:
    """0-6, 4-10 and 0-6 again: 10 s of unique audio in 18 s."""
    reports = Played(1, "a", 0, 6), Played(2, "a", 4, 10), Played(3, "a", 0, 6)
    clips, last, refused = after(18, *reports)
    assert heard_s(clips[0]) == pytest.approx(10) and last == 3 and not refused
    told = progress_of(clips)
    assert [one.enough for one in told.clips] == [True, False] and not told.unlocked


def test_nothing_is_heard_faster_than_time_passes() -> None:
    """Ten seconds claimed after four; two clips at once in the time of one; one second, a hundred times."""
    clips, _, refused = after(4, Played(1, "a", 0, 10))
    assert heard_s(clips[0]) == 0 and "10.00 s of playing in 4.00 s" in refused[1]
    clips, _, refused = after(10, Played(1, "a", 0, 10), Played(2, "b", 0, 10))
    assert (
        heard_s(clips[0]) == pytest.approx(10) and heard_s(clips[1]) == 0 and list(refused) == [2]
    )
    many = [Played(n + 1, "a", n / 10, n / 10 + 0.1) for n in range(100)]
    clips, _, refused = after(3, *many)
    assert heard_s(clips[0]) <= 3 + SLACK_S + 1e-6 and len(refused) >= 67


def test_slack_is_given_once() -> None:
    clips, last, _ = after(1, Played(1, "a", 0, 1.2))
    assert heard_s(clips[0]) == pytest.approx(1.2)
    clips, _, refused = after(2, Played(2, "a", 1.2, 2.4), clips=clips, last=last)
    assert 2 in refused


@pytest.mark.parametrize(
    "forged",
    [
        Played(1, "a", -1, 5),
        Played(1, "a", 5, 4),
        Played(1, "a", 3, 3),
        Played(1, "a", 0, 11),
        Played(1, "a", 0, math.inf),
        Played(1, "a", math.nan, 5),
        Played(1, "a", 0, 5, math.nan),
        Played(1, "a", 0, 5, 0.0),
        Played(1, "a", 0, 5, -1.0),
        Played(1, "a", 0, 5, 100.0),
        Played(1, "stranger", 0, 5),
    ],
    ids=str,
)
def test_forged_reports_are_refused_with_a_reason(forged: Played) -> None:
    clips, last, refused = after(1000, forged)
    assert clips == FETCHED and last == 1 and refused[1]


def test_what_was_not_sent_was_not_heard() -> None:
    half = sent(A, 0, 5, NOON), B
    clips, _, refused = after(1000, Played(1, "a", 0, 10), Played(2, "b", 0, 10), clips=half)
    assert heard_s(clips[0]) == pytest.approx(5) and refused == {2: "this clip was not fetched"}


def test_too_fast_is_not_heard_and_slow_is() -> None:
    clips, _, refused = after(30, Played(1, "a", 0, 10, 2.0), Played(2, "b", 0, 10, 0.5))
    assert not refused and heard_s(clips[0]) == 0 and heard_s(clips[1]) == pytest.approx(10)
    assert [clip.spent_s for clip in clips] == [5, 20]
    assert 3 in after(30, Played(3, "b", 0, 10, 0.25), clips=clips, last=2)[2]  # 40 s more


def test_a_report_sent_twice_counts_once() -> None:
    clips, last, _ = after(5, Played(7, "a", 0, 5))
    assert after(5, Played(7, "a", 0, 5), clips=clips, last=last) == (clips, 7, {})


def test_time_counts_from_the_view_and_from_the_first_byte() -> None:
    late = replace(A, fetched=((0, LONG),), fetched_at=NOON.timestamp() + 100)
    shown = NOON + timedelta(seconds=50)
    report = [Played(1, "a", 0, 10)]
    assert note([late], report, 0, shown, NOON + timedelta(seconds=105))[2]
    assert not note([late], report, 0, shown, NOON + timedelta(seconds=110))[2]
    early = replace(late, fetched_at=NOON.timestamp())
    assert note([early], report, 0, shown, NOON + timedelta(seconds=55))[2]
    assert not note([early], report, 0, shown, NOON + timedelta(seconds=60))[2]


_REPORTS = st.lists(
    st.builds(
        Played,
        st.integers(-5, 50),
        st.sampled_from(["a", "b", "c"]),
        st.floats(allow_nan=True),
        st.floats(-20, 20),
        st.sampled_from([1.0, 0.5, 2.0, 1e-9, -1.0]),
    ),
    max_size=20,
)


@given(_REPORTS, st.floats(-10, 60))
@settings(deadline=None, max_examples=200)
def test_no_reports_ever_beat_the_clock(reports: list[Played], seconds: float) -> None:
    clips, _, _ = after(seconds, *reports)
    total = sum(measure(clip.heard) for clip in clips)
    assert total <= max(0.0, seconds) + SLACK_S + 1e-6
    for clip in clips:
        assert all(0 <= a < b <= LONG for a, b in clip.heard)
