"""Verified decoding against ordinary decoding, and the mutants that each must break it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from tests.policy.mtp.conftest import GREEDY, ordinary, requests_of
from trivox.platform.errors import BrokenScores, ConfigError
from trivox.platform.records import FinishReason, Sampling
from trivox.platform.statistics.acceptance import acceptance
from trivox.policy.backbone import Backbone
from trivox.policy.branches.constraint import AudioConstraint, TextConstraint, mask_of
from trivox.policy.branches.tts import tts_prompt
from trivox.policy.engine import Generation, Request
from trivox.policy.mtp import decode, drafting, rounds, window
from trivox.policy.mtp.blocks import MTPBlocks
from trivox.policy.mtp.decode import Session, VerifiedDecoder
from trivox.policy.mtp.rounds import Proposal
from trivox.policy.mtp.row import Row
from trivox.policy.mtp.window import Window


def decoder_of(backbone: Backbone, blocks: MTPBlocks, **settings: Any) -> VerifiedDecoder:
    tokens = backbone.tokens
    return VerifiedDecoder(backbone.lm, blocks, tokens.eos, tokens.pad, **settings)


def said(generations: Sequence[Generation]) -> list[tuple[list[int], FinishReason]]:
    return [(one.tokens, one.finish_reason) for one in generations]


def agrees(decoder: VerifiedDecoder, requests: list[Request], wanted: list[Generation]) -> bool:
    return said(decoder.generate(requests)) == said(wanted)


@pytest.mark.parametrize(("slots", "depth"), [(1, 5), (3, 5), (2, 1), (16, 3)])
def test_greedy_is_what_ordinary_decoding_says(
    hearing: Backbone, learnt: MTPBlocks, greedy_requests: list[Request], slots: int, depth: int
) -> None:
    wanted = ordinary(hearing, greedy_requests)
    found = decoder_of(hearing, learnt, slots=slots, depth=depth).generate(greedy_requests)
    assert said(found) == said(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    rates = acceptance(one.decoding for one in found)
    assert rates is not None and 1.3 < rates.mean_length < depth + 1
    assert sum(one.forward_passes for one in found) < sum(len(one.tokens) for one in found)


def test_statistics_count_each_round(hearing: Backbone, learnt: MTPBlocks) -> None:
    """All tokens are the first, an accepted draft, or what ended a round."""
    decoder = decoder_of(hearing, learnt, certify=False)
    (found,) = decoder.generate(requests_of(hearing, count=1))
    proposed, accepted = found.decoding.proposed, found.decoding.accepted
    assert list(accepted) == sorted(accepted, reverse=True)
    assert all(one <= other for one, other in zip(accepted, proposed, strict=True))
    in_rounds = sum(accepted) + (found.forward_passes - 1)
    assert len(found.tokens) - 1 <= in_rounds <= len(found.tokens) + len(accepted)


# What each round must leave true: a block reads on from states of the tokens that stayed.
def drafts_from_scratch(session: Session, blocks: MTPBlocks, slot: int) -> list[int]:
    """What the blocks draft for a row when they read all of it anew."""
    row, memory = session.rows[slot], session.memory
    known, drafts = row.length, list[int]()
    embeds = memory.embeds[slot : slot + 1, :known].clone()
    hidden = memory.states[0][slot : slot + 1, : known - 1]
    for place in range(blocks.depth):
        read = torch.cat([embeds, torch.zeros_like(embeds[:, :1])], 1)[:, : known + place]
        states = blocks(
            torch.nn.functional.pad(hidden, (0, 0, 0, read.shape[1] - known + 1)), read
        )[place][0, known - 2]
        index = int(session.vocabulary.logits(states).argmax())
        drafts.append(index)
        new = session.embedding(session.vocabulary.ids[index])[None, None]
        embeds = torch.cat([embeds, new], 1)
    return drafts


def rounds_checked(backbone: Backbone, blocks: MTPBlocks, slots: int) -> bool:
    """Whether in every round of a session the drafts are those from scratch."""
    decoder = decoder_of(backbone, blocks, slots=slots)
    requests = requests_of(backbone)
    same = list[bool]()

    def checking(session: Session, known: list[int], depth: int) -> Proposal:
        wanted = [drafts_from_scratch(session, blocks, slot) for slot in range(len(known))]
        made = rounds.propose(session, known, depth)
        same.append(made.drafts.tolist() == wanted)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "propose", checking)
        decoder.generate(requests)
    return all(same)


@pytest.mark.parametrize("slots", [1, 4])
def test_drafts_are_those_of_blocks_that_read_everything_anew(
    hearing: Backbone, learnt: MTPBlocks, slots: int
) -> None:
    assert rounds_checked(hearing, learnt, slots)


def test_mutant_blocks_that_keep_what_they_read_of_rejected_drafts(
    hearing: Backbone, learnt: MTPBlocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsettled(self: Any, memory: Any, known: list[int], accepted: list[int]) -> None:
        for read in memory.read:
            read[: len(known)] = [count - 1 for count in known]

    monkeypatch.setattr(drafting.Drafter, "settle", unsettled)
    assert not rounds_checked(hearing, learnt, 1)


def test_mutant_no_rollback(
    hearing: Backbone,
    learnt: MTPBlocks,
    greedy_requests: list[Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was rejected stays seen: each pass attends to every column that was ever written."""
    wanted = ordinary(hearing, greedy_requests)
    honest = window.RowsCache.mask

    def seeing(self: window.RowsCache) -> Tensor:
        mask = honest(self).clone()
        self.written = max(getattr(self, "written", 0), self.window.end)
        reach = min(self.written, mask.shape[-1])
        mask[..., : min(reach, self.window.end)] = 0
        return mask if self.window.width > 1 and not self.window.alone else honest(self)

    monkeypatch.setattr(window.RowsCache, "mask", seeing)
    assert not agrees(decoder_of(hearing, learnt, certify=False), greedy_requests, wanted)


