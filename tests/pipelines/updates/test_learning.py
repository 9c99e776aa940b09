"""`make learn`: seeds pooled by hand, noise by hand, and one branch from nothing to its summary."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trivox.pipelines.updates.learning.__main__ import main
from trivox.pipelines.updates.learning.data import extreme_pairs, noisy, texts
from trivox.pipelines.updates.learning.report import pooled, summary, wins
from trivox.platform.records import Split


def run_of(branch: str, seed: int, rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"branch": branch, "seed": seed, "rows": rows, "training_s": 100.0, "kl": 0.01} | more


def test_seeds_are_pooled_by_prompt() -> None:
    """Two seeds answer prompts a and b: changes -.2, -.1 and -.2, -.1, so -.15 in the mean; resampling whole
    prompts gives all a's or all b's a quarter of the time each, so the interval is from -.2 to -.1. .3 -> .15 is
    down by half. What failed counts nowhere."""
    rows = [
        {"prompt": "a", "transcript-errors_before": 0.4, "transcript-errors_after": 0.2},
        {"prompt": "b", "transcript-errors_before": 0.2, "transcript-errors_after": 0.1},
        {"prompt": "c", "transcript-errors_before": None, "transcript-errors_after": 0.1},
    ]
    runs = [run_of("asr", seed, {"hard": rows, "clean": rows[:2]}) for seed in (0, 1)]
    found = pooled(runs, "hard", "transcript-errors")
    assert found["n"] == 4 and found["change"] == pytest.approx(-0.15)
    assert (found["low"], found["high"]) == (pytest.approx(-0.2), pytest.approx(-0.1))
    told = summary(runs)["asr"]
    assert told["relative"] == pytest.approx(-0.5) and told["seeds"] == [0, 1]
    assert all(told["met"].values()) and told["within_15_minutes"]


def test_wins_by_prompt() -> None:
    """Three of four decisive prompts are won by each of two seeds, and one is a tie: 6 of 8, of 200 that are
    asked."""
    verdicts = ("win", "win", "win", "loss", "tie")
    rows = [{"prompt": str(n), "verdict": one} for n, one in enumerate(verdicts)]
    runs = [run_of("tts", seed, {"held-out": rows}) for seed in (0, 1)]
    found = wins(runs, "held-out")
    assert found["rate"] == 0.75 and found["decisive"] == 8
    assert not summary(runs)["tts"]["met"]["at_least_200_decisive"]


def test_noise_lies_where_it_is_asked_to() -> None:
    """10 dB below speech of RMS .1: the added noise has an RMS of .1 / 10 ** .5 = .0316."""
    wave = (0.1 * np.sqrt(2) * np.sin(np.arange(16_000) / 5)).astype(np.float32)
    mixed = noisy(wave, 10.0, np.random.default_rng(0))
    assert np.sqrt(np.mean((mixed - wave) ** 2)) == pytest.approx(0.0316, rel=0.02)
    assert noisy(wave, None, np.random.default_rng(0)) is wave


def test_splits_share_no_request() -> None:
    found = {split: texts(split, 20, 0) for split in Split}
    assert all(len(set(one)) == 20 for one in found.values())
    assert not set(found[Split.TRAIN]) & set(found[Split.TEST])


def test_the_best_two_are_preferred_to_the_worst_two() -> None:
    """Totals .9, .6, .55, .2 and one that failed: .9 and .6 before .55 and .2, but .6 is too close to .55. Margins
    are 1 + 4 x the distance, 3 at most: .35, .7 and .4 apart. Equal tokens are no pair."""
    totals = {"a": 0.9, "b": 0.6, "c": 0.55, "d": 0.2, "e": None}
    takes: Any = [SimpleNamespace(id=n, prompt="p", tokens=(i,)) for i, n in enumerate(totals)]
    found, dropped = extreme_pairs(takes, totals, least=0.1)
    pairs = {(one.chosen, one.rejected): one.margin for one in found}
    assert pairs == {
        ("a", "c"): pytest.approx(2.4),
        ("a", "d"): pytest.approx(3.0),
        ("b", "d"): pytest.approx(2.6),
    }
    assert dropped == {"too close": 1, "the same": 0}
    same: Any = [SimpleNamespace(id=n, prompt="p", tokens=(1,)) for n in totals]
    assert extreme_pairs(same, totals, least=0.1) == ([], {"too close": 0, "the same": 4})


@pytest.mark.slow
def test_one_branch_from_nothing_to_its_summary(tmp_path: Path) -> None:
    """Of two steps: no target is met, all figures are there; asked again, nothing is trained again: the seconds
    that it took are those of the first time."""
    given = ["--branch", "realtime", "--seed", "0", "--tiny"]
    given += ["--workspace", str(tmp_path / "ws"), "--out", str(tmp_path / "out")]
    assert main(given) == 0
    file = tmp_path / "out" / "realtime-0.json"
    made = json.loads(file.read_text())
    assert made["tiny"] and made["steps"] == 2
    told = json.loads((tmp_path / "out" / "summary.json").read_text())["realtime"]
    assert told["heard"]["n"] > 0 and told["kl"] < told["kl_bound"]
    before = file.read_bytes()
    assert main(given) == 0 and file.read_bytes() == before
