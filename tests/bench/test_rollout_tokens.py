"""B4's sizes, and its growth on a model of a few hundred weights."""

from collections import Counter
from typing import Any

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from trivox.bench import rollout_tokens
from trivox.bench.harness import Timing
from trivox.policy.engine import InProcessEngine


@pytest.fixture
def tiny() -> LlamaForCausalLM:
    shape: dict[str, Any] = dict.fromkeys(
        ("num_hidden_layers", "num_attention_heads", "num_key_value_heads"), 1
    )
    shape |= {"hidden_size": 8, "intermediate_size": 8, "vocab_size": 32}
    return LlamaForCausalLM(LlamaConfig(**shape)).eval()


def test_a_part_has_the_same_share_of_each_length(tiny: LlamaForCausalLM) -> None:
    """64, 32, 16, 12 and 4 rows; a quarter is 16, 8, 4, 3 and 1."""
    lengths = [
        Counter(one.sampling.max_tokens for one in rollout_tokens._requests(tiny, 1, part))
        for part in rollout_tokens.PARTS
    ]
    assert [sum(one.values()) for one in lengths] == [32, 64, 128]
    assert lengths[0] == {8: 16, 16: 8, 32: 4, 64: 3, 128: 1}


def test_growth_is_of_a_token_of_all_rows_over_one_of_a_quarter(
    tiny: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the rows took 32 s for 4 x 2 + 4 x 4 = 24 tokens, padded generate twice as long."""
    monkeypatch.setattr(rollout_tokens, "TAIL", {2: 4, 4: 4})
    monkeypatch.setattr(rollout_tokens, "SLOTS", 2)
    whole = {"ours": Timing((32.0,), (32.0,)), "padded generate": Timing((64.0,), (64.0,))}
    engine = InProcessEngine(tiny, 1, 0, 2)
    timed, figures = rollout_tokens._grown(engine, tiny, 1, 0, 5, whole)
    assert timed.keys() == {f"{one} of {n}" for one in ("ours", "padded generate") for n in (2, 4)}
    assert figures["s_per_token ours of 8"] == 32 / 24 and figures["to_padded of 8"] == 2
    small = timed["ours of 2"].median / 6
    assert figures["growth"] == pytest.approx(32 / 24 / small)
