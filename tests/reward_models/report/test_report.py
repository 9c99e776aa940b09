"""Scores to judged pairs, and the report as JSON and as a page."""

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.reward_models.report.conftest import judged
from trivox.platform.errors import UsageError
from trivox.platform.records import Branch, Direction, JudgeKind
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.reward_models.adversarial.battery import BatteryReport, ProbeResult
from trivox.reward_models.report.best_of import Candidate, best_of
from trivox.reward_models.report.figures import figures
from trivox.reward_models.report.report import RewardReport, notes, write_html
from trivox.reward_models.report.scored import JudgedItems, preference, score_pairs

INFO = ScorerInfo("mine", "1", "0" * 64, "own", "preference", "logits", Direction.HIGHER)


class Loud:
    """The mean level as a score; silence fails."""

    def __init__(self, direction: Direction = Direction.HIGHER, unit: str = "logits") -> None:
        self.info = ScorerInfo("loud", "1", "0" * 64, "own", "level", unit, direction)

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> Value:
        level = 0.0 if item.samples is None else float(np.abs(item.samples).mean())
        return Value(level) if level else failed(FailureKind.SILENT_AUDIO, "silence")


def item(level: float, seconds: float = 0.5, text: str = "hello") -> Item:
    rng = np.random.default_rng(0)
    samples = (level * rng.normal(size=round(16_000 * seconds))).astype(np.float32)
    return Item("r", samples, 16_000, text, "en")


def compared(first: Item, second: Item, *votes: int) -> JudgedItems:
    by = {f"r{n}": vote for n, vote in enumerate(votes)}
    return JudgedItems("c", "p", Branch.TTS, "round", JudgeKind.HUMAN, by, (first, second))


def test_pairs_of_a_scorer() -> None:
    """A difference d in logits prefers the first with 1 / (1 + e^-d); where less is better, the other way."""
    pair = compared(item(0.2), item(0.1, seconds=1.0, text="hello you"), 1, 2)
    [found] = score_pairs(Loud(), [pair])
    assert found.difference is not None and found.difference > 0
    assert found.probability == pytest.approx(1 / (1 + np.exp(-found.difference)))
    assert found.texts == ("hello", "hello you") and found.expressive is False
    sizes = found.sizes or {}
    assert sizes["duration (s)"] == (0.5, 1.0) and sizes["length (letters)"] == (5.0, 9.0)
    assert sizes["loudness (LUFS)"][0] - sizes["loudness (LUFS)"][1] == pytest.approx(6.0, abs=0.5)
    [lower] = score_pairs(Loud(Direction.LOWER, "error rate"), [pair])
    assert lower.difference == -found.difference and lower.probability is None


def test_a_failure_stays_one() -> None:
    [found] = score_pairs(Loud(), [compared(item(0.2), item(0.0), 1)])
    assert found.difference is None and found.failure == "silent_audio" and found.credit is None


def test_a_measure_prefers_nothing() -> None:
    with pytest.raises(UsageError, match="measures and does not prefer"):
        score_pairs(Loud(Direction.NEITHER), [compared(item(0.2), item(0.1), 1)])


def test_probabilities_add_up() -> None:
    assert preference(0.0) == 0.5 and preference(9e9) == 1.0 and preference(-9e9) < 1e-300
    assert preference(1.3) + preference(-1.3) == pytest.approx(1)


def report() -> RewardReport:
    pairs = [
        judged(f"p{n}", [1, 2, -1][: 1 + n % 3], 0.5 - 0.1 * n, probability=0.9 - 0.08 * n,
               sizes={"duration (s)": (1.0 + n, 2.0)}, texts=("<b>a", "b"))
        for n in range(9)
    ]  # fmt: skip
    probe = ProbeResult("clicks", True, 2, 1, 0, 0.9, 0.95, "x")
    battery = BatteryReport("mine", Branch.TTS, 3, "synthetic", 0.2, 2, (), (probe,))
    families = {"reward": "own", "mos": "dnsmos"}
    searched = best_of([Candidate("p", float(r), {"mos": -float(r)}) for r in range(16)], families)
    return RewardReport(
        INFO, 3, {"raters": "<script>"}, figures(pairs), tuple(searched), battery, families
    )


def test_json_tells_everything() -> None:
    told = json.loads(json.dumps(report().to_json()))
    assert told["adversarial_failures"] == 1 and told["battery"]["fooled_by"] == ["clicks"]
    assert told["figures"]["judged_by_people"] is False
    assert told["figures"]["overall"]["ceiling"]["accuracy"] is not None
    said = " ".join(told["notes"])
    assert "SIMULATED, not people" in said and "got through: clicks" in said
    assert "Best of 64, 256: no prompt has as many candidates" in said


def test_what_is_not_known_is_said() -> None:
    said = " ".join(notes(RewardReport(INFO, 0, {}, None)))
    assert "No judged pairs" in said and "No attacks" in said and "not measured" in said


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.labels: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "svg":
            self.labels.append(dict(attrs)["aria-label"] or "")


def test_the_page_is_one_file_with_plots_and_without_scripts(tmp_path: Path) -> None:
    write_html(report(), tmp_path / "deep" / "report.html")
    text = (tmp_path / "deep" / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert "script" not in page.tags and "&lt;script&gt;" in text and "link" not in page.tags
    starts = [label.split(":")[0] for label in page.labels]
    assert starts == ["accuracy by subset; the same figures stand beside each line", "Reliability",
                      "Abstention", "Best of n", "Best of n"]  # fmt: skip
    assert "prefers-color-scheme: dark" in text and "nan" not in text and "inf," not in text
    assert "clicks ✗" in text


def test_a_page_of_attacks_alone(tmp_path: Path) -> None:
    write_html(RewardReport(INFO, 0, {}, None), tmp_path / "r.html")
    assert "No attacks were made" in (tmp_path / "r.html").read_text()
