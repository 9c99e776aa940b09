"""From prompt sets to a candidate: what is registered, refused and left out, and what the command prints."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.pipelines.training.conftest import (
    Record,
    asr_prompt_of,
    realtime_prompt_of,
    set_of,
    tts_prompt_of,
)
from trivox.cli import app
from trivox.pipelines.training import service
from trivox.pipelines.training.recipe import TrainingRecipe
from trivox.pipelines.training.service import train_policy
from trivox.platform.config import load_toml, validated
from trivox.platform.errors import ConfigError, NotFound, UsageError
from trivox.platform.hashing import sha256_file
from trivox.platform.records import Branch, Decision, PolicyStatus, PolicyVersion, Split
from trivox.platform.registry import lineage, resolve
from trivox.platform.store import Workspace
from trivox.policy.resident import ADAPTER_WEIGHTS, ResidentPolicy
from trivox.policy.trainers.sft import SFTSettings

TRAIN = SFTSettings(epochs=2, batch_tokens=200, lora_rank=2, lora_alpha=4, learning_rate=0.01)


def recipe_of(data: dict[str, float], **changes: Any) -> TrainingRecipe:
    return TrainingRecipe(**{"data": data, "parent": "tiny", "train": TRAIN} | changes)


@pytest.fixture
def sets(ws: Workspace, record: Record) -> Workspace:
    """Three prompts each, and a recording in the test split that must not be trained on."""
    set_of(ws, "calls", [asr_prompt_of(record(300 + i)) for i in range(3)])
    set_of(ws, "voices", [tts_prompt_of(record(400 + i)) for i in range(3)])
    set_of(ws, "talks", [realtime_prompt_of(record(300), record(500 + i)) for i in range(3)])
    set_of(ws, "held", [asr_prompt_of(record(900))], Split.TEST)
    return ws


def test_a_candidate_with_its_lineage(sets: Workspace) -> None:
    made = train_policy(sets, recipe_of({"calls": 1.0}), "tiny-calls")
    policy = resolve(sets, "tiny-calls")
    assert (policy.branch, policy.status) == (Branch.ASR, PolicyStatus.CANDIDATE)
    assert policy.parents == {"po_tiny": 1.0} and policy.backbone == "po_tiny"
    assert [one.name for one in lineage(sets, policy)] == ["tiny-calls", "tiny"]
    folder = sets.root / policy.artefact
    assert policy.artefact_hash == sha256_file(folder / ADAPTER_WEIGHTS) == made["artefact_hash"]
    (decision,) = sets.records.find(Decision, subject=policy.id)
    assert decision.kind == "training"
    assert decision.evidence["prompt_sets"].keys() == {resolve_set(sets, "calls")}
    assert decision.evidence["recipe"]["seed"] == 0
    assert made["rows"] == {"asr": 3} and made["left_out"] == []
    assert made["metrics"][-1]["asr/loss"] < made["metrics"][0]["asr/loss"]
    resident = ResidentPolicy(sets.root / "tiny")
    with resident.using(folder) as speaker:
        assert speaker.engine is not None
    assert not folder.with_suffix(".partial").exists()


def resolve_set(ws: Workspace, name: str) -> str:
    from trivox.pipelines.rounds.finding import find_prompt_set

    return find_prompt_set(ws, name).id


def test_the_same_recipe_is_the_same_version(
    sets: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train_policy(sets, recipe_of({"calls": 1.0}), "one")
    monkeypatch.setattr(service, "train_sft", None)
    again = train_policy(sets, recipe_of({"calls@1": 1.0}), "one")
    assert again == first
    with pytest.raises(UsageError, match="has the name 'one': choose another"):
        train_policy(sets, recipe_of({"voices": 1.0}), "one")


def test_a_mixture_with_weights(sets: Workspace) -> None:
    """Sets and branches weigh together: asr 2 x 1.5 x 2 epochs of 3 rows is 18 rows of 5 covered tokens. Words
    were placed by their letters, which is said."""
    settings = TRAIN.model_copy(update={"branch_weights": {Branch.ASR: 1.5, Branch.REALTIME: 0.0}})
    recipe = recipe_of({"calls": 2.0, "voices": 1.0, "talks": 1.0}, train=settings)
    made = train_policy(sets, recipe, "both")
    assert made["rows"] == {"asr": 3, "tts": 3}
    assert resolve(sets, "both").branch is None
    assert sum(one.get("asr/tokens", 0) for one in made["metrics"]) == 18 * 5
    assert made["aligner"] == "letters in proportion" and made["approximate_alignments"] == 3


def test_an_adapter_is_trained_further(sets: Workspace) -> None:
    train_policy(sets, recipe_of({"calls": 1.0}), "one")
    made = train_policy(sets, recipe_of({"calls": 1.0}, parent="one", seed=4), "two")
    assert made["branch"] == "asr"
    assert [one.name for one in lineage(sets, resolve(sets, "two"))] == ["two", "one", "tiny"]
    mixed = train_policy(sets, recipe_of({"voices": 1.0}, parent="one"), "three")
    assert mixed["branch"] is None


def test_all_weights(sets: Workspace) -> None:
    """The candidate is a backbone of its own, on which can be trained again."""
    full = TRAIN.model_copy(update={"lora_rank": 0, "learning_rate": 0.001})
    train_policy(sets, recipe_of({"calls": 1.0}, train=full), "whole")
    policy = resolve(sets, "whole")
    assert policy.backbone is None and policy.branch is None
    made = train_policy(sets, recipe_of({"talks": 1.0}, parent="whole"), "on-top")
    assert made["backbone"] == policy.id
    with pytest.raises(ConfigError, match="on-top is an adapter and all weights"):
        train_policy(sets, recipe_of({"calls": 1.0}, parent="on-top", train=full), "wrong")


def test_a_run_that_was_stopped_goes_on(sets: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TRAIN.model_copy(update={"checkpoint_every": 2, "epochs": 6, "batch_tokens": 30})
    original, calls = service.train_sft, list[list[int]]()

    def watched(*arguments: Any) -> Any:
        seen = list[int]()
        calls.append(seen)

        def on_step(done: int, total: int) -> None:
            seen.append(done)
            if len(calls) == 1 and done == 5:
                raise KeyboardInterrupt

        return original(*arguments[:6], on_step, *arguments[7:])

    monkeypatch.setattr(service, "train_sft", watched)
    recipe = recipe_of({"calls": 1.0}, train=settings)
    with pytest.raises(KeyboardInterrupt):
        train_policy(sets, recipe, "one")
    assert not sets.records.find(PolicyVersion, name="one")
    train_policy(sets, recipe, "one")
    assert calls[1][0] == 5 and calls[1][-1] > 5


def test_rows_that_cannot_be_used(sets: Workspace, record: Record) -> None:
    """Refused as a whole, or left out and listed; a set in which nothing can be used is refused either way."""
    bad = asr_prompt_of(record(800), "nr 4")
    long = asr_prompt_of(record(801, 12.0))
    set_of(sets, "some", [asr_prompt_of(record(802)), bad, long])
    with pytest.raises(ConfigError, match=rf"2 of 3 .* {bad.id} of some@1: '4' .* \"exclude\""):
        train_policy(sets, recipe_of({"some": 1.0}), "one")
    made = train_policy(sets, recipe_of({"some": 1.0}, on_unusable="exclude"), "one")
    assert made["rows"] == {"asr": 1}
    assert [(one["prompt"], one["set"]) for one in made["left_out"]] == [
        (bad.id, "some@1"),
        (long.id, "some@1"),
    ]
    assert "context is 128" in made["left_out"][1]["reason"]
    set_of(sets, "none", [bad])
    with pytest.raises(ConfigError, match="1 of 1 prompts"):
        train_policy(sets, recipe_of({"none": 1.0}, on_unusable="exclude"), "two")


def test_refused_before_a_model_is_loaded(sets: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "Backbone", None)
    with pytest.raises(NotFound, match="'nowhere' is not in this workspace"):
        train_policy(sets, recipe_of({"nowhere": 1.0}), "one")
    with pytest.raises(NotFound, match="no policy 'nobody'"):
        train_policy(sets, recipe_of({"calls": 1.0}, parent="nobody"), "one")
    with pytest.raises(ConfigError, match="calls@1 is named 2 times"):
        train_policy(sets, recipe_of({"calls": 1.0, "calls@1": 2.0}), "one")
    with pytest.raises(UsageError, match="has the name 'tiny'"):
        train_policy(sets, recipe_of({"calls": 1.0}), "tiny")


def test_nothing_to_train_on(sets: Workspace) -> None:
    """The test split is not trained on, nor is what weighs nothing."""
    for data in ({"held": 1.0}, {"calls": 0.0}):
        with pytest.raises(ConfigError, match="no prompt of their training splits"):
            train_policy(sets, recipe_of(data), "one")


def test_recipes(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        'parent = "tiny"\nseed = 3\n[data]\ncalls = 1\n"voices@2" = 0.5\n'
        "[train]\nlora_rank = 4\n[train.branch_weights]\ntts = 2\n"
    )
    read = load_toml(path, TrainingRecipe)
    assert read.data == {"calls": 1.0, "voices@2": 0.5}
    assert read.train.branch_weights == {Branch.TTS: 2.0}
    wrong: Sequence[tuple[dict[str, Any], str]] = (
        ({"data": {"a": 1}, "sede": 1}, "sede.*known keys: data, parent, seed"),
        ({"data": {"a": 1}, "train": {"lr": 1}}, "train.lr.*known keys: learning_rate, epochs"),
        ({"data": {"a": -1}}, "data.a.*greater than or equal to 0"),
        ({"data": {}}, "data.*at least 1"),
        ({"data": {"a": float("inf")}}, "finite"),
    )
    for raw, message in wrong:
        with pytest.raises(ConfigError, match=message):
            validated(raw, TrainingRecipe, "recipe")


def run(ws: Workspace, *arguments: str) -> Any:
    return CliRunner().invoke(
        app, ["policy", "train", *arguments, "--workspace", str(ws.root)], catch_exceptions=True
    )


def test_the_command(sets: Workspace, tmp_path: Path) -> None:
    """Options override the recipe; --json is one object; the tables name what a person wants to know."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('parent = "tiny"\n[data]\nvoices = 1\n[train]\nlora_rank = 2\nepochs = 9\n')
    options = ("--recipe", str(recipe), "--name", "one", "--data", "calls=2", "--data", "talks")
    shown = run(sets, *options, "--branch", "asr", "--epochs", "2", "--seed", "5", "--json")
    assert shown.exit_code == 0, shown.output
    made = json.loads(shown.stdout)
    assert made["rows"] == {"asr": 3}
    assert made["recipe"]["data"] == {"calls": 2.0, "talks": 1.0}
    assert (made["recipe"]["seed"], made["recipe"]["train"]["epochs"]) == (5, 2)
    again = run(sets, *options, "--branch", "asr", "--epochs", "2", "--seed", "5")
    assert again.stdout.startswith("one (candidate), ")
    assert "asr/loss" in again.stdout and made["artefact"] in again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "calls=much"), "weight 'much' is no number"),
        (("--data", "calls", "--branch", "sing"), "choose from asr, tts, realtime"),
        (("--data", "calls", "--algorithm", "ppo"), "--data is nothing that ppo knows"),
        ((), "nothing to train on"),
    ],
)
def test_wrong_options(arguments: tuple[str, ...], message: str, sets: Workspace) -> None:
    refused = run(sets, "--name", "one", *arguments)
    assert refused.exit_code != 0
    assert message in str(refused.exception)
