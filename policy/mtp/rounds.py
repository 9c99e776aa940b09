"""The two halves of a round: drafts are proposed, and what the language model says of them is judged."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trivox.policy.branches.constraint import Mask
from trivox.policy.engine.drawing import draw, log_distribution
from trivox.policy.mtp.acceptance import agreeing, sampled
from trivox.policy.mtp.certify import OrdinaryPath
from trivox.policy.mtp.row import Row, Verdict
from trivox.policy.mtp.rules import ahead_of
from trivox.policy.mtp.window import Window

if TYPE_CHECKING:
    from trivox.policy.mtp.decode import Session


@dataclass
class Proposal:
    """drafts int64 [B, k], as places in the vocabulary looked at; q: what each was drawn from, float64 [B, k, A];
    masks: of each row what may follow at its k + 1 positions. The last two are empty where all rows are greedy and
    follow one constraint without a state."""

    drafts: Tensor
    q: list[Tensor] = field(default_factory=list)
    masks: list[list[Mask]] = field(default_factory=list)

    @property
    def depth(self) -> int:
        return self.drafts.shape[1]


def plain(session: "Session", rows: Sequence[Row]) -> bool:
    """Whether a round needs neither masks nor distributions of drafts."""
    return session.vocabulary.stateless and all(row.greedy for row in rows)


def propose(session: "Session", known: list[int], depth: int) -> Proposal:
    """depth drafts for each row; their embeddings lie where the next pass reads them."""
    rows, vocabulary, memory = session.rows, session.vocabulary, session.memory
    made = Proposal(vocabulary.ids.new_zeros(len(rows), depth))
    careful = not plain(session, rows)
    ahead = [ahead_of(row.state, row.request.constraint) for row in rows] if careful else []
    made.masks = [[vocabulary.mask(state)] for state in ahead]
    for place in range(depth):
        logits = vocabulary.logits(session.drafter.draft_state(memory, place, known))
        if careful:
            chosen = _drawn(session, made, logits)
            for state, masks, index in zip(ahead, made.masks, chosen.tolist(), strict=True):
                state.advance(vocabulary.names[index])
                masks.append(vocabulary.mask(state))
        else:
            chosen = logits.argmax(-1)
        made.drafts[:, place] = chosen
        window = Window([count + place for count in known], 1, memory.embeds.device)
        window.write(memory.embeds, session.embedding(vocabulary.ids[chosen])[:, None])
    return made


def _drawn(session: "Session", made: Proposal, logits: Tensor) -> Tensor:
    """One draft of each row [B], drawn from the distribution that is then noted as q. A broken block drafts
    anything: what it drafts is judged like the rest."""
    samplings = [row.request.sampling for row in session.rows]
    masks = [masks[-1] for masks in made.masks]
    logq = log_distribution(logits.nan_to_num(0.0, 0.0, 0.0), masks, samplings)
    numbers = [0.0 if row.greedy else row.uniform() for row in session.rows]
    made.q.append(logq.exp())
    return torch.tensor(draw(logq, samplings, numbers)[0], device=logits.device)


def judge(
    session: "Session", rows: Sequence[Row], proposal: Proposal | None, logits: Tensor
) -> list[Verdict]:
    """logits [B, 1 + k, A] after each row's newest token and its k drafts -> what stays of each row."""
    if plain(session, rows):
        return _judge_plain(session, rows, proposal, logits)
    return [
        _judge_row(session, row, index, proposal, logits[index]) for index, row in enumerate(rows)
    ]


def _judge_plain(
    session: "Session", rows: Sequence[Row], proposal: Proposal | None, logits: Tensor
) -> list[Verdict]:
    logprobs = logits.double().log_softmax(-1)
    choices = logprobs.argmax(-1)
    drafts = choices[:, :0] if proposal is None else proposal.drafts
    accepted = agreeing(choices, drafts).tolist()
    best = logprobs.topk(min(2, logprobs.shape[-1]), -1).values
    margins = (best[..., 0] - best[..., -1]).tolist()
    found = zip(rows, choices.tolist(), best[..., 0].tolist(), margins, accepted, strict=True)
    return [_verdict(session, *one, None) for one in found]


def _judge_row(
    session: "Session", row: Row, index: int, proposal: Proposal | None, logits: Tensor
) -> Verdict:
    """logits [1 + k, A] of one row."""
    sampling, vocabulary = row.request.sampling, session.vocabulary
    masks = [vocabulary.mask(row.state)] if proposal is None else proposal.masks[index]
    logprobs = log_distribution(logits, masks, [sampling] * len(masks))
    drafts = [] if proposal is None else proposal.drafts[index].tolist()
    if row.greedy:
        choices = logprobs.argmax(-1)
        accepted = int(agreeing(choices[None], choices.new_tensor([drafts])).item())
        best = logprobs.topk(min(2, logprobs.shape[-1]), -1).values
        margins = (best[:, 0] - best[:, -1]).tolist()
        return _verdict(
            session, row, choices.tolist(), best[:, 0].tolist(), margins, accepted, masks
        )
    q = torch.stack([one[index] for one in proposal.q]) if proposal else logprobs[:0]
    tokens, accepted = sampled(drafts, q, logprobs.exp(), row.uniform)
    chosen = [float(logprobs[place, token]) for place, token in enumerate(tokens)]
    return Verdict([vocabulary.names[token] for token in tokens], chosen, accepted)


def _verdict(
    session: "Session",
    row: Row,
    choices: list[int],
    logprobs: list[float],
    margins: list[float],
    accepted: int,
    masks: list[Mask] | None,
) -> Verdict:
    """Greedy: what ordinary decoding says up to the first draft that it does not say, and that one. Choices whose
    lead is within rounding are asked of ordinary decoding."""
    names = [session.vocabulary.names[choice] for choice in choices[: accepted + 1]]
    logprobs = logprobs[: accepted + 1]
    for place, margin in enumerate(margins[: accepted + 1]):
        if session.eps and margin <= 2 * session.eps and not row.ends(names[:place], session.eos):
            mask = None if masks is None else masks[place]
            name, logprob = _asked(session, row, names[:place], mask)
            logprobs[place] = logprob
            if name != names[place]:
                row.flipped += 1
                return Verdict([*names[:place], name], logprobs[: place + 1], place)
    return Verdict(names, logprobs, accepted)


def _asked(session: "Session", row: Row, said: list[int], mask: Mask | None) -> tuple[int, float]:
    """What ordinary decoding says after the row's tokens and these."""
    if row.path is None:
        row.path = OrdinaryPath(session.decoder.ordinary, row.request)
    row.rescored += 1
    vocabulary = session.vocabulary
    logits = row.path.after([*row.tokens, *said])[None, vocabulary.ids]
    allowed = vocabulary.all_allowed if mask is None else mask
    logprobs = log_distribution(logits, [allowed], [row.request.sampling])[0]
    best = int(logprobs.argmax())
    return vocabulary.names[best], float(logprobs[best])
