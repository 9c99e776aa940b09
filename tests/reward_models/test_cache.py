"""The cache of scores: what counts for the key, what is kept, and that a broken file costs only time."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trivox.platform.records import Direction, FinishReason, Persona, Turn
from trivox.platform.scoring import Clip, FailureKind, Item, ScorerInfo, Value, failed
from trivox.reward_models.cache import CachedScorer, ScoreFile, score_key

SOUND = np.arange(10, dtype=np.float32)
ITEM = Item("r1", SOUND, 16_000, "hello", "en", prompt="p1")


class Counting:
    """Length of the text, and how often it was asked; fails on the text "bad"."""

    def __init__(self, version: str = "1") -> None:
        self.info = ScorerInfo("c", version, "0" * 64, "f", "length", "n", Direction.HIGHER)
        self.asked = 0

    def score(self, items: Sequence[Item]) -> list[Value]:
        self.asked += len(items)
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> Value:
        if item.text == "bad":
            return failed(FailureKind.NO_TEXT, f"rollout {item.rollout} is bad")
        return Value(len(item.text or "") / 3, uncertainty=0.1, evidence=item.text)


def test_a_hit_is_the_same_value_and_asks_nobody(tmp_path: Path) -> None:
    inner = Counting()
    scorer = CachedScorer(inner, ScoreFile(tmp_path / "s.sqlite"))
    first = scorer.score([ITEM, replace(ITEM, text="你好")])
    again = CachedScorer(inner, ScoreFile(tmp_path / "s.sqlite")).score(
        [replace(ITEM, text="你好"), replace(ITEM, rollout="r2", prompt="p2")]
    )
    assert again == first[::-1] and inner.asked == 2


CHANGES = [
    {"samples": SOUND + 1},
    {"samples": SOUND.reshape(5, 2)},
    {"samples": None},
    {"rate": 8_000},
    {"text": "hello!"},
    {"text": None},
    {"language": "de"},
    {"hypothesis": "x"},
    {"finish_reason": FinishReason.END},
    {"scope": "turn:1"},
    {"reference": Clip(SOUND, 16_000)},
    {"voice": Clip(SOUND, 16_000)},
    {"reference_text": "x"},
    {"instruction": "slow"},
    {"directives": ((0, 5, "slow"),)},
    {"history": (Turn("user", "x"),)},
    {"persona": Persona("", "", "x", 1, "x")},
    {"persona": Persona("", "", "x", 1, "x", {"opening": "aye"})},
]


def test_every_part_of_the_content_and_the_scorer_counts() -> None:
    info = Counting().info
    keys = {score_key(info, replace(ITEM, **change)) for change in CHANGES}  # type: ignore[arg-type]
    others = {
        score_key(replace(info, **{name: "x"}), ITEM)
        for name in ("name", "version", "weights_hash")
    }
    assert len(keys | others | {score_key(info, ITEM)}) == len(CHANGES) + 4


def test_failures_are_tried_again_and_name_their_own_rollout(tmp_path: Path) -> None:
    inner = Counting()
    scorer = CachedScorer(inner, ScoreFile(tmp_path / "s.sqlite"))
    bad = [replace(ITEM, text="bad", rollout=name) for name in ("r1", "r2")]
    for _ in range(2):
        found = [one.failure.message for one in scorer.score(bad) if one.failure]
        assert found == ["rollout r1 is bad", "rollout r2 is bad"]
    assert inner.asked == 4


def test_another_version_is_asked_anew(tmp_path: Path) -> None:
    file, new = ScoreFile(tmp_path / "s.sqlite"), Counting("2")
    CachedScorer(Counting(), file).score([ITEM])
    CachedScorer(new, file).score([ITEM])
    assert new.asked == 1


def test_a_broken_file_costs_only_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "s.sqlite").write_bytes(b"this is no database, whatever its name says" * 50)
    with caplog.at_level(logging.WARNING):
        [found] = CachedScorer(Counting(), ScoreFile(tmp_path / "s.sqlite")).score([ITEM])
    assert found.value == pytest.approx(5 / 3) and "scores are not kept" in caplog.text


def test_more_keys_than_one_question_holds(tmp_path: Path) -> None:
    file = ScoreFile(tmp_path / "s.sqlite")
    file.put({f"k{index}": Value(float(index)) for index in range(1201)})
    found = file.get([f"k{index}" for index in range(1300)])
    assert len(found) == 1201 and found["k1200"] == Value(1200.0)
