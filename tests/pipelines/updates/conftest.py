"""The tiny workspace of the training tests, with prompts to answer and preferences on what was said."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.pipelines.training.conftest import (  # noqa: F401  # fixtures
    Record,
    asr_prompt_of,
    backbone,
    model_folder,
    record,
    set_of,
    tts_prompt_of,
    ws,
)
from trivox.pipelines.updates.recipe import UpdateRecipe
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    Branch,
    FinishReason,
    JudgeKind,
    Preference,
    PreferenceSet,
    Rollout,
    Sampling,
    Split,
)
from trivox.platform.store import Workspace
from trivox.policy.vocabulary import TokenMap

RL: dict[str, Any] = {
    "steps": 2,
    "prompts": 2,
    "samples": 2,
    "minibatch_turns": 8,
    "max_tokens": 6,
    "lora_rank": 2,
    "lora_alpha": 4,
    "learning_rate": 1e-3,
    "checkpoint_every": 1,
    "inner_epochs": 1,
}
PPO = RL | {"critic_warmup": 0, "max_tokens": 12}
UNBOUNDED: dict[str, Any] = {"prompts": 2, "every": 1, "clips": 2, "bounds": ()}
Prefer = Callable[..., PreferenceSet]


def grpo_recipe(**changes: Any) -> UpdateRecipe:
    fields: dict[str, Any] = {
        "algorithm": "grpo",
        "branch": "asr",
        "parent": "tiny",
        "prompts": "calls",
        "watch": UNBOUNDED,
        "grpo": RL,
    }
    return UpdateRecipe.model_validate(fields | changes)


def ppo_recipe(**changes: Any) -> UpdateRecipe:
    fields: dict[str, Any] = {
        "algorithm": "ppo",
        "branch": "realtime",
        "parent": "tiny",
        "reward": {"weight": 0},
        "watch": {"prompts": 0, "clips": 2, "bounds": ()},
        "dialogue": {"turns": 2, "user": "text"},
        "ppo": PPO,
    }
    return UpdateRecipe.model_validate(fields | changes)


@pytest.fixture
def calls(ws: Workspace, record: Record) -> Workspace:  # noqa: F811
    """Four recordings to transcribe, and two that are kept for validation."""
    prompts = [asr_prompt_of(record(300 + 20 * i), "ab a"[: 2 + i % 3]) for i in range(4)]
    set_of(ws, "calls", prompts)
    return ws


@pytest.fixture
def prefer(ws: Workspace, record: Record) -> Prefer:  # noqa: F811
    """Makes a preference set over tts rollouts of the tiny model, low codes over high ones."""

    def make(name: str, count: int = 3, same: bool = False) -> PreferenceSet:
        tokens = TokenMap.load(ws.root / "tiny")
        prompt = tts_prompt_of(record(400), "ab a")
        set_of(ws, f"voices-{name}", [prompt], Split.TRAIN)
        words = [tokens.text_ids("ab"), [tokens.text_ids("b a")[1], *tokens.text_ids("a")]]

        def said(book: int, extra: int) -> tuple[int, ...]:
            first, last = tokens.audio_range(0)
            second = tokens.audio_range(1)[0]
            code = first + book if book < 8 else last - book + 7
            frames = [code, second + book] * (1 + extra)
            return (*words[0], *frames, *words[1], *frames, tokens.eos)

        rollouts, preferences = [], []
        for index in range(count):
            chosen = _rollout(ws, prompt.id, f"{name}-c{index}", said(index % 4, index % 2))
            other = chosen.tokens if same else said(9 + index % 4, 1)
            rejected = _rollout(ws, prompt.id, f"{name}-r{index}", other)
            rollouts += [chosen, rejected]
            preferences.append(
                Preference(
                    derived_id("pf", name, index),
                    prompt.id,
                    chosen.id,
                    rejected.id,
                    2.0,
                    0.9,
                    (),
                    (JudgeKind.SIMULATED,),
                )
            )
        if rollouts:
            ws.tables.write(rollouts, branch=Branch.TTS, round=name, part="one")
        made = PreferenceSet(
            derived_id("ps", name), ws.project, name, "test@1", tuple(preferences), {"tie": 2}
        )
        ws.records.add(made)
        return made

    return make


def _rollout(ws: Workspace, prompt: str, name: str, tokens: tuple[int, ...]) -> Rollout:  # noqa: F811
    return Rollout(
        id=f"ro_{name}",
        project=ws.project,
        round=name.rsplit("-", 1)[0],
        branch=Branch.TTS,
        prompt=prompt,
        producer="po_tiny",
        seed=0,
        index=0,
        sampling=Sampling(),
        engine="in-process",
        dtype="float32",
        tokens=tokens,
        segments=(),
        logprobs=(-1.0,) * len(tokens),
        finish_reason=FinishReason.END,
    )
