"""Verified multi-token decoding: several tokens a pass, and the tokens are those of ordinary decoding.

A round drafts k tokens, has the language model read them after the newest token in one pass, and keeps the drafts
that agree with what that pass itself says, and one token more. What was rejected is rolled back. Greedy output is
that of ordinary decoding (levels L1 and L2, see `certify`); a sample has the distribution of ordinary sampling.
"""

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from trivox.platform.errors import ConfigError, WorkError
from trivox.platform.records import Sampling
from trivox.policy.branches.asr import asr_constraint, asr_prompt
from trivox.policy.engine.decoder import SlotDecoder
from trivox.policy.engine.drawing import check_row
from trivox.policy.engine.requests import (
    Generation,
    Request,
    budget_of,
    check_request,
    position_limit,
)
from trivox.policy.mtp.blocks import MTPBlocks, embedded
from trivox.policy.mtp.certify import (
    MARGIN,
    TRAJECTORY,
    Ordinary,
    OrdinaryPath,
    measured_rounding,
    rounding_key,
)
from trivox.policy.mtp.drafting import Drafter, DraftMemory, unwrapped
from trivox.policy.mtp.rounds import Proposal, judge, propose
from trivox.policy.mtp.row import Row, Verdict
from trivox.policy.mtp.rules import Vocabulary
from trivox.policy.mtp.window import RowsCache, Window
from trivox.policy.rows import pad_features
from trivox.policy.vocabulary import TokenMap


@dataclass
class Clock:
    """Seconds spent, for benchmarks."""

    prefill: float = 0.0
    draft: float = 0.0
    verify: float = 0.0
    total: float = 0.0
    rounds: int = 0


