"""A workspace with a tiny backbone that hears and a little speech for each branch."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.policy.conftest import write_hearing_backbone
from trivox.platform.hashing import derived_id
from trivox.platform.personas.registry import add, persona_of
from trivox.platform.records import (
    Branch,
    Consent,
    PolicyStatus,
    PolicyVersion,
    Prompt,
    PromptItem,
    PromptSet,
    Speaker,
    Split,
    Turn,
)
from trivox.platform.registry import register
from trivox.platform.store import Workspace
from trivox.policy.backbone import Backbone, backbone_hash

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RATE = 16_000
Record = Callable[..., str]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hearing_backbone(tmp_path_factory.mktemp("training_backbone"))


@pytest.fixture
def backbone(model_folder: Path) -> Backbone:
    return Backbone.load(model_folder)


@pytest.fixture
def ws(tmp_path: Path, model_folder: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "ws") as made:
        shutil.copytree(model_folder, made.root / "tiny")
        register(made, base_record(made.project, backbone_hash(model_folder)))
        persona = persona_of(made.project, "anna", "a pilot", {"opening": "aye", "address": "sir"})
        add(made, persona)
        yield made


def base_record(project: str, hash_: str) -> PolicyVersion:
    return PolicyVersion(
        id="po_tiny",
        project=project,
        name="tiny",
        branch=None,
        parents={},
        backbone=None,
        artefact="tiny",
        artefact_hash=hash_,
        round=None,
        status=PolicyStatus.PROMOTED,
        created_at=NOW,
    )


@pytest.fixture
def record(ws: Workspace) -> Record:
    """Stores a recording of a pitch and returns its id; speakers allow what they are said to."""

    def store(
        pitch: float,
        seconds: float = 0.4,
        speaker: str = "anna",
        consents: tuple[Consent, ...] = (Consent.TRAIN,),
        **terms: Any,
    ) -> str:
        who = Speaker(f"sp_{speaker}", ws.project, speaker, consents, True, **terms)
        wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * RATE)) / RATE)
        audio = ws.audio.put(
            wave.astype(np.float32), RATE, project=ws.project, source="test", speaker=who.id
        )
        ws.records.add(who, audio)
        return audio.id

    return store


def asr_prompt_of(audio: str, text: str = "ab a") -> Prompt:
    return Prompt.of(Branch.ASR, ("en-US",), audio=audio, reference_text=text)


def tts_prompt_of(audio: str, text: str = "ab a", **rest: Any) -> Prompt:
    return Prompt.of(Branch.TTS, ("en-US",), text=text, reference_audio=audio, **rest)


def realtime_prompt_of(heard: str, answer: str, **changes: Any) -> Prompt:
    fields = {
        "turns": (
            Turn("user", "b", None),
            Turn("assistant", "a b", None),
            Turn("user", "what is it", heard),
        ),
        "persona": "anna@1",
        "reference_text": "Aye, sir.",
        "reference_audio": answer,
    }
    return Prompt.of(Branch.REALTIME, ("en-US",), **fields | changes)


def set_of(
    ws: Workspace, name: str, prompts: list[Prompt], split: Split = Split.TRAIN
) -> PromptSet:
    items = tuple(PromptItem(one.id, split, one.id, None, "test") for one in prompts)
    made = PromptSet(derived_id("ps", name), ws.project, name, 1, items)
    ws.records.add(*prompts, made)
    return made
