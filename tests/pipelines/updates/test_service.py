"""From rewards and preferences to a candidate: what is registered, watched, stopped, refused and gone on with."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from tests.pipelines.training.conftest import Record, set_of, tts_prompt_of
from tests.pipelines.updates.conftest import PPO, RL, UNBOUNDED, Prefer, grpo_recipe, ppo_recipe
from trivox.cli import app
from trivox.pipelines.updates import service
from trivox.pipelines.updates.recipe import UpdateRecipe
from trivox.pipelines.updates.rewards import CompositionReward
from trivox.pipelines.updates.samples import said_by
from trivox.pipelines.updates.service import dry_run, update
from trivox.pipelines.updates.stops import stop_of
from trivox.platform.errors import ConfigError, NotFound, UsageError
from trivox.platform.records import Branch, Decision, PolicyStatus, PolicyVersion, Split
from trivox.platform.registry import lineage, resolve
from trivox.platform.store import Workspace
from trivox.platform.store.metrics import Metrics
from trivox.policy.backbone import backbone_hash
from trivox.policy.resident import ADAPTER_WEIGHTS, ResidentPolicy
from trivox.policy.trainers.rl.sources import Reward
from trivox.policy.trainers.rl.watchers import Stop, WatcherStop

DPO: dict[str, Any] = {"epochs": 2, "batch_size": 2, "lora_rank": 2, "learning_rate": 0.01}


def dpo_recipe(sets: list[str], **changes: Any) -> UpdateRecipe:
    fields = {"algorithm": "dpo", "branch": "tts", "parent": "tiny", "preferences": sets}
    return UpdateRecipe.model_validate(fields | {"dpo": DPO} | changes)


def test_asr_learns_from_its_error_rate(calls: Workspace) -> None:
    """A candidate with its lineage, its reward's parts and what was held out, step by step in the store."""
    made = update(calls, grpo_recipe(), "hears")
    policy = resolve(calls, "hears")
    assert (policy.branch, policy.status) == (Branch.ASR, PolicyStatus.CANDIDATE)
    assert [one.name for one in lineage(calls, policy)] == ["hears", "tiny"]
    assert made["steps"] == 2 and made["composition"]["name"] == "asr"
    kept = Metrics.of(calls).read(policy.id)
    assert [one["step"] for one in kept] == [0.0, 1.0]
    said = said_by(calls, "hears", 0)
    assert len(said) == kept[0]["episodes"] and [one.sample.staleness for one in said] == [0] * len(
        said
    )
    rewards = [one.reward for one in said if one.reward is not None]
    assert rewards == sorted(rewards) and np.mean(rewards) == pytest.approx(kept[0]["reward"])
    assert len(said[0].sample.logprobs[0]) == len(said[0].sample.tokens[0]) > 0
    seen = {"reward", "kl", "reward/end", "held_out/transcript-errors", "gap"}
    assert seen <= kept[1].keys()
    (decision,) = calls.records.find(Decision, subject=policy.id)
    assert decision.actor == "trainer:grpo@1"
    assert decision.evidence["recipe"]["grpo"]["samples"] == 2
    with ResidentPolicy(calls.root / "tiny").using(calls.root / policy.artefact) as speaker:
        assert speaker.engine is not None
    again = update(calls, grpo_recipe(telemetry={"tensorboard": None}), "hears")
    assert again == made


def test_all_weights_make_a_backbone(calls: Workspace, prefer: Prefer) -> None:
    """By rewards and by preferences: a version of no branch that stands on no other, and can be started from; an
    adapter has no place to start from for it."""
    made = update(calls, grpo_recipe(grpo=RL | {"lora_rank": 0}), "whole")
    policy = resolve(calls, "whole")
    assert (policy.branch, policy.backbone, made["branch"]) == (None, None, None)
    assert made["recipe"]["branch"] == "asr"
    assert [one.name for one in lineage(calls, policy)] == ["whole", "tiny"]
    assert policy.artefact_hash == backbone_hash(calls.root / policy.artefact)
    settings = {"dpo": DPO | {"lora_rank": 0}, "parent": "whole"}
    spoken = update(calls, dpo_recipe([prefer("set").id], **settings), "whole-2")
    assert spoken["branch"] is None and resolve(calls, "whole-2").parents == {policy.id: 1.0}
    update(calls, grpo_recipe(), "adapter")
    refused = grpo_recipe(parent="adapter", grpo=RL | {"lora_rank": 0})
    with pytest.raises(ConfigError, match="policy adapter is an adapter and all weights"):
        dry_run(calls, refused, "never")