class VerifiedDecoder:
    """A RolloutEngine over a language model and its blocks.

    depth: drafts a round, at most the number of blocks. slots: rows at a time. certify: whether greedy tokens with
    a lead within rounding are asked of ordinary decoding, of `ordinary_slots` slots; whole: attention over all
    columns always (level L3). Of one thread.
    """

    name = "verified-mtp"

    def __init__(
        self,
        model: PreTrainedModel,
        blocks: MTPBlocks,
        eos: int,
        pad: int,
        slots: int = 16,
        depth: int | None = None,
        certify: bool = True,
        ordinary_slots: int = 1,
        whole: bool = False,
    ) -> None:
        """Raises ConfigError for more drafts than there are blocks."""
        self.depth = blocks.depth if depth is None else depth
        if not 1 <= self.depth <= blocks.depth:
            raise ConfigError(
                f"{self.depth} drafts a round are asked for and there are {blocks.depth} blocks: ask for 1 to "
                f"{blocks.depth}"
            )
        self.model, self.blocks, self.eos, self.pad = model, blocks, eos, pad
        self.slots, self.certify, self.ordinary_slots, self.whole = (
            slots,
            certify,
            ordinary_slots,
            whole,
        )
        self.lm: Any = unwrapped(model)
        self.limit = position_limit(self.lm.config)
        self._rounding = dict(blocks.rounding)
        self.clock = Clock()

    @cached_property
    def drafter(self) -> Drafter:
        return Drafter(self.blocks)

    @cached_property
    def ordinary(self) -> Ordinary:
        return Ordinary(SlotDecoder(self.model, self.ordinary_slots))

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Completions in the order of the requests.

        Raises ConfigError and BrokenAudio as `check_request` does, BrokenScores or DeadEnd for the first request
        that fails so.
        """
        if not requests:
            return []
        for index, request in enumerate(requests):
            check_request(f"request {index}", request, self.lm.config)
        rows = [
            Row(request, budget_of(request, self.limit), self.depth, number)
            for number, request in enumerate(requests)
        ]
        certify = self.certify and any(row.greedy for row in rows)
        session = Session(self, rows, self.rounding(requests[0]) if certify else 0.0)
        session.run()
        self.clock = session.clock
        return [row.generation() for row in rows]

    @torch.inference_mode()
    def rounding(self, request: Request) -> float:
        """eps: no logit of a pass over several tokens is further than this from ordinary decoding's. From the
        blocks' configuration, else measured once, on this request's prompt."""
        key = rounding_key(self.lm)
        if key not in self._rounding:
            self._rounding[key] = self.measure_rounding(request)
        return MARGIN * self._rounding[key]

    @torch.inference_mode()
    def measure_rounding(self, request: Request, seed: int = 0) -> float:
        """The largest difference in a logit, on a trajectory of random tokens that the request allows at first."""
        count = min(TRAJECTORY, self.limit - len(request.prompt) - 1)
        if count < 1:
            return 0.0
        session = Session(self, [Row(request, count, self.depth)])
        ids = torch.from_numpy(request.constraint.start().allowed()).nonzero()[:, 0].tolist()
        path = OrdinaryPath(self.ordinary, request)
        return measured_rounding(path, session.forced, ids, count, seed)


class Session:
    """Requests on their way through the slots of a decoder."""

    def __init__(self, decoder: VerifiedDecoder, rows: Sequence[Row], eps: float = 0.0) -> None:
        """eps: how far rounding may move a logit; 0 certifies nothing."""
        self.decoder, self.depth, self.eps, self.eos = decoder, decoder.depth, eps, decoder.eos
        self.lm, self.drafter = decoder.lm, decoder.drafter
        self.waiting, self.rows = deque(rows), list[Row]()
        head = self.lm.get_output_embeddings()
        constraints = [row.request.constraint for row in rows]
        self.vocabulary = Vocabulary(head, constraints, int(head.weight.shape[0]))
        self.embedding = self.lm.get_input_embeddings()
        columns = max(len(row.request.prompt) + row.budget for row in rows) + self.depth + 1
        slots = min(decoder.slots, len(rows))
        like = self.embedding.weight[:1]
        layers = int(self.lm.config.get_text_config().num_hidden_layers)
        self.cache = RowsCache(layers, slots, columns, like, decoder.whole)
        self.memory = DraftMemory(decoder.blocks, slots, columns, like)
        self.clock = Clock()
        self.held = dict[int, tuple[Request, Tensor]]()
        self.pause = self.failed = 0

    def run(self) -> None:
        began = time.perf_counter()
        self.admit()
        while self.rows:
            self.round()
            self.admit()
        self.clock.total = time.perf_counter() - began

    def admit(self) -> None:
        """Waiting requests into free slots: prompts are read one by one, so that a row's neighbours say nothing
        about it."""
        while self.waiting and len(self.rows) < self.cache.slots:
            row = self.waiting.popleft()
            began = row.admitted()
            self.prefill(row, len(self.rows))
            row.timings["prefill_s"] = time.perf_counter() - began
            self.clock.prefill += row.timings["prefill_s"]
            if row.reason is None:
                self.rows.append(row)

    def prefill(self, row: Row, slot: int) -> None:
        """The row's prompt into the slot, from one that holds it or by a pass, and its first token."""
        self.take([row], None, self.hold(row, slot))
        if row.reason is None:
            self.place_newest([row], only=slot)

    def hold(self, row: Row, slot: int) -> Tensor:
        """Logits [1, 1, A] after the row's prompt, which language model and blocks have then read in the slot."""
        count = len(row.request.prompt)
        for source, (request, logits) in self.held.items():
            if same_prompt(request, row.request):
                self.cache.move(source, slot, count)
                self.memory.move(source, slot, count)
                self.drafter.forget(self.memory, slot, count)
                self.held[slot] = request, logits
                return logits
        self.held.pop(slot, None)
        embeds = self.embeds_of(row.request)
        hidden = self.read(embeds, Window([0], count, embeds.device, only=slot))
        row.passes += 1
        self.memory.embeds[slot, :count] = embeds[0]
        self.memory.states[0][slot, :count] = hidden[0]
        self.drafter.prefill(self.memory, slot, count)
        self.held[slot] = row.request, self.vocabulary.logits(hidden[:, -1:])
        return self.held[slot][1]

    def embeds_of(self, request: Request) -> Tensor:
        """What the language model reads of a prompt, [1, L, H]."""
        batch = pad_features(list(request.audio)) | {"input_ids": torch.tensor([request.prompt])}
        device = self.memory.embeds.device
        return embedded(self.lm, {name: value.to(device) for name, value in batch.items()})

    def read(self, embeds: Tensor, window: Window) -> Tensor:
        """One pass of the language model over [B, W, H] at the window -> its last states [B, W, H]."""
        self.cache.window = window
        out = self.lm.base_model(
            inputs_embeds=embeds,
            attention_mask=self.cache.mask().expand(embeds.shape[0], -1, -1, -1),
            position_ids=self.cache.positions(),
            past_key_values=self.cache,
            use_cache=True,
        )
        states: Tensor = out.last_hidden_state
        return states

    def round(self) -> None:
        """Draft, verify, keep, roll back."""
        clock, began = self.clock, time.perf_counter()
        depth = 0 if self.pause else self.depth
        known = [row.length for row in self.rows]
        proposal = propose(self, known, depth) if depth else None
        drafted = time.perf_counter()
        starts = [count - 1 for count in known]
        window = Window(starts, depth + 1, self.memory.embeds.device)
        hidden = self.read(window.read(self.memory.embeds), window)
        window.write(self.memory.states[0], hidden)
        logits = self.vocabulary.logits(hidden)
        verified = time.perf_counter()
        for row in self.rows:
            row.passes += 1
        accepted = self.take(self.rows, proposal, logits)
        if depth:
            self.drafter.settle(self.memory, known, accepted)
        clock.draft += drafted - began
        clock.verify += verified - drafted
        clock.rounds += 1
        self.leave()
        if self.rows:
            self.place_newest(self.rows)
            self.consider(accepted, depth)

    def take(self, rows: Sequence[Row], proposal: Proposal | None, logits: Tensor) -> list[int]:
        """Judge the logits [B, 1 + k, A] after each row's newest token and drafts; the rows take what stays.
        Returns how many drafts stayed in each."""
        verdicts = judge(self, rows, proposal, logits)
        for row, verdict in zip(rows, verdicts, strict=True):
            if any(map(math.isnan, verdict.logprobs)):
                raise self.broken(row, logits[rows.index(row)], verdict)
            row.take(verdict, self.decoder.eos, 0 if proposal is None else proposal.depth)
        return [verdict.accepted for verdict in verdicts]

    def broken(self, row: Row, logits: Tensor, verdict: Verdict) -> WorkError:
        """Why a row has no distribution; logits [1 + k, A]."""
        row.fail()
        place = next(i for i, one in enumerate(verdict.logprobs) if math.isnan(one))
        for token in verdict.tokens[:place]:
            row.state.advance(token)
        index = row.number
        return check_row(f"request {index}", logits[place], self.vocabulary.mask(row.state))

    def place_newest(self, rows: Sequence[Row], only: int | None = None) -> None:
        """The embeddings of the rows' newest tokens, which the next pass reads first."""
        device = self.memory.embeds.device
        ids = torch.tensor([[row.tokens[-1]] for row in rows], device=device)
        window = Window([row.length - 1 for row in rows], 1, device, only)
        window.write(self.memory.embeds, self.embedding(ids))

    def leave(self) -> None:
        """Finished rows go; the last row takes the place of one that is gone."""
        for slot in reversed(range(len(self.rows))):
            if self.rows[slot].reason is None:
                continue
            last = self.rows.pop()
            if slot < len(self.rows):
                self.cache.move(len(self.rows), slot, last.length)
                self.memory.move(len(self.rows), slot, last.length)
                self.rows[slot], self.held[slot] = last, self.held[len(self.rows)]

    def consider(self, accepted: Sequence[int], depth: int) -> None:
        """Drafts that keep failing are not worth their time: rest for a while, then try again."""
        if self.pause:
            self.pause -= 1
            return
        self.failed = 0 if sum(accepted) > 0 or not depth else self.failed + 1
        if self.failed >= PATIENCE:
            self.pause, self.failed = REST, PATIENCE - 1

    def forced(self, tokens: Sequence[int], accepted: Sequence[int]) -> Tensor:
        """Logits [len(tokens), V] along given tokens, by passes over depth + 1 of them of which accepted[i] drafts
        stay in round i; behind those comes what is wrong, and is rolled back."""
        (row,) = self.waiting
        device, prompt = self.memory.embeds.device, row.request.prompt
        embeds = self.embeds_of(row.request)
        head: nn.Module = self.lm.get_output_embeddings()
        found = [head(self.read(embeds, Window([0], len(prompt), device, only=0)))[0, -1:]]
        done, step = 0, 0
        while done < len(tokens) - 1:
            kept = min(accepted[step] % (self.depth + 1) + 1, len(tokens) - 1 - done)
            wrong = [tokens[0]] * (self.depth + 1 - kept)
            ids = torch.tensor([[*tokens[done : done + kept], *wrong]], device=device)
            window = Window([len(prompt) + done], self.depth + 1, device)
            found.append(head(self.read(self.embedding(ids), window))[0, :kept])
            done, step = done + kept, step + 1
        return torch.cat(found)


def same_prompt(one: Request, other: Request) -> bool:
    """Clips are compared by identity: requests for several samples share them."""
    return (
        one.prompt == other.prompt
        and len(one.audio) == len(other.audio)
        and all(mine is yours for mine, yours in zip(one.audio, other.audio, strict=True))
    )


def note_rounding(lm: PreTrainedModel, blocks: MTPBlocks, tokens: TokenMap) -> None:
    """Measure, on this machine, what decoding would measure before its first transcript, so that it lies with the
    blocks: beside ordinary decoding of one slot and of the usual number."""
    request = Request(asr_prompt(tokens, 0), asr_constraint(tokens), Sampling(0.0), seed=0)
    found = [
        VerifiedDecoder(lm, blocks, tokens.eos, tokens.pad, ordinary_slots=slots).measure_rounding(
            request
        )
        for slots in (1, 16)
    ]
    blocks.rounding[rounding_key(lm)] = max(found)


PATIENCE = 4
"""Rounds without any accepted draft in any row after which drafting rests."""
REST = 16
"""Tokens that are decoded one by one then."""
