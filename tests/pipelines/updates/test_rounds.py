"""Rounds of the branches that learn from rewards, whole: a tiny model that is trained, measured and decided on."""

from typing import Any

import pytest
from pydantic import ValidationError

from tests.pipelines.updates.conftest import PPO, RL, UNBOUNDED
from trivox.annotation.people.audit import By
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.runner import run_round
from trivox.pipelines.rounds.service import RoundService
from trivox.pipelines.rounds.updating import recipe_of
from trivox.pipelines.updates.plan import plan_of
from trivox.pipelines.updates.recipe import UpdateRecipe
from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.records import Branch, PolicyStatus, PolicyVersion, RoundStatus
from trivox.platform.store import Workspace
from trivox.policy.trainers.rl.settings import PPOSettings

SUITE = {"count": 2, "max_tokens": 8}


def grpo(**changes: Any) -> RoundConfig:
    update = {"watch": UNBOUNDED, "grpo": RL, "suite": SUITE} | changes
    return RoundConfig.model_validate(
        {
            "algorithm": "grpo",
            "branch": "asr",
            "policy": "tiny",
            "prompts": "calls",
            "update": update,
        }
    )


def test_a_round_and_the_command_make_the_same_version(calls: Workspace) -> None:
    """The id of what is trained follows from the recipe, not from who asks for it."""
    config = grpo().model_copy(update={"policy": "po_tiny"})
    recipe = recipe_of(config)
    assert (recipe.algorithm, recipe.branch) == ("grpo", Branch.ASR)
    direct = recipe.model_copy(update={"parent": "tiny"})
    assert plan_of(calls, recipe, "a").id == plan_of(calls, direct, "b").id


def test_staleness_is_part_of_what_is_made_and_not_for_dialogues(calls: Workspace) -> None:
    """Without it the id is what it was before there was such a setting."""
    fresh, stale = (
        plan_of(calls, recipe_of(grpo(grpo=RL | {"staleness": age})), "planned") for age in (0, 1)
    )
    assert fresh.id == plan_of(calls, recipe_of(grpo()), "planned").id != stale.id
    with pytest.raises(ValidationError, match="rewarded turn by turn"):
        UpdateRecipe(
            algorithm="ppo",
            branch=Branch.REALTIME,
            ppo=PPOSettings.model_validate({"staleness": 1}),
        )


def test_what_cannot_be_trained_is_refused_before_it_is_enqueued(calls: Workspace) -> None:
    service = RoundService(calls)
    with pytest.raises(NotFound):
        service.enqueue(grpo(reward={"composition": "nothing of that name"}))
    assert service.rounds() == []
    for update, told in (
        ({"reward": {"composition": "/etc/passwd"}}, "file of the machine"),
        ({"telemetry": {"mlflow": "http://elsewhere"}}, "folder or a server"),
    ):
        with pytest.raises(ConfigError, match=told):
            RoundService(calls, By("someone")).enqueue(grpo(**update))


@pytest.mark.slow
def test_a_grpo_round_of_asr(calls: Workspace) -> None:
    from tests.pipelines.training.conftest import asr_prompt_of, set_of
    from trivox.platform.records import Prompt, Split

    heard = [one for one in calls.records.find(Prompt) if one.audio is not None]
    set_of(calls, "held", [asr_prompt_of(one.audio or "", "b a") for one in heard[:2]], Split.TEST)
    config = grpo(suite=SUITE | {"prompts": "held"})
    service = RoundService(calls)
    done = run_round(calls, service.enqueue(config).id)
    assert done.status is RoundStatus.DONE
    state = service.status(done.id)
    assert [one.stage for one in state.stages] == ["train", "evaluate", "publish"]
    (made,) = calls.records.find(PolicyVersion, round=done.id)
    assert made.branch is Branch.ASR and made.status in (PolicyStatus.PROXY, PolicyStatus.REJECTED)


@pytest.mark.slow
def test_a_ppo_round_of_realtime(ws: Workspace) -> None:
    from tests.pipelines.training.conftest import set_of
    from trivox.platform.records import Prompt

    set_of(ws, "unused", [Prompt.of(Branch.REALTIME, ("en-US",), text="a")])
    dialogue = {"turns": 2, "user": "text"}
    config = RoundConfig.model_validate(
        {
            "algorithm": "ppo",
            "branch": "realtime",
            "policy": "tiny",
            "prompts": "unused",
            "update": {
                "reward": {"weight": 0},
                "watch": {"prompts": 0, "clips": 2, "bounds": ()},
                "dialogue": dialogue,
                "ppo": PPO,
                "suite": SUITE | {"dialogue": dialogue},
            },
        }
    )
    done = run_round(ws, RoundService(ws).enqueue(config).id)
    assert done.status is RoundStatus.DONE
    (made,) = ws.records.find(PolicyVersion, round=done.id)
    assert made.branch is Branch.REALTIME