def test_mutant_cache_that_is_not_cropped(
    hearing: Backbone,
    learnt: MTPBlocks,
    greedy_requests: list[Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next pass begins behind the rejected drafts, not over them."""
    wanted = ordinary(hearing, greedy_requests[:1])

    honest = Session.read

    def shifted(self: Session, embeds: Tensor, where: Window) -> Tensor:
        if not where.alone:
            where = Window([where.end - where.width + 1], where.width, embeds.device)
        return honest(self, embeds, where)

    monkeypatch.setattr(Session, "read", shifted)
    assert not agrees(decoder_of(hearing, learnt, certify=False), greedy_requests[:1], wanted)


@pytest.mark.parametrize("more", [1, -1])
def test_mutant_one_draft_more_or_less_stays(
    hearing: Backbone,
    learnt: MTPBlocks,
    greedy_requests: list[Request],
    monkeypatch: pytest.MonkeyPatch,
    more: int,
) -> None:
    """One more: tokens that ordinary decoding does not say. One less is only slower, so the statistics tell."""
    wanted = ordinary(hearing, greedy_requests)
    before = decoder_of(hearing, learnt, certify=False).generate(greedy_requests)
    honest = rounds.agreeing

    def off(choices: Tensor, drafts: Tensor) -> Tensor:
        return (honest(choices, drafts) + more).clamp(0, drafts.shape[1])

    monkeypatch.setattr(rounds, "agreeing", off)
    found = decoder_of(hearing, learnt, certify=False).generate(greedy_requests)
    assert [one.decoding for one in found] != [one.decoding for one in before]
    assert (said(found) == said(wanted)) is (more < 0)


@pytest.mark.parametrize("off", [1, -1])
def test_mutant_mask_off_by_one(
    hearing: Backbone,
    learnt: MTPBlocks,
    greedy_requests: list[Request],
    monkeypatch: pytest.MonkeyPatch,
    off: int,
) -> None:
    wanted = ordinary(hearing, greedy_requests)

    def wrong(columns: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        lowest = torch.finfo(dtype).min
        return torch.full((columns, columns), lowest, dtype=dtype, device=device).triu(1 + off)

    monkeypatch.setattr(window, "causal_table", wrong)
    assert not agrees(decoder_of(hearing, learnt, certify=False), greedy_requests, wanted)


def test_a_lead_within_rounding_is_asked_of_ordinary_decoding(
    hearing: Backbone,
    learnt: MTPBlocks,
    greedy_requests: list[Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Passes whose logits are off by up to .5 say other tokens; with eps of .5 the output is the ordinary one."""
    wanted = ordinary(hearing, greedy_requests)
    honest = rounds.judge
    generator = torch.Generator().manual_seed(0)

    def noisy(session: Session, rows: Any, proposal: Any, logits: Tensor) -> Any:
        noise = torch.rand(logits.shape, generator=generator) - 0.5
        return honest(session, rows, proposal, logits + noise)

    monkeypatch.setattr(decode, "judge", noisy)
    assert not agrees(decoder_of(hearing, learnt, certify=False), greedy_requests, wanted)
    certain = decoder_of(hearing, learnt, slots=3)
    certain._rounding = {"cpu/float32": 0.5 / decode.MARGIN}
    found = certain.generate(greedy_requests)
    assert said(found) == said(wanted)
    assert sum(one.decoding.rescored for one in found) > 0


def test_eps_is_measured_once_and_small(hearing: Backbone, learnt: MTPBlocks) -> None:
    decoder = decoder_of(hearing, learnt)
    (request,) = requests_of(hearing, count=1)
    measured = decoder.rounding(request)
    assert 0 < measured < 1e-3
    assert decoder.rounding(request) == measured


@pytest.mark.parametrize("broken", ["nan", "random", "zero"])
def test_heads_that_fail_cost_time_and_nothing_else(
    hearing: Backbone, greedy_requests: list[Request], broken: str
) -> None:
    wanted = ordinary(hearing, greedy_requests)
    blocks = MTPBlocks(hearing.lm)
    torch.manual_seed(5)
    fill = {"nan": float("nan"), "zero": 0.0}
    for parameter in blocks.parameters():
        if broken == "random":
            torch.nn.init.normal_(parameter, 0.0, 3.0)
        else:
            torch.nn.init.constant_(parameter, fill[broken])
    decoder = decoder_of(hearing, blocks.requires_grad_(False).eval(), slots=1)
    found = decoder.generate(greedy_requests)
    assert said(found) == said(wanted)
    proposed = sum(one.decoding.proposed[0] for one in found)
    assert proposed < sum(len(one.tokens) for one in found) / 1.5  # it rests where drafts fail


@pytest.mark.parametrize("kind", ["silence", "noise", "click"])
def test_what_is_no_speech_is_decoded_as_ordinary_decoding_does(
    hearing: Backbone, learnt: MTPBlocks, kind: str
) -> None:
    clip = np.zeros((60, 64), np.float32)
    if kind == "noise":
        clip = np.random.default_rng(9).standard_normal((60, 64)).astype(np.float32) * 20
    if kind == "click":
        clip[30] = 50
    (first,) = requests_of(hearing, count=1)
    prompt = [first.prompt[0], *[first.prompt[1]] * hearing.embeddings(clip), first.prompt[-1]]
    request = replace(first, prompt=prompt, audio=(clip,))
    assert agrees(decoder_of(hearing, learnt), [request], ordinary(hearing, [request]))


def test_constraints_with_a_state_hold_at_each_position(
    hearing: Backbone, learnt: MTPBlocks
) -> None:
    """Speech whose codebooks take turns, greedy and sampled: drafts follow the constraint too."""
    tokens = hearing.tokens
    for sampling in (GREEDY, replace(GREEDY, temperature=0.8, top_k=5)):
        requests = [
            Request(tts_prompt(tokens, text), AudioConstraint(tokens), sampling, seed)
            for seed, text in enumerate(["a", "turn on"])
        ]
        found = decoder_of(hearing, learnt).generate(requests)
        if sampling.temperature == 0:
            assert said(found) == said(ordinary(hearing, requests))
        for one in found:
            state = AudioConstraint(tokens).start()
            for token in one.tokens:
                assert state.allowed()[token]
                state.advance(token)


class Few(TextConstraint):
    """Five tokens and the end, whatever was said before."""

    def __init__(self, backbone: Backbone) -> None:
        self._mask = mask_of(backbone.tokens, [backbone.tokens.eos, *range(17, 22)])


def joint_p_value(backbone: Backbone, blocks: MTPBlocks, samples: int = 1200) -> float:
    """Of completions of at most 3 tokens at temperature 4 and top-k 3 against the enumerated joint distribution,
    which ordinary decoding's own log-probs give."""
    sampling = Sampling(temperature=4.0, top_k=3, max_tokens=3)
    (first,) = requests_of(backbone, count=1)
    few = Few(backbone)
    asked = [replace(first, constraint=few, sampling=sampling, seed=s) for s in range(samples)]
    found = decoder_of(backbone, blocks, slots=64).generate(asked)
    counts = dict[tuple[int, ...], int]()
    chance = dict[tuple[int, ...], float]()
    for one in found:
        key = tuple(one.tokens)
        counts[key] = counts.get(key, 0) + 1
        chance[key] = float(np.exp(sum(one.logprobs)))
    common = [key for key in counts if chance[key] * samples >= 5]
    observed = [counts[key] for key in common]
    expected = [chance[key] * samples for key in common]
    rest = samples - sum(observed), samples - sum(expected)
    if rest[1] >= 5:
        observed, expected = [*observed, rest[0]], [*expected, rest[1]]
    scale = sum(observed) / sum(expected)
    return float(chisquare(observed, [one * scale for one in expected]).pvalue)


def test_samples_have_the_distribution_of_ordinary_sampling(
    hearing: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with q before temperature and top-k in the place of the one drawn from, they have not."""
    torch.manual_seed(7)
    blocks = MTPBlocks(hearing.lm)
    for parameter in blocks.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.5)
    blocks.requires_grad_(False).eval()
    assert joint_p_value(hearing, blocks) > 0.01
    honest = rounds.log_distribution

    drawn = rounds._drawn

    def untrue(session: Session, made: Proposal, logits: Tensor) -> Tensor:
        chosen = drawn(session, made, logits)
        samplings = [replace(r.request.sampling, temperature=1.0, top_k=0) for r in session.rows]
        masks = [one[-1] for one in made.masks]
        made.q[-1] = honest(logits, masks, samplings).exp()
        return chosen

    monkeypatch.setattr(rounds, "_drawn", untrue)
    assert joint_p_value(hearing, blocks) < 1e-4


def test_a_sample_is_repeated_by_its_seed(
    hearing: Backbone, learnt: MTPBlocks, sampled_requests: list[Request]
) -> None:
    decoder = decoder_of(hearing, learnt, slots=3)
    assert said(decoder.generate(sampled_requests)) == said(decoder.generate(sampled_requests))


def test_bfloat16_passes_of_one_width_are_equal_bit_for_bit(
    hearing: Backbone, learnt: MTPBlocks
) -> None:
    """Level L3: over all columns always, a token's logits do not depend on where in a pass it stands."""
    lm = hearing.lm.to(torch.bfloat16)
    hearing.lm = lm
    decoder = decoder_of(hearing, MTPBlocks(lm).eval(), whole=True, certify=False)
    (request,) = requests_of(hearing, count=1)
    tokens = np.random.default_rng(0).integers(17, 40, 40).tolist()
    with torch.inference_mode():
        one, several = (
            Session(decoder, [Row(request, 60, 5)]).forced(tokens, accepted)
            for accepted in ([0] * 40, [2, 5, 0, 3, 1, 4] * 7)
        )
    assert torch.equal(one, several)


def test_what_cannot_be_decoded_is_refused(hearing: Backbone, learnt: MTPBlocks) -> None:
    (request,) = requests_of(hearing, count=1)
    with pytest.raises(ConfigError, match="6 drafts a round are asked for and there are 5"):
        decoder_of(hearing, learnt, depth=6)
    with pytest.raises(ConfigError, match="request 0: max_tokens is 0"):
        decoder_of(hearing, learnt).generate([replace(request, sampling=Sampling(0, max_tokens=0))])
    with torch.no_grad():
        hearing.lm.lm_head.weight[20] = float("nan")
    with pytest.raises(BrokenScores, match="request 0"):
        decoder_of(hearing, learnt, certify=False).generate([request])
    assert decoder_of(hearing, learnt).generate([]) == []
