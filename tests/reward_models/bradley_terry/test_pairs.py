"""Splits that share no prompt, and pairs that cannot be learned from."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.errors import ConfigError
from trivox.platform.records import Branch
from trivox.policy.backbone import Backbone
from trivox.policy.trainers.dpo import TokenPair
from trivox.policy.vocabulary import TokenMap
from trivox.reward_models.bradley_terry.pairs import (
    RewardPair,
    check_pairs,
    fingerprint,
    split_pairs,
)
from trivox.reward_models.bradley_terry.planted import planted_pairs as plant
from trivox.reward_models.bradley_terry.planted import reward_pair


def pair(name: str, group: str, tie: bool = False) -> RewardPair:
    return RewardPair(name, group, Branch.TTS, TokenPair([1], [2], [3]), tie)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=80), st.integers(0, 5))
def test_no_prompt_is_in_two_splits(groups: list[int], seed: int) -> None:
    pairs = [pair(f"p{number}", f"g{group}") for number, group in enumerate(groups)]
    try:
        found = split_pairs(pairs, 0.3, 0.3, seed)
    except ConfigError:
        return  # too few prompts for three splits
    of = [{one.group for one in side} for side in (found.train, found.calibration, found.test)]
    assert not (of[0] & of[1] or of[0] & of[2] or of[1] & of[2])
    assert sum(found.counts.values()) == len(pairs)


def test_a_pair_stays_where_it_is_when_others_come() -> None:
    few = [pair(f"p{n}", f"g{n}") for n in range(40)]
    more = [*few, *(pair(f"q{n}", f"h{n}") for n in range(40))]
    before, after = ({one.id for one in split_pairs(of, 0.2, 0.2, 0).test} for of in (few, more))
    assert before and before <= after


def test_a_split_of_ties_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="3 pairs of 1 prompts.*label more prompts"):
        split_pairs([pair(f"p{n}", "g") for n in range(3)], 0.2, 0.2, 0)


def test_what_cannot_be_learned_from(backbone_folder: Path, pairs: list[RewardPair]) -> None:
    """Nothing is cut or dropped in silence: not the pair that is longer than the context either."""
    backbone = Backbone.load(backbone_folder)
    good = next(one for one in pairs if not one.tie)

    def refused(bad: list[RewardPair], why: str) -> None:
        with pytest.raises(ConfigError, match=why):
            check_pairs(backbone, bad)

    refused([], "no preferences")
    refused([replace(good, tie=True)], "all 1 pairs are ties")
    refused([good, good], "is given twice")
    tokens = good.tokens
    for changed, why in (
        ({"weight": float("nan")}, "has weight nan"),
        ({"weight": 0.0}, "has weight 0.0"),
        ({"margin": float("nan")}, "has margin nan"),
        ({"margin": -1.0}, "has margin -1.0"),
        ({"rejected": tokens.chosen}, "same tokens on both sides"),
        ({"chosen": tokens.chosen * 40}, "tokens and the model's context is 128"),
        ({"prompt": [*tokens.prompt, backbone.tokens.audio]}, "1 audio placeholders"),
    ):
        bad = replace(good, id="bad", tokens=replace(tokens, **changed))
        refused([good, bad], f"1 of 2 pairs cannot be trained on; the first, bad: .*{why}")


def test_the_fingerprint_follows_the_labels(pairs: list[RewardPair]) -> None:
    first = pairs[0]
    other = replace(first, tokens=replace(first.tokens, weight=0.123))
    assert fingerprint(pairs) == fingerprint(list(pairs))
    assert fingerprint(pairs) != fingerprint([other, *pairs[1:]])


def test_majority_margin_and_weight_of_planted_pairs(tokens: TokenMap) -> None:
    """Votes 2, 3, 1, -1, 0: first by three of five, mean strength 5/5 = 1, weight 3/5."""
    [made] = plant(tokens, 1, seed=0)
    votes = dict(zip("abcde", (2, 3, 1, -1, 0), strict=True))
    found = reward_pair(replace(made, votes=votes))
    assert not found.tie and found.tokens.chosen == made.first
    assert (found.tokens.margin, found.tokens.weight) == (pytest.approx(1.0), pytest.approx(0.6))
    turned = reward_pair(replace(made, votes={rater: -vote for rater, vote in votes.items()}))
    assert turned.tokens.chosen == made.second and turned.tokens.margin == pytest.approx(1.0)
    assert reward_pair(replace(made, votes={"a": 1, "b": -1})).tie
