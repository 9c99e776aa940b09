"""One request on its way: what it said, and how its drafts fared."""

import math
import time
from dataclasses import dataclass

import numpy as np

from trivox.platform.records import DecodingStatistics, FinishReason
from trivox.policy.engine.requests import Generation, Request
from trivox.policy.mtp.certify import OrdinaryPath


@dataclass(frozen=True)
class Verdict:
    """Of one round: tokens that stay, with their log-probs; the first `accepted` of them were drafts."""

    tokens: list[int]
    logprobs: list[float]
    accepted: int


class Row:
    """budget: tokens that it may say; depth: drafts of a round."""

    def __init__(self, request: Request, budget: int, depth: int, number: int = 0) -> None:
        self.request, self.budget, self.number = request, budget, number
        self.greedy = request.sampling.temperature == 0
        self.state = request.constraint.start()
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.reason: FinishReason | None = None
        self.passes, self.rescored, self.flipped = 0, 0, 0
        self.proposed, self.accepted = [0] * depth, [0] * depth
        self.path: OrdinaryPath | None = None
        self.timings: dict[str, float] = {}
        self._random = np.random.default_rng(request.seed)
        self._began = time.perf_counter()

    @property
    def length(self) -> int:
        """Tokens of prompt and completion: those that are known."""
        return len(self.request.prompt) + len(self.tokens)

    def uniform(self) -> float:
        """The next number in [0, 1) of the row's own generator."""
        return float(self._random.random())

    def admitted(self) -> float:
        now = time.perf_counter()
        self.timings["wait_s"] = now - self._began
        return now

    def take(self, verdict: Verdict, eos: int, depth: int) -> None:
        """Note the tokens up to the end or the limit, and which of the round's `depth` drafts stayed. Drafts after
        the end were never judged and are not counted as proposed."""
        taken = 0
        for token, logprob in zip(verdict.tokens, verdict.logprobs, strict=True):
            self.tokens.append(token)
            self.logprobs.append(logprob)
            self.state.advance(token)
            taken += 1
            if token == eos or len(self.tokens) >= self.budget:
                self.reason = FinishReason.END if token == eos else FinishReason.LENGTH
                break
        self._count(verdict, taken, depth)
        self._time()

    def _count(self, verdict: Verdict, taken: int, depth: int) -> None:
        stayed = min(verdict.accepted, taken)
        ended_within = self.reason is not None and taken <= verdict.accepted
        for place in range(taken if ended_within else depth):
            self.proposed[place] += 1
            self.accepted[place] += place < stayed

    def ends(self, tokens: list[int], eos: int) -> bool:
        """Whether the row is over with these tokens behind its own."""
        return eos in tokens or len(self.tokens) + len(tokens) >= self.budget

    def _time(self) -> None:
        since = time.perf_counter() - self._began
        self.timings.setdefault("first_token_s", since)
        self.timings["total_s"] = since

    def fail(self) -> None:
        self.reason = FinishReason.FAILED
        self.logprobs.append(math.nan)

    def generation(self) -> Generation:
        passes = self.passes + (self.path.passes if self.path else 0)
        statistics = DecodingStatistics(
            passes, tuple(self.proposed), tuple(self.accepted), self.rescored
        )
        reason = self.reason or FinishReason.FAILED
        return Generation(self.tokens, self.logprobs, reason, statistics, self.timings)
