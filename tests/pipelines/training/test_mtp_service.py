"""Blocks for a registered backbone: a version of its own, which transcribes as its parent does."""

import json

import numpy as np
import pytest

from tests.pipelines.training.conftest import Record, asr_prompt_of, set_of
from trivox.pipelines.training.mtp import MTPSettings
from trivox.pipelines.training.mtp_service import MTPRecipe, train_blocks
from trivox.platform.errors import UsageError
from trivox.platform.registry import resolve
from trivox.platform.store import Workspace
from trivox.policy.backbone import backbone_hash
from trivox.policy.mtp.blocks import MTP_CONFIG, MTPConfig
from trivox.policy.resident import ResidentPolicy

SETTINGS = MTPSettings(depth=2, steps=3, warm_up=1, bf16=False)


def test_blocks_make_a_version(ws: Workspace, record: Record) -> None:
    set_of(ws, "calls", [asr_prompt_of(record(300 + i)) for i in range(3)])
    recipe = MTPRecipe(data={"calls": 1.0}, parent="tiny", batch_tokens=200, train=SETTINGS)
    made = train_blocks(ws, recipe, "fast")
    policy = resolve(ws, "fast")
    folder = ws.root / policy.artefact
    assert policy.parents == {"po_tiny": 1.0} and policy.backbone is None
    assert backbone_hash(folder) == backbone_hash(ws.root / "tiny")
    assert MTPConfig(**json.loads((folder / MTP_CONFIG).read_text())).rounding["cpu/float32"] > 0
    assert policy.artefact_hash != backbone_hash(folder)
    assert train_blocks(ws, recipe, "fast") == made
    wave = 0.3 * np.sin(np.arange(8000) / 5).astype(np.float32)
    with ResidentPolicy(folder, 2).using(None) as fast:
        found = fast.transcribe([wave])[0]
        fast.drafts = False
        assert found.generation.tokens == fast.transcribe([wave])[0].generation.tokens
    assert sum(found.generation.decoding.proposed) > 0
    with pytest.raises(UsageError, match="has the name"):
        train_blocks(ws, recipe.model_copy(update={"seed": 1}), "fast")
