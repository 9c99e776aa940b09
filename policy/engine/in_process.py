"""Continuous batching in this process: rows that finish leave, rows that wait come in, all branches in one
batch."""

import math
import time
from collections import deque
from collections.abc import Hashable, Sequence
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedModel

from trivox.platform.errors import ConfigError, TrivoxError
from trivox.platform.records import DecodingStatistics, FinishReason
from trivox.policy.engine.decoder import SlotDecoder
from trivox.policy.engine.drawing import check_row, draw, log_distribution, uniform
from trivox.policy.engine.requests import (
    Drawn,
    Generation,
    Request,
    budget_of,
    check_request,
    position_limit,
)


class InProcessEngine:
    """Slots over a resident transformers model.

    fixed: every step computes all slots, so that on a CPU in float32 the same request gives the same tokens and
    log-probs bit for bit, whatever its neighbours and in whichever slot. Else a step computes only the rows that
    there are, which is quicker where they are few; samples then agree but for draws within rounding of a border.

    Of one thread: whoever shares an engine calls it from the thread that steps it.
    """

    name = "in-process"

    def __init__(
        self, model: PreTrainedModel, eos: int, pad: int, slots: int = 16, fixed: bool = True
    ) -> None:
        if slots < 1:
            raise ConfigError(f"an engine of {slots} slots: give it at least 1")
        self.model, self.eos, self.pad, self.slots = model, eos, pad, slots
        self.fixed = fixed or model.device.type == "cuda"  # a graph has one width
        self._rows: list[_Row | None] = [None] * slots
        self._read: list[_Prompt | None] = [None] * slots
        self._waiting: deque[_Row] = deque()

    @cached_property
    def _decoder(self) -> SlotDecoder:
        return SlotDecoder(self.model, self.slots)

    @property
    def busy(self) -> int:
        """Requests that are not finished."""
        return len(self._waiting) + sum(row is not None for row in self._rows)

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Completions in the order of the requests.

        Raises as `submit`, before anything is drawn; BrokenScores or DeadEnd for the first request that fails so;
        ConfigError while requests that were submitted are not finished.
        """
        if self.busy:
            raise ConfigError(
                f"{self.busy} submitted requests are not finished: step on or cancel them"
            )
        rows = [self._row(index, request) for index, request in enumerate(requests)]
        self._waiting.extend(rows)
        try:
            while self.busy:
                for drawn in self.step():
                    if drawn.error is not None:
                        raise drawn.error
        finally:
            self.clear()
        return [row.generation() for row in rows]

    def submit(self, key: Hashable, request: Request) -> None:
        """Let a request wait for a slot; `step` names its tokens by the key.

        Raises ConfigError for a key that is not finished, for an empty prompt or one that leaves no room in the
        model's context, for a limit of no tokens, and for placeholders that are not as many as the embeddings of
        the audio; BrokenAudio for a clip of no frames.
        """
        if any(row.key == key for row in self._unfinished()):
            raise ConfigError(f"{_name(key)} is not finished: give another a key of its own")
        self._waiting.append(self._row(key, request))

    def cancel(self, key: Hashable) -> bool:
        """Free the slot of a request, or its place in the queue, at once; False where it is over or unknown."""
        for row in self._unfinished():
            if row.key == key:
                self._rows = [None if one is row else one for one in self._rows]
                self._waiting = deque(one for one in self._waiting if one is not row)
                return True
        return False

    def clear(self) -> None:
        """Cancel all, and forget the prompts that were read: the model's weights may change now."""
        self._waiting.clear()
        self._rows = [None] * self.slots
        self._read = [None] * self.slots

    def step(self) -> list[Drawn]:
        """One token for every row: those that wait are let into free slots first. [] where nothing is to do."""
        if not self.busy:
            return []
        if not self.fixed:
            self._close_ranks()
        going = [(slot, row) for slot, row in enumerate(self._rows) if row is not None]
        logits = self._advance(going)
        refused = self._admit()
        admitted = [(slot, row) for slot, row in enumerate(self._rows) if row and not row.tokens]
        rows, logits = going + admitted, logits + self._first(admitted)
        drawn = refused + (self._draw(rows, torch.stack(logits)) if rows else [])
        if not self.busy:
            self.clear()
        return drawn

    def _row(self, key: Hashable, request: Request) -> "_Row":
        check_request(_name(key), request, self.model.config)
        return _Row(key, request, position_limit(self.model.config))

    def _unfinished(self) -> "list[_Row]":
        return [row for row in self._rows if row is not None] + list(self._waiting)

    def _advance(self, going: "Sequence[tuple[int, _Row]]") -> list[Tensor]:
        """Logits [V] of each of the rows that have drawn a token before."""
        if not going:
            return []
        width = self.slots if self.fixed else going[-1][0] + 1
        rows = self._rows[:width]
        tokens = [self.pad if row is None else row.tokens[-1] for row in rows]
        lengths = [None if row is None else row.length - 1 for row in rows]
        logits = self._decoder.step(tokens, lengths)
        for _, row in going:
            row.passes += 1
        return [logits[slot] for slot, _ in going]

    def _admit(self) -> list[Drawn]:
        """Let rows into the free slots and read their prompts; returns those whose prompts the model refuses."""
        refused = []
        for slot in range(self.slots):
            if self._waiting and self._rows[slot] is None:
                row = self._waiting.popleft()
                began = row.admitted()
                try:
                    row.passes += self._fill(slot, row.request)
                    self._rows[slot] = row
                except TrivoxError as error:
                    refused.append(row.take(-1, math.nan, error, self.eos))
                row.timings["prefill_s"] = time.perf_counter() - began
        return refused

    def _first(self, admitted: "Sequence[tuple[int, _Row]]") -> list[Tensor]:
        read = (self._read[slot] for slot, _ in admitted)
        return [prompt.logits for prompt in read if prompt is not None]

    def _fill(self, slot: int, request: Request) -> int:
        """The prompt into the slot: from a slot that holds it already, or by a forward pass. Returns passes
        made."""
        for source, prompt in enumerate(self._read):
            if prompt is not None and prompt.is_of(request):
                if source != slot:
                    self._decoder.cache.copy(source, slot, len(request.prompt))
                self._read[slot] = prompt
                return 0
        self._read[slot] = None  # what it held is overwritten, also where the pass fails
        self._read[slot] = _Prompt(request, self._decoder.read(slot, request))
        return 1

    def _draw(self, rows: "Sequence[tuple[int, _Row]]", logits: Tensor) -> list[Drawn]:
        """One token for each of the rows from logits [len(rows), V]; rows that end leave their slots."""
        samplings = [row.request.sampling for _, row in rows]
        masks = [row.state.allowed() for _, row in rows]
        logprobs = log_distribution(logits, masks, samplings)
        found = draw(logprobs, samplings, [row.uniform[len(row.tokens)] for _, row in rows])
        drawn = []
        for index, ((slot, row), token, logprob) in enumerate(zip(rows, *found, strict=True)):
            error = None
            if math.isnan(logprob):
                error = check_row(_name(row.key), logits[index], masks[index])
            drawn.append(row.take(token, logprob, error, self.eos))
            if row.reason is not None:
                self._leave(slot, error)
        return drawn

    def _leave(self, slot: int, error: TrivoxError | None) -> None:
        self._rows[slot] = None
        if error is not None:
            self._read[slot] = None
            self._decoder.cache.clear(slot)

    def _close_ranks(self) -> None:
        """Rows into the first slots, so that a step of all rows is a step of the first n slots."""
        for slot in range(self.slots):
            last = max((s for s, row in enumerate(self._rows) if row is not None), default=0)
            row = self._rows[last]
            if self._rows[slot] is None and slot < last and row is not None:
                self._decoder.cache.copy(last, slot, row.length - 1)
                self._rows[slot], self._rows[last] = row, None
                self._read[slot], self._read[last] = self._read[last], None