def test_realtime_learns_over_turns(ws: Workspace, tmp_path: Path) -> None:
    """Two turns an episode, each rewarded by a composition and the rubric; the candidate is one of realtime."""
    reward = tmp_path / "level.toml"
    reward.write_text(
        'name = "level"\nbranch = "realtime"\ncombine = "mean"\n[[component]]\nscorer = "level"\n'
        'clip = [0.0, 1.0]\nmissing = ["silent_audio", "short_audio", "no_audio", "unmeasured"]\n'
        'normalise = { by = "target", target = -20.0, tolerance = 60.0 }\n'
    )
    recipe = ppo_recipe(reward={"composition": str(reward)}, ppo=PPO | {"max_tokens": 60})
    made = update(ws, recipe, "talks")
    assert made["branch"] == "realtime" and made["composition"]["name"] == "level"
    last = made["metrics"][-1]
    assert {"reward/level", "reward/rubric", "reward/on topic", "value_loss"} <= last.keys()
    assert {"silence_ratio", "length", "entropy"} <= last.keys()
    assert last["episodes"] == 4.0
    weights = load_file(ws.root / made["artefact"] / ADAPTER_WEIGHTS)
    assert any(bool(w.any()) for n, w in weights.items() if "lora_B" in n)


def test_tts_learns_from_preferences(ws: Workspace, prefer: Prefer) -> None:
    one = prefer("first")
    made = update(ws, dpo_recipe([one.id]), "speaks")
    assert made["branch"] == "tts" and made["preference_sets"] == [one.id]
    kept = Metrics.of(ws).read(made["id"])
    assert len(kept) == made["steps"] == 4
    assert kept[-1]["rewards/margins"] > kept[0]["rewards/margins"]
    two = prefer("second")
    further = update(ws, dpo_recipe([two.id], parent="speaks"), "speaks-2")
    assert [p.name for p in lineage(ws, resolve(ws, "speaks-2"))] == ["speaks-2", "speaks", "tiny"]
    # The reference is the parent: at the first step nothing has moved from it.
    assert further["metrics"][0]["rewards/margins"] == pytest.approx(0.0, abs=1e-5)


def test_dpo_rehearses_and_answers_what_is_held_out(
    calls: Workspace, prefer: Prefer, record: Record
) -> None:
    """Rows of asr beside the pairs of tts; two held-out lines in the first step and the third, by a scorer that
    was named. A bound on what it finds stops the run, and nothing is registered."""
    lines = [tts_prompt_of(record(420 + i), text) for i, text in enumerate(("a b", "ba"))]
    set_of(calls, "lines", lines, Split.VALIDATION)
    watch = {"prompts": 2, "every": 2, "scorers": ["level"], "bounds": []}
    given: dict[str, Any] = {"prompts": "lines", "watch": watch}
    given |= {"rehearsal": {"data": {"calls": 1.0}}, "dpo": DPO | {"rehearsal_share": 0.5}}
    one = prefer("first")
    made = update(calls, dpo_recipe([one.id], **given), "speaks")
    kept = Metrics.of(calls).read(made["id"])
    assert [("held_out/level" in step) for step in kept] == [True, False, True, False]
    assert all(step["rehearsal_loss"] > 0 for step in kept) and "gap" not in kept[0]
    assert made["metrics"][0]["held_out/level"] == kept[0]["held_out/level"] < 0
    low = {"figure": "held_out/level", "low": 0.0, "patience": 1}
    given["watch"] = watch | {"bounds": [low]}
    with pytest.raises(WatcherStop, match="watcher held_out/level: .* at step 0"):
        update(calls, dpo_recipe([one.id], **given), "stops")
    assert [p.name for p in calls.records.find(PolicyVersion)] == ["tiny", "speaks"]
    with pytest.raises(
        ConfigError, match="voices-first@1 has no validation split to answer while dpo"
    ):
        dry_run(calls, dpo_recipe([one.id], prompts="voices-first"), "never")


