"""B2: whether verified decoding says what ordinary decoding says, and samples as it samples.

Greedy at three levels: L1, the tokens of the passes themselves; L2, certified by margin, those within rounding
asked of ordinary decoding; L3, passes of one width in bfloat16 over a static cache, bit for bit. Sampling over a
vocabulary of 8: 20,000 completions against the enumerated joint distribution.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from unittest.mock import patch

import numpy as np
import torch
from scipy.stats import chisquare
from torch import Tensor

from trivox.bench.harness import Result, interleaved
from trivox.bench.mtp_common import Subject, transformers_lookup
from trivox.platform.records import Sampling
from trivox.policy.branches.constraint import TextConstraint, mask_of
from trivox.policy.engine import Generation, Request
from trivox.policy.engine.drawing import log_distribution
from trivox.policy.mtp import rounds
from trivox.policy.mtp.acceptance import sampled
from trivox.policy.mtp.blocks import MTPBlocks
from trivox.policy.mtp.decode import Session, VerifiedDecoder
from trivox.policy.mtp.rounds import Proposal
from trivox.policy.mtp.row import Row
from trivox.policy.rows import Row as Tokens
from trivox.policy.rows import collate

SLOTS, LETTERS, LENGTH, SAMPLES = 16, 7, 3, 20_000
SAMPLING = Sampling(temperature=1.3, top_k=6, max_tokens=LENGTH)
ASSISTED = 16


def run(full: bool) -> Result:
    subject = Subject.load()
    requests = subject.requests(5000 if full else 500, rough=True)
    plain = subject.plain(SLOTS).generate(requests)
    raw = subject.verified(SLOTS, certify=False).generate(requests)
    certified = subject.verified(SLOTS).generate(requests)
    terms = {
        "utterances": float(len(requests)),
        "flips_L1": _flips(plain, raw),
        "flips_L2_uncertified": _flips(plain, certified),
        "rescored": float(sum(one.decoding.rescored for one in certified)),
        "tokens": float(sum(len(one.tokens) for one in certified)),
        "L3_unequal_positions": _unequal(subject, requests[:8]),
        "eps": subject.verified(1).rounding(requests[0]),
    }
    terms |= _sampling(subject, requests[0]) | _assisted(subject, requests[:ASSISTED], plain)
    sound = terms["flips_L2_uncertified"] == 0 and terms["L3_unequal_positions"] == 0
    samples = terms["chi_square_p"] > 0.001 and terms["chi_square_p_of_raw_q"] < 1e-6
    fits = abs(terms["acceptance_over_sum_min"] - 1) < 0.02
    sides = interleaved(
        {
            "plain": lambda: subject.plain(1).generate(requests[:4]),
            "verified": lambda: subject.verified(1).generate(requests[:4]),
        }
    )
    return Result(
        name="mtp-exact",
        ratio_to_peer={"transformers prompt-lookup, flips": terms["assisted_flips"]},
        ratio_to_limit=terms["acceptance_over_sum_min"],
        passed=sound and samples and fits,
        threshold="0 uncertified flips, L3 bit for bit, p of samples above .001 and that of raw q below 1e-6",
        terms=terms,
        sizes={"utterances": len(requests), "samples": SAMPLES, "vocabulary": LETTERS + 1},
        sides=sides,
    )


def _flips(wanted: Sequence[Generation], found: Sequence[Generation]) -> float:
    return float(sum(a.tokens != b.tokens for a, b in zip(wanted, found, strict=True)))


def _assisted(
    subject: Subject, requests: Sequence[Request], plain: Sequence[Generation]
) -> dict[str, float]:
    flips = sum(
        transformers_lookup(subject, request, 5) != own.tokens
        for request, own in zip(requests, plain, strict=False)
    )
    return {"assisted_flips": float(flips), "assisted_utterances": float(len(requests))}


@torch.inference_mode()
def _unequal(subject: Subject, requests: Sequence[Request]) -> float:
    """Positions whose bfloat16 logits differ between rounds that accept nothing and rounds that accept some."""
    lm = copy.deepcopy(subject.backbone.lm)
    torch.nn.Module.to(lm, torch.bfloat16)  # transformers wraps its own without types
    tokens = subject.backbone.tokens
    blocks = MTPBlocks(lm).eval()
    decoder = VerifiedDecoder(lm, blocks, tokens.eos, tokens.pad, certify=False, whole=True)
    unequal, rng = 0, np.random.default_rng(0)
    for request in requests:
        said = rng.choice(list(tokens.characters.values()), 48).tolist()
        one, several = (
            Session(decoder, [Row(request, 60, 5)]).forced(said, accepted)
            for accepted in ([0] * 48, rng.integers(0, 6, 48).tolist())
        )
        unequal += int((one != several).any(-1).sum())
    return float(unequal)


class _Few(TextConstraint):
    """The end and a few letters, whatever was said."""

    def __init__(self, subject: Subject) -> None:
        tokens = subject.backbone.tokens
        self.ids = [tokens.eos, *list(tokens.characters.values())[:LETTERS]]
        self._mask = mask_of(tokens, self.ids)


def _sampling(subject: Subject, request: Request) -> dict[str, float]:
    few = _Few(subject)
    joint = _joint(subject, request, few)
    kept = {"stayed": 0.0, "possible": 0.0, "rounds": 0.0}

    def counting(drafts: list[int], q: Tensor, p: Tensor, uniform: object) -> tuple[list[int], int]:
        found = sampled(drafts, q, p, uniform)  # type: ignore[arg-type]  # handed on
        if drafts:
            kept["stayed"] += found[1] > 0
            kept["possible"] += float(torch.minimum(p[0], q[0]).sum())
        return found

    with patch.object(rounds, "sampled", counting):
        honest = _p_value(subject, request, few, joint, SAMPLES)
    drawn = rounds._drawn

    def raw(session: Session, made: Proposal, logits: Tensor) -> Tensor:
        chosen = drawn(session, made, logits)
        samplings = [Sampling(temperature=1.0) for _ in session.rows]
        made.q[-1] = log_distribution(logits, [one[-1] for one in made.masks], samplings).exp()
        return chosen

    with patch.object(rounds, "_drawn", raw):
        mutant = _p_value(subject, request, few, joint, SAMPLES)
    return {
        "chi_square_p": honest,
        "chi_square_p_of_raw_q": mutant,
        "acceptance_over_sum_min": kept["stayed"] / kept["possible"],
    }


@torch.inference_mode()
def _joint(subject: Subject, request: Request, few: _Few) -> dict[tuple[int, ...], float]:
    """The probability of each completion, by full passes over every prefix."""
    eos, lm = subject.backbone.tokens.eos, subject.backbone.lm
    letters = few.ids[1:]
    prefixes = [p for n in range(LENGTH) for p in product(letters, repeat=n)]
    chance: dict[tuple[int, ...], float] = {(): 1.0}
    found: dict[tuple[int, ...], float] = {}
    for begin in range(0, len(prefixes), 32):
        some = prefixes[begin : begin + 32]
        rows = [Tokens(request.prompt, list(p), [True] * len(p), request.audio) for p in some]
        batch = collate(rows, subject.backbone.tokens.pad, side="left")
        del batch["labels"]
        logits = lm(**batch, logits_to_keep=1).logits[:, -1]
        masks, samplings = [few.allowed()] * len(some), [SAMPLING] * len(some)
        for prefix, row in zip(some, log_distribution(logits, masks, samplings).exp(), strict=True):
            for token in few.ids:
                value = chance[prefix] * float(row[token])
                over = token == eos or len(prefix) + 1 == LENGTH
                (found if over else chance)[(*prefix, token)] = value
    return found


def _p_value(
    subject: Subject,
    request: Request,
    few: _Few,
    joint: dict[tuple[int, ...], float],
    samples: int,
) -> float:
    asked = [
        replace(request, constraint=few, sampling=SAMPLING, seed=seed) for seed in range(samples)
    ]
    counts: dict[tuple[int, ...], int] = {}
    for one in subject.verified(64, certify=False).generate(asked):
        counts[tuple(one.tokens)] = counts.get(tuple(one.tokens), 0) + 1
    common = [key for key, value in joint.items() if value * samples >= 5]
    observed = [counts.get(key, 0) for key in common]
    expected = [joint[key] * samples for key in common]
    observed.append(samples - sum(observed))
    expected.append(samples - sum(expected))
    if expected[-1] < 5:
        observed[-2:], expected[-2:] = [sum(observed[-2:])], [sum(expected[-2:])]
    return float(chisquare(observed, expected).pvalue)