def _name(key: Hashable) -> str:
    """A request in messages; of keys that are objects only the kind, for they may hold what nobody should read."""
    return f"request {key if isinstance(key, str | int) else type(key).__name__}"


class _Prompt:
    """A prompt that a slot holds, with the logits [V] after it."""

    def __init__(self, request: Request, logits: Tensor) -> None:
        self.ids, self.audio, self.logits = request.prompt, request.audio, logits

    def is_of(self, request: Request) -> bool:
        """Clips are compared by identity: requests for several samples share them."""
        return (
            self.ids == request.prompt
            and len(self.audio) == len(request.audio)
            and all(one is other for one, other in zip(self.audio, request.audio, strict=True))
        )


class _Row:
    """A request, its random numbers, what it said so far, and when."""

    def __init__(self, key: Hashable, request: Request, limit: int) -> None:
        self.key, self.request = key, request
        self.budget = budget_of(request, limit)
        self.uniform = uniform(request.seed, self.budget)
        self.state = request.constraint.start()
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.reason: FinishReason | None = None
        self.passes = 0
        self.timings: dict[str, float] = {}
        self._submitted = time.perf_counter()

    @property
    def length(self) -> int:
        """Tokens of prompt and completion."""
        return len(self.request.prompt) + len(self.tokens)

    def admitted(self) -> float:
        now = time.perf_counter()
        self.timings["wait_s"] = now - self._submitted
        return now

    def take(self, token: int, logprob: float, error: TrivoxError | None, eos: int) -> Drawn:
        """Note the token; at the last one the row is over."""
        if error is not None:
            self.reason = FinishReason.FAILED
            return Drawn(self.key, -1, math.nan, self.reason, error)
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.state.advance(token)
        if token == eos:
            self.reason = FinishReason.END
        elif len(self.tokens) >= self.budget:
            self.reason = FinishReason.LENGTH
        since = time.perf_counter() - self._submitted
        self.timings.setdefault("first_token_s", since)
        self.timings["total_s"] = since
        return Drawn(self.key, token, logprob, self.reason)

    def generation(self) -> Generation:
        return Generation(
            self.tokens,
            self.logprobs,
            self.reason or FinishReason.FAILED,
            DecodingStatistics(self.passes),
            self.timings,
        )
