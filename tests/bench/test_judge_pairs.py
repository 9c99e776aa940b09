"""The sides of judge-pairs: the same verdicts with and without the reuse, and as many tokens as are named."""

import pytest

from trivox.bench import judge_pairs
from trivox.reward_models.generative.templates import load_template


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"WIDTH": 48, "LAYERS": 1, "FEED_FORWARD": 32, "RUBRIC": 24, "PAIRS": 2}
    for name, value in sizes.items():
        monkeypatch.setattr(judge_pairs, name, value)


def test_the_reuse_changes_no_verdict() -> None:
    model, template, views = judge_pairs._model(), load_template("scale@1"), judge_pairs._views(2)
    kept, cold = judge_pairs._judge(model, 8), judge_pairs._judge(model, 8, reuse=False)
    change, verdicts = judge_pairs._change(kept, cold, views, template)
    assert change < judge_pairs.EPSILON and verdicts == 0
    encoded = kept.encoder.encode(views[0], template, False)
    assert len(views) == 4 and (len(encoded.shared), len(encoded.own)) == (24, 8)  # type: ignore[union-attr]


def test_another_rubric_is_another_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check would see it: a judge that reads half of the rubric believes something else."""
    model, template, views = judge_pairs._model(), load_template("scale@1"), judge_pairs._views(2)
    whole = judge_pairs._judge(model, 8)
    monkeypatch.setattr(judge_pairs, "RUBRIC", 12)
    half = judge_pairs._judge(model, 8)
    assert judge_pairs._change(whole, half, views, template)[0] > judge_pairs.EPSILON
