"""The four sides of round-step do the same work: as many tokens of the same model under the same lengths."""

from pathlib import Path

import pytest

from trivox.bench import round_step
from trivox.policy.backbone import Backbone


@pytest.mark.slow
def test_every_side_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small: a step of each, and the limits; lengths have a tail, for the end may come at any token."""
    sizes = {"WIDTH": 32, "LAYERS": 1, "HEADS": 2, "FEED_FORWARD": 32, "PROMPTS": 2, "SAMPLES": 2}
    for name, value in (sizes | {"LONGEST": 16, "PAIRS": 4, "PAIR_TOKENS": 32}).items():
        monkeypatch.setattr(round_step, name, value)
    folder = round_step.write_model(tmp_path / "model")
    for name in round_step.SIDES:
        round_step._side(name, folder, tmp_path)()
    round_step._rollout(folder)()
    round_step._update(folder)()
    requests = round_step._requests(Backbone.load(folder).tokens)
    assert len(requests) == 4 and len({tuple(one.prompt) for one in requests}) == 2
    assert len({one.seed for one in requests if one.prompt == requests[0].prompt}) == 2
