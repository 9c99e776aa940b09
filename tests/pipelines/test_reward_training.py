"""Rewards trained on planted preferences, reported on, and trained again from a workspace's own judgements."""

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM
from typer.testing import CliRunner

from tests.policy.conftest import lm_config, write_backbone
from trivox.cli import app
from trivox.pipelines.reward_training import ReportedReward, train_planted
from trivox.platform.errors import UsageError
from trivox.policy.vocabulary import TokenMap
from trivox.reward_models.bradley_terry.planted import Panel
from trivox.reward_models.bradley_terry.training import RewardSettings

RUNNER = CliRunner()


def backbone(folder: Path) -> Path:
    """The tiny backbone, its weights small enough that attention begins even."""
    write_backbone(folder)
    config = lm_config(TokenMap.load(folder))
    config.initializer_range = 0.05
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_planted_order_and_ceiling_are_found(tmp_path: Path) -> None:
    """About 2,000 planted preferences by five raters, whose ceiling leaves room: the held-out order is found to
    0.9 or more, and the report's ceiling within 2 points of the planted one."""
    panel = Panel(raters=5, noise=0.4, seed=0)
    settings = RewardSettings(learning_rate=0.003, epochs=4, calibration=0.1, test=0.1)
    made = train_planted(backbone(tmp_path / "b"), 2500, settings, tmp_path / "r", 0, panel)
    assert 1900 <= made.trained.splits.counts["train"] <= 2100
    assert made.facts["planted_order"] >= 0.9
    found = made.report.figures
    assert found is not None and found.overall.ceiling.accuracy is not None
    assert abs(found.overall.ceiling.accuracy - made.facts["planted_ceiling"]) <= 0.02
    assert found.calibration_error is not None and found.calibration_error < 0.1
    curve = {(one.judge, one.n): one.mean or 0.0 for one in made.report.searched}
    assert curve["planted worth", 256] > curve["planted worth", 1] + 1


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ReportedReward:
    root = tmp_path_factory.mktemp("small")
    settings = RewardSettings(epochs=1, lora_rank=4, lora_alpha=8, calibration=0.25, test=0.25)
    return train_planted(backbone(root / "b"), 80, settings, root / "r", 1)


def test_the_report_lies_beside_the_weights(small: ReportedReward) -> None:
    folder = small.trained.folder
    told = json.loads((folder / "report.json").read_text())
    assert told["weights_hash"] == small.trained.weights_hash
    assert told["report"]["figures"]["judges"] == "simulated"
    assert told["report"]["figures"]["judged_by_people"] is False
    assert {one["n"] for one in told["report"]["best_of"]} == {1, 4, 16, 64, 256}
    assert "SIMULATED" in (folder / "report.html").read_text()
    assert 0 <= told["planted_order_interval"][0] <= told["planted_order"] <= 1


def test_train_by_command(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        "epochs = 1\nlora_rank = 2\nlora_alpha = 4\ncalibration = 0.25\ntest = 0.25\n"
    )
    given = ["--planted", "80", "--recipe", str(recipe), "--model", str(backbone(tmp_path / "b"))]
    out = ["--out", str(tmp_path / "r")]
    ended = RUNNER.invoke(app, ["reward", "train", *given, *out, "--json"], catch_exceptions=False)
    assert ended.exit_code == 0 and ended.stdout.count("\n") == 1
    told = json.loads(ended.stdout)
    assert (
        told["folder"] == str(tmp_path / "r")
        and told["report"]["subject"]["family"] == "trivox-backbone"
    )
    again = RUNNER.invoke(app, ["reward", "train", *given, "--out", str(tmp_path / "s")])
    assert "report with plots" in again.stdout and "not people" in again.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["--planted", "80"], ["--set", "ps_1", "--planted", "80", "--out", "x"]]
)
def test_train_on_what(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="learn from what"):
        RUNNER.invoke(app, ["reward", "train", *arguments], catch_exceptions=False)
