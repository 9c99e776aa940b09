"""What a dataset holds, in figures: counted a batch at a time."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from trivox.pipelines.datasets.filters import Filters
from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.selection import Selection
from trivox.platform.records import (
    AnswerKind,
    Audio,
    JudgeKind,
    Judgement,
    PreferenceSet,
    Prompt,
    PromptSet,
    Rollout,
)
from trivox.platform.store import Workspace

SECONDS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0)
MARGINS = (0.5, 1.0, 1.5, 2.0, 2.5)


@dataclass
class Statistics:
    """Counters by name: category -> count. simulated judges are counted apart from people everywhere.

    seconds: of original recordings (not of derivatives); tokens: of completions.
    """

    counts: Counter[str] = field(default_factory=Counter)
    tables: dict[str, Counter[str]] = field(default_factory=dict)
    seconds: float = 0.0
    tokens: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def table(self, name: str) -> Counter[str]:
        return self.tables.setdefault(name, Counter())

    def note(self, part: str, records: list[Any]) -> None:
        self.counts[part] += len(records)
        for one in records:
            match one:
                case Prompt():
                    self.table("prompts by branch")[one.branch.value] += 1
                    self.table("prompts by language")["+".join(one.languages)] += 1
                case PromptSet():
                    self.table("items by split").update(item.split.value for item in one.items)
                case Audio():
                    self._audio(one)
                case Rollout():
                    self.table("rollouts by end")[one.finish_reason.value] += 1
                    self.tokens += len(one.tokens)
                case Judgement():
                    self._judgement(one)
                case PreferenceSet():
                    self._preferences(one)
                case _:
                    pass

    def _audio(self, one: Audio) -> None:
        self.table("audio by licence")[one.licence or "none stated"] += 1
        if one.derived_from is None:
            self.seconds += one.duration_s
            self.table("seconds of audio")[band(one.duration_s, SECONDS)] += 1

    def _judgement(self, one: Judgement) -> None:
        self.table("judgements by judge")[one.judge_kind.value] += 1
        if one.answer.kind in (AnswerKind.COMPARISON, AnswerKind.TIE, AnswerKind.ABSTENTION):
            answer = one.answer.comparison or one.answer.tie or "abstained"
            shown = f"{answer:+d}" if isinstance(answer, int) else str(answer)
            human = one.judge_kind is JudgeKind.HUMAN
            who = "people's answers" if human else f"answers, {one.judge_kind.value}"
            self.table(who)[shown] += 1

    def _preferences(self, one: PreferenceSet) -> None:
        self.counts["preferences"] += len(one.preferences)
        for pair in one.preferences:
            self.table("margin of preferences")[band(pair.margin, MARGINS)] += 1
        self.table("comparisons without preference").update(one.dropped)


def band(value: float, edges: tuple[float, ...]) -> str:
    """`2-3`: the band of a value between edges, the lower one included."""
    below = [edge for edge in edges if edge <= value]
    above = [edge for edge in edges if edge > value]
    low = f"{below[-1]:g}" if below else "0"
    return f"{low}-{above[0]:g}" if above else f"{low}+"


def statistics_of(ws: Workspace, filters: Filters | None = None) -> Statistics:
    """Of what the filters take. Raises NotFound for a set that is not there."""
    found = Statistics()
    with Members() as members:
        selection = Selection(ws, filters or Filters(), members)
        for part, records in selection.batches():
            found.note(part, records)
        found.left_out = {why: count for why, count in selection.left_out.items() if count}
    return found


def ordered(table: Counter[str]) -> list[tuple[str, int]]:
    """Bands and strengths by number, all else by count."""
    if all(_number(name) is not None for name in table):
        return sorted(table.items(), key=lambda pair: _number(pair[0]) or 0.0)
    return sorted(table.items(), key=lambda pair: (-pair[1], pair[0]))


def _number(name: str) -> float | None:
    head = name if name[:1] in "+-" else name.partition("-")[0]
    try:
        return float(head.rstrip("+"))
    except ValueError:
        return None
