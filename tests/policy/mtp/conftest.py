"""A tiny backbone that hears, requests of clips of noise, and blocks that learnt what it says to some of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trivox.platform.records import Sampling
from trivox.policy.backbone import Backbone
from trivox.policy.branches.asr import asr_constraint, asr_prompt
from trivox.policy.engine import Generation, InProcessEngine, Request
from trivox.policy.mtp.blocks import MTPBlocks, embedded
from trivox.policy.mtp.loss import mtp_loss
from trivox.policy.rows import Row, collate

GREEDY = Sampling(temperature=0.0, max_tokens=20)
CLIPS = 4


def requests_of(
    backbone: Backbone, sampling: Sampling = GREEDY, count: int = CLIPS
) -> list[Request]:
    """Prompts of different lengths over clips of noise, seeds 0, 1, …"""
    rng, tokens = np.random.default_rng(0), backbone.tokens
    constraint = asr_constraint(tokens)
    clips = [rng.standard_normal((20 + 9 * i, 64)).astype(np.float32) for i in range(count)]
    return [
        Request(asr_prompt(tokens, backbone.embeddings(clip)), constraint, sampling, seed, (clip,))
        for seed, clip in enumerate(clips)
    ]


def ordinary(backbone: Backbone, requests: list[Request], slots: int = 1) -> list[Generation]:
    tokens = backbone.tokens
    return InProcessEngine(backbone.lm, tokens.eos, tokens.pad, slots).generate(requests)


@pytest.fixture(scope="session")
def learnt(hearing_folder: Path) -> MTPBlocks:
    """Blocks that learnt half of what the backbone says by heart, so that drafts stay and fail in turn."""
    backbone = Backbone.load(hearing_folder)
    requests = requests_of(backbone)
    said = ordinary(backbone, requests)
    rows = [
        Row(one.prompt, done.tokens, [True] * len(done.tokens), one.audio)
        for one, done in zip(requests, said, strict=True)
    ]
    batch = collate(rows[: CLIPS // 2], backbone.tokens.pad)
    torch.manual_seed(0)
    blocks = MTPBlocks(backbone.lm).train()
    with torch.no_grad():
        embeds = embedded(backbone.lm, batch)
        hidden = backbone.lm.base_model(
            inputs_embeds=embeds, attention_mask=batch["attention_mask"]
        ).last_hidden_state
    optimiser = torch.optim.AdamW(blocks.parameters(), 5e-3)
    for _ in range(60):
        loss = mtp_loss(blocks(hidden, embeds), backbone.lm.lm_head, batch["labels"])
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
    return blocks.requires_grad_(False).eval()


@pytest.fixture
def greedy_requests(hearing: Backbone) -> list[Request]:
    return requests_of(hearing)


@pytest.fixture
def sampled_requests(hearing: Backbone) -> list[Request]:
    return requests_of(hearing, replace(GREEDY, temperature=1.0))
