"""A workspace with a tiny policy of random weights that hears and speaks, and an adapter of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from peft import LoraConfig, get_peft_model

from tests.policy.conftest import write_hearing_backbone
from trivox.pipelines.live.hub import Hub
from trivox.platform.records import Branch, PolicyStatus, PolicyVersion
from trivox.platform.registry import register
from trivox.platform.store import Workspace
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.resident import BACKBONE_HASH_FILE

SPEECH = Path(__file__).parents[2] / "data" / "speech" / "turn_off_the_light_in_the_bedroom.flac"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RATE = 16_000
TINY, TUNED = "tiny", "tiny-tuned"


@pytest.fixture(scope="session")
def sentence() -> np.ndarray:
    """1.6 s of speech at 16 kHz, float32, with 0.35 s of quiet before it."""
    return np.asarray(soundfile.read(SPEECH, dtype="float32")[0][: 2 * RATE])


def version(ws: Workspace, name: str, backbone: str | None) -> PolicyVersion:
    return PolicyVersion(
        id=f"po_{name}",
        project=ws.project,
        name=name,
        branch=Branch.TTS if backbone else None,
        parents={},
        backbone=backbone,
        artefact=name,
        artefact_hash="",
        round=None,
        status=PolicyStatus.CANDIDATE,
        created_at=NOW,
    )


def write_adapter(backbone: Path, folder: Path) -> None:
    """A LoRA adapter of random weights, large enough that it says something else."""
    lm = Backbone.load(backbone).lm
    # peft initialises B with zeros otherwise, which changes nothing.
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    with without_renaming_notices():
        get_peft_model(lm, config).save_pretrained(folder)
    (folder / BACKBONE_HASH_FILE).write_text(f"{backbone_hash(backbone)}\n")


@pytest.fixture(scope="session")
def live_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("live") / "ws"
    with Workspace.create(root) as ws:
        write_hearing_backbone(root / TINY)
        write_adapter(root / TINY, root / TUNED)
        register(ws, version(ws, TINY, None))
        register(ws, version(ws, TUNED, f"po_{TINY}"))
    return root


@pytest.fixture
def hub(live_root: Path) -> Iterator[Hub]:
    with Hub(live_root, slots=4) as made:
        yield made
