"""What was really heard, as far as a server can know: what was sent, was played, and fits its clock.

A page reports stretches it played. None is believed beyond what the server itself knows: the bytes it sent under
this lease, when it sent the first of them, and how much time has passed since. The reports of one lease together
can never last longer than that, so that a forged listening takes as long as a real one.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from trivox.annotation.work.shapes import Heard, Played, Progress
from trivox.platform.records import ClipState

HEARD = 0.95
"""Share of a clip's unique audio that counts as heard to the end."""
SLACK_S = 0.25
"""How far reports may run ahead of the server's clock: timers of browsers and rounding."""
FASTEST = 4.0
SLOWEST = 0.25

Intervals = tuple[tuple[float, float], ...]


def union(intervals: Iterable[tuple[float, float]]) -> Intervals:
    """Disjoint rising intervals that cover the same: [(0, 2), (1, 3)] -> ((0, 3),)."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        elif start < end:
            merged.append((start, end))
    return tuple(merged)


def measure(intervals: Intervals) -> float:
    """Length of disjoint intervals."""
    return sum(end - start for start, end in intervals)


def intersection(one: Intervals, other: Intervals) -> Intervals:
    """What two unions share."""
    return union((max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) < min(b, d))


def sent(clip: ClipState, start_s: float, end_s: float, now: datetime) -> ClipState:
    """The clip after the server sent these seconds of it."""
    fetched = union([*clip.fetched, (max(0.0, start_s), min(end_s, clip.duration_s))])
    return replace(clip, fetched=fetched, fetched_at=clip.fetched_at or now.timestamp())


def heard_s(clip: ClipState) -> float:
    """Seconds of unique audio, both sent and played."""
    return measure(intersection(clip.heard, clip.fetched))


def progress_of(clips: Sequence[ClipState], refused: dict[int, str] | None = None) -> Progress:
    """How things stand for the clips that an answer waits for."""
    heard = tuple(_heard(clip) for clip in clips if clip.must_hear)
    return Progress(heard, all(one.enough for one in heard), refused or {})


def _heard(clip: ClipState) -> Heard:
    seconds, needed = heard_s(clip), HEARD * clip.duration_s
    # Sums of floats: a clip heard to its last sample must not miss by one rounding.
    return Heard(clip.key, seconds, needed, seconds >= needed - 1e-6)


def note(
    clips: Sequence[ClipState],
    reports: Iterable[Played],
    last: int,
    shown_at: datetime,
    now: datetime,
) -> tuple[tuple[ClipState, ...], int, dict[int, str]]:
    """The clips after the reports, the number of the last report, and those refused: number -> why.

    last: number of the last report noted before; reports up to it are repeats and change nothing.
    shown_at: when the question was shown: what was fetched ahead was not heard before.
    """
    states = {clip.key: clip for clip in clips}
    refused: dict[int, str] = {}
    for report in sorted(reports, key=lambda one: one.number):
        if report.number <= last:
            continue
        last = report.number
        problem = _problem(report, states, shown_at, now)
        if problem:
            refused[report.number] = problem
        else:
            states[report.audio_id] = _played(states[report.audio_id], report)
    return tuple(states[clip.key] for clip in clips), last, refused


def _problem(
    report: Played, states: dict[str, ClipState], shown_at: datetime, now: datetime
) -> str | None:
    clip = states.get(report.audio_id)
    if clip is None:
        return "no such clip under this lease"
    if not all(map(math.isfinite, (report.start_s, report.end_s, report.rate))):
        return "times and speed are finite numbers"
    if not SLOWEST <= report.rate <= FASTEST:
        return f"speed {report.rate:g} is outside {SLOWEST:g} to {FASTEST:g}"
    if not 0 <= report.start_s < report.end_s <= clip.duration_s + SLACK_S:
        return (
            f"{report.start_s:g}..{report.end_s:g} s is not within the clip's {clip.duration_s:g} s"
        )
    if clip.fetched_at is None:
        return "this clip was not fetched"
    return _too_fast(report, clip, states, shown_at, now)


def _too_fast(
    report: Played,
    clip: ClipState,
    states: dict[str, ClipState],
    shown_at: datetime,
    now: datetime,
) -> str | None:
    cost = _cost(report)
    begun = [state.fetched_at for state in states.values() if state.fetched_at is not None]
    together = sum(state.spent_s for state in states.values())
    assert clip.fetched_at is not None
    for spent, since in ((together, min(begun)), (clip.spent_s, clip.fetched_at)):
        passed = now.timestamp() - max(since, shown_at.timestamp())
        if spent + cost > passed + SLACK_S:
            return f"{spent + cost:.2f} s of playing in {passed:.2f} s of time"
    return None


def _cost(report: Played) -> float:
    return (report.end_s - report.start_s) / report.rate


def _played(clip: ClipState, report: Played) -> ClipState:
    spent = clip.spent_s + _cost(report)
    if report.rate > 1.0 + 1e-9:  # heard too fast is not heard, but took its time
        return replace(clip, spent_s=spent)
    stretch = (report.start_s, min(report.end_s, clip.duration_s))
    return replace(clip, spent_s=spent, heard=union([*clip.heard, stretch]))