@pytest.mark.parametrize("kind", ["grpo", "dpo"])
def test_an_update_that_was_broken_off_goes_on(
    kind: str, calls: Workspace, prefer: Prefer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the same weights as without the break, in a copy of the workspace; the figures of every step once."""
    if kind == "grpo":
        recipe = grpo_recipe(grpo=RL | {"steps": 3})
    else:
        recipe = dpo_recipe([prefer("one").id], dpo=DPO | {"checkpoint_every": 1})
    calls.close()
    shutil.copytree(calls.root, tmp_path / "copy")
    with Workspace.open(tmp_path / "copy") as copy:
        wanted = update(copy, recipe, "whole")
    original = service.Telemetry.write

    def breaking(self: Any, step: int, figures: Any) -> None:
        original(self, step, figures)
        if step == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(service.Telemetry, "write", breaking)
        update(calls, recipe, "whole")
    partial = calls.root / f"{wanted['artefact']}.partial"
    assert list(partial.glob("checkpoint-*"))
    made = update(calls, recipe, "whole")
    assert (made["id"], made["artefact_hash"]) == (wanted["id"], wanted["artefact_hash"])
    assert not partial.exists()
    assert len(Metrics.of(calls).read(made["id"])) == made["steps"]


def test_a_watcher_stops_and_the_reason_is_kept(calls: Workspace) -> None:
    """Typed, with its figure and bounds; nothing is registered, and the same recipe is stopped at once."""
    bounds = [{"figure": "length", "high": 0.5, "patience": 1}]
    recipe = grpo_recipe(watch=UNBOUNDED | {"bounds": bounds})
    with pytest.raises(WatcherStop, match="watcher length: .* at step 0") as caught:
        update(calls, recipe, "stopped")
    run = dry_run(calls, recipe, "stopped")
    assert run["status"] == "stopped" and stop_of(calls, run["id"]) == caught.value.stop
    (decision,) = calls.records.find(Decision, subject=run["id"], kind="stopped")
    assert decision.actor == "watcher:length" and decision.evidence["stop"]["high"] == 0.5
    assert not calls.records.find(PolicyVersion, id=run["id"])
    assert not list((calls.root / "artefacts").glob("*"))
    assert Metrics.of(calls).read(run["id"])[0]["length"] > 0.5
    assert {one.sample.step for one in said_by(calls, run["id"])} == {0}
    with pytest.raises(WatcherStop, match="at step 0"):
        update(calls, recipe, "stopped")


@pytest.mark.slow
def test_a_reward_that_can_be_exploited_is_caught(
    calls: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer is better, says the reward: with the default bounds a watcher stops the run, and the reason is
    stored. (The composition's place is taken; everything else is as it is.)"""

    def longer(self: Any, answers: Any) -> list[Reward]:
        return [Reward(len(said.tokens) / 40) for _, said in answers]

    monkeypatch.setattr(CompositionReward, "__call__", longer)
    greedy = RL | {"steps": 80, "prompts": 2, "samples": 16, "minibatch_turns": 32}
    greedy |= {"max_tokens": 40, "learning_rate": 5e-3, "kl_coefficient": 0.0}
    recipe = grpo_recipe(watch={"prompts": 0}, grpo=greedy | {"checkpoint_every": 50})
    with pytest.raises(WatcherStop) as caught:
        update(calls, recipe, "greedy")
    assert caught.value.stop.figure in ("length", "end_rate", "kl")
    stopped = stop_of(calls, dry_run(calls, recipe, "greedy")["id"])
    assert stopped == caught.value.stop
    assert not calls.records.find(PolicyVersion, name="greedy")


def test_a_stop_survives_a_process_boundary() -> None:
    import pickle

    stop = WatcherStop(Stop("gap", 4, 0.5, None, 0.3, 3))
    assert str(pickle.loads(pickle.dumps(stop))) == str(stop)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prompts": "nothing"}, "prompt set 'nothing' is not in this workspace"),
        ({"parent": "nobody"}, "no policy 'nobody'"),
        ({"reward": {"composition": "tts"}}, "composition 'tts' is of branch tts"),
        ({"branch": "tts", "reward": {"composition": "tts"}}, "is of branch asr and tts is"),
    ],
)
def test_what_is_refused_before_a_model_is_loaded(
    calls: Workspace, changes: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_train", None)
    with pytest.raises(UsageError, match=told):
        update(calls, grpo_recipe(**changes), "wrong")


def test_watchers_of_a_family_that_rewards(ws: Workspace) -> None:
    watched = ppo_recipe(reward={"weight": 1}, watch={"scorers": ["whisper-tiny-wer"]})
    with pytest.raises(ConfigError, match="family 'whisper' is on both sides"):
        dry_run(ws, watched, "wrong")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ppo": {}}, "there is a table .ppo."),
        ({"preferences": ["ps"]}, "leave preferences out"),
        ({"prompts": None}, "asr needs prompts"),
        ({"reward": {"weight": 0}}, "every part of the reward has weight 0"),
        ({"grpo": RL | {"rehearsal_share": 0.2}}, "name prompt sets in"),
        ({"algorithm": "dpo", "grpo": None}, "name a preference set"),
    ],
)
def test_recipes_that_contradict_themselves(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        grpo_recipe(**changes)


def test_preferences_that_cannot_be_trained_on(ws: Workspace, prefer: Prefer) -> None:
    """Each names the set, and the preference where it is one; nothing is registered."""
    empty, same = prefer("empty", 0), prefer("same", 1, same=True)
    with pytest.raises(ConfigError, match=f"preference set {empty.id} is empty .dropped: 2 tie"):
        update(ws, dpo_recipe([empty.id]), "wrong")
    one = same.preferences[0]
    with pytest.raises(ConfigError, match=f"preference {one.id} of set {same.id}: .* same tokens"):
        update(ws, dpo_recipe([same.id]), "wrong")
    with pytest.raises(NotFound, match="no PreferenceSet 'ps_none'"):
        update(ws, dpo_recipe(["ps_none"]), "wrong")
    with pytest.raises(ConfigError, match="rollout .* is of branch tts and asr is trained"):
        update(ws, dpo_recipe([prefer("other").id], branch="asr"), "wrong")
    assert [one.name for one in ws.records.find(PolicyVersion)] == ["tiny"]


def test_a_parent_that_was_cut_short(calls: Workspace) -> None:
    """The file is named, with both hashes; so is an adapter of another branch."""
    made = update(calls, grpo_recipe(), "hears")
    with pytest.raises(ConfigError, match="hears is an adapter of asr and realtime is"):
        update(calls, ppo_recipe(parent="hears"), "wrong")
    file = calls.root / made["artefact"] / ADAPTER_WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="hears: .* was changed or cut short"):
        update(calls, grpo_recipe(parent="hears", seed=1), "wrong")


