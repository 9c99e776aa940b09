"""A tiny chat model and a tiny backbone as judges."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.policy.conftest import write_backbone
from tests.policy.tiny_models import lm_folder
from trivox.reward_models.generative.backends import Identity
from trivox.reward_models.generative.encoders import ChatEncoder
from trivox.reward_models.generative.local import FORCED, LocalJudge

CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Marks of the roles are tokens of their own, as in real chat models."""
    folder = lm_folder(tmp_path_factory.mktemp("chat"), "Llama", max_position_embeddings=2048)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<|system|>", "<|user|>", "<|assistant|>"]}
    )
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def chat(chat_folder: Path) -> tuple[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(chat_folder)
    return model.eval(), AutoTokenizer.from_pretrained(chat_folder)


@pytest.fixture
def chat_judge(chat: tuple[Any, Any]) -> LocalJudge:
    identity = Identity("tiny", "0" * 64, "tiny")
    return LocalJudge(identity, chat[0], ChatEncoder(chat[1]), FORCED)


@pytest.fixture(scope="session")
def judging_backbone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield write_backbone(tmp_path_factory.mktemp("judging"))
