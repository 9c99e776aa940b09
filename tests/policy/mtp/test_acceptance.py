"""Speculative sampling against enumerated distributions, and what breaks it."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from trivox.policy.mtp import acceptance
from trivox.policy.mtp.acceptance import agreeing, sampled

VOCABULARY, LENGTH, SAMPLES = 3, 3, 8_000


def tables(seed: int) -> dict[tuple[int, ...], torch.Tensor]:
    """A random distribution of the next token after each prefix of fewer than LENGTH tokens."""
    rng = np.random.default_rng(seed)
    prefixes = (p for n in range(LENGTH) for p in product(range(VOCABULARY), repeat=n))
    return {p: torch.tensor(rng.dirichlet(np.ones(VOCABULARY))) for p in prefixes}


def p_value(raw: bool) -> tuple[float, float]:
    """Of 8,000 sequences by one round of 2 drafts each against the joint distribution of p, and the share of
    first drafts that stayed over the sum of min(p, q). raw: q is told before a temperature of .5, by which drafts
    are really drawn."""
    p, told = tables(1), tables(2)
    rng = np.random.default_rng(3)
    counts, stayed = dict[tuple[int, ...], int](), 0
    for _ in range(SAMPLES):
        drafts, q = list[int](), list[torch.Tensor]()
        for _place in range(LENGTH - 1):
            sharp = told[tuple(drafts)] ** 2 / (told[tuple(drafts)] ** 2).sum()
            q.append(told[tuple(drafts)] if raw else sharp)
            drafts.append(int(rng.choice(VOCABULARY, p=sharp.numpy())))
        target = torch.stack([p[tuple(drafts[:place])] for place in range(LENGTH)])
        tokens, accepted = sampled(drafts, torch.stack(q), target, lambda: float(rng.random()))
        while len(tokens) < LENGTH:
            tokens.append(int(rng.choice(VOCABULARY, p=p[tuple(tokens)].numpy())))
        counts[tuple(tokens)] = counts.get(tuple(tokens), 0) + 1
        stayed += accepted > 0
    every = list(product(range(VOCABULARY), repeat=LENGTH))
    joint = np.array([joint_of(p, one) for one in every])
    observed = np.array([counts.get(one, 0) for one in every])
    rare = joint * SAMPLES < 5
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(joint[~rare], joint[rare].sum()) * SAMPLES
    first = told[()] ** 2 / (told[()] ** 2).sum()
    return float(chisquare(observed, expected).pvalue), stayed / SAMPLES / float(
        torch.minimum(p[()], first).sum()
    )


def joint_of(p: dict[tuple[int, ...], torch.Tensor], tokens: tuple[int, ...]) -> float:
    return float(np.prod([float(p[tokens[:i]][token]) for i, token in enumerate(tokens)]))


def test_samples_are_those_of_ordinary_sampling() -> None:
    """And as many first drafts stay as can: the sum of min(p, q)."""
    found, accepted = p_value(raw=False)
    assert found > 0.01
    assert accepted == pytest.approx(1, abs=0.03)


def test_q_before_the_temperature_is_noticed() -> None:
    """transformers 47932: raw q returned as q."""
    assert p_value(raw=True)[0] < 1e-6


def test_no_residual_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "residual", lambda p, q: p)
    assert p_value(raw=False)[0] < 1e-6


def test_the_prefix_that_agrees() -> None:
    """Draft 2 of the first row differs, so its draft 3 falls too; the second row agrees, the third not at all."""
    choices = torch.tensor([[5, 6, 7, 8], [1, 2, 3, 4], [9, 2, 3, 4]])
    drafts = torch.tensor([[5, 0, 7], [1, 2, 3], [1, 2, 3]])
    assert agreeing(choices, drafts).tolist() == [1, 3, 0]