def test_the_command(calls: Workspace, tmp_path: Path) -> None:
    """A dry run tells and makes nothing; a recipe in TOML with an option over it trains; one JSON object each."""
    recipe = tmp_path / "update.toml"
    rl = "\n".join(f"{name} = {value}" for name, value in RL.items())
    recipe.write_text(
        'algorithm = "grpo"\nbranch = "asr"\nparent = "tiny"\n[watch]\nprompts = 0\nbounds = []\n'
        f"[grpo]\n{rl}\n"
    )
    given = ["policy", "train", "--recipe", str(recipe), "--prompts", "calls", "--name", "hears"]
    given += ["--steps", "1", "--workspace", str(calls.root), "--json"]
    told = json.loads(CliRunner().invoke(app, [*given, "--dry-run"]).stdout)
    assert told["rollouts"] == 4 and told["status"] == "new" and told["steps"] == 1
    assert [one.name for one in calls.records.find(PolicyVersion)] == ["tiny"]
    made = json.loads(CliRunner().invoke(app, given, catch_exceptions=False).stdout)
    assert made["id"] == told["id"] and made["steps"] == 1
    shown = CliRunner().invoke(app, given[:-1], catch_exceptions=False).stdout
    assert "hears (candidate): grpo, asr, 1 steps" in shown
    asked = ["policy", "samples", "hears", "--workspace", str(calls.root)]
    said = json.loads(CliRunner().invoke(app, [*asked, "--best", "--json"]).stdout)["samples"]
    assert len(said) == 4 and said[0]["reward"] == max(one["reward"] for one in said)
    assert said[0]["parts"] and said[0]["staleness"] == 0
    assert "staleness" in CliRunner().invoke(app, asked).stdout
    for wrong, told in ((["tiny"], "no samples"), (["hears", "--step", "7"], "has no step 7")):
        with pytest.raises(NotFound, match=told):
            CliRunner().invoke(app, [*asked[:2], *wrong, *asked[3:]], catch_exceptions=False)
    with pytest.raises(ConfigError, match="--data is nothing that grpo knows"):
        CliRunner().invoke(app, [*given, "--data", "calls"], catch_exceptions=False)


def test_every_sample_says_how_old_it_is(calls: Workspace) -> None:
    """With a staleness of 1 the first step learns from its own answers, the second from older ones."""
    update(calls, grpo_recipe(grpo=RL | {"staleness": 1}), "ahead")
    ages = [{one.sample.staleness for one in said_by(calls, "ahead", step)} for step in (0, 1)]
    assert ages == [{0}, {1}]
