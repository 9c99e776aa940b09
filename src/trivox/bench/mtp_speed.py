"""B1: transcripts by verified multi-token decoding against ordinary decoding, on nano and its trained blocks.

The limit of the speed-up is tau / (v_k + d): tokens a round, the cost of a pass over k + 1 tokens and that of k
drafts, both in passes over one token, all timed in this run. It holds for what comes after the prompt is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from trivox.bench.harness import Result, Timing, interleaved, ratio
from trivox.bench.mtp_common import Subject, transformers_lookup
from trivox.platform.statistics.acceptance import acceptance
from trivox.policy.engine import Request
from trivox.policy.mtp.decode import Session, VerifiedDecoder
from trivox.policy.mtp.rounds import propose
from trivox.policy.mtp.row import Row
from trivox.policy.mtp.window import Window

DEPTHS = (1, 3, 5)
BATCHES = (8, 64)
CLIPS = 12
OF_THE_LIMIT, SPEED_UP, WORTH = 0.9, 1.5, 1.7


def run(full: bool) -> Result:
    subject = Subject.load()
    requests = subject.requests(BATCHES[-1], rough=False)
    few = requests[: 2 * CLIPS if full else CLIPS]
    timed = interleaved(_sides(subject, few, requests), repeats=9 if full else 5)
    terms = _terms(subject, few, timed)
    limit = terms["tau"] / (terms["v_k"] + terms["d"])
    reached = terms["plain_decode_s"] / terms["mtp_decode_s"]
    figures = _figures(subject, requests, timed) | {"speed_up": reached, "limit": limit}
    passed = reached >= OF_THE_LIMIT * limit and (limit < WORTH or reached >= SPEED_UP)
    return Result(
        name="mtp-speed",
        ratio_to_peer={
            "own greedy decoding": ratio(timed["plain"], timed["mtp k=5"]),
            "transformers prompt-lookup": ratio(timed["prompt-lookup"], timed["mtp k=5"]),
        },
        ratio_to_limit=reached / limit,
        passed=passed,
        threshold=f">= {OF_THE_LIMIT} of the limit at k = 5, batch 1; >= {SPEED_UP}x plain where it is >= {WORTH}",
        terms=terms,
        sizes={
            "parameters": subject.backbone.lm.num_parameters(),
            "clips_batch_1": len(few),
            "clips_other": len(requests),
            "tokens": int(terms["tokens"]),
        },
        sides=timed,
        figures=figures,
        notes=("ratios to peers include reading the prompt; the limit's terms do not",),
    )


def _sides(
    subject: Subject, few: Sequence[Request], many: Sequence[Request]
) -> dict[str, Callable[[], object]]:
    first = [replace(one, sampling=replace(one.sampling, max_tokens=1)) for one in few]
    plain = subject.plain(1)
    sides: dict[str, Callable[[], object]] = {
        "plain": lambda: [plain.generate([one]) for one in few],
        "plain, first token": lambda: [plain.generate([one]) for one in first],
        "prompt-lookup": lambda: [transformers_lookup(subject, one, 5) for one in few],
    }
    for depth in DEPTHS:
        decoder = subject.verified(1, depth)
        decoder.rounding(few[0])  # measured once a process, not part of decoding
        sides[f"mtp k={depth}"] = _each(decoder, few)
    sides["mtp, first token"] = _each(decoder, first)
    for batch in BATCHES:
        engine = subject.plain(batch)
        sides[f"plain, batch {batch}"] = partial(engine.generate, many)
        for depth in DEPTHS:
            wide = subject.verified(batch, depth, certify=False)
            sides[f"mtp k={depth}, batch {batch}"] = partial(wide.generate, many)
    return sides | _parts(subject, few)


def _each(decoder: VerifiedDecoder, requests: Sequence[Request]) -> Callable[[], object]:
    return lambda: [decoder.generate([one]) for one in requests]


def _parts(subject: Subject, few: Sequence[Request]) -> dict[str, Callable[[], object]]:
    """A round's parts by themselves, once for each request, amid its decoding."""
    sessions = [_amid(subject.verified(1), one) for one in few]
    return {
        "pass of 1": lambda: [_pass(one, 1) for one in sessions],
        "pass of 6": lambda: [_pass(one, 6) for one in sessions],
        "5 drafts": lambda: [_drafts(one) for one in sessions],
    }


@torch.inference_mode()
def _amid(decoder: VerifiedDecoder, request: Request) -> Session:
    """After two rounds, or at the prompt's end where it says less."""
    for rounds in (2, 1, 0):
        session = Session(decoder, [Row(request, request.sampling.max_tokens, decoder.depth)])
        session.admit()
        for _ in range(rounds):
            if session.rows:
                session.round()
        if session.rows:
            return session
    return session


REPEATED = 20


@torch.inference_mode()
def _pass(session: Session, width: int) -> None:
    for row in session.rows:
        for _ in range(REPEATED):
            window = Window([row.length - 1], width, session.memory.embeds.device)
            session.vocabulary.logits(session.read(window.read(session.memory.embeds), window))


@torch.inference_mode()
def _drafts(session: Session) -> None:
    for row in session.rows:
        for _ in range(REPEATED):
            propose(session, [row.length], session.depth)


def _terms(subject: Subject, few: Sequence[Request], timed: dict[str, Timing]) -> dict[str, float]:
    """tau counts tokens after the first, which the prompt's own pass says."""
    decoder = subject.verified(1)
    said = [one for request in few for one in decoder.generate([request])]
    tokens = sum(len(one.tokens) - 1 for one in said)
    rounds = sum(one.forward_passes - 1 for one in said)
    one = timed["pass of 1"].median
    return {
        "tau": tokens / max(1, rounds),
        "v_k": timed["pass of 6"].median / one,
        "d": timed["5 drafts"].median / one,
        "tokens": float(tokens),
        "rounds": float(rounds),
        "pass_of_1_s": one / (REPEATED * len(few)),
        "plain_decode_s": timed["plain"].median - timed["plain, first token"].median,
        "mtp_decode_s": timed["mtp k=5"].median - timed["mtp, first token"].median,
    }


def _figures(
    subject: Subject, requests: Sequence[Request], timed: dict[str, Timing]
) -> dict[str, float]:
    """Accepted length and end-to-end speed-up of each k and batch."""
    rates = acceptance(one.decoding for one in subject.verified(16).generate(requests))
    found = {f"k={k}, batch 1": ratio(timed["plain"], timed[f"mtp k={k}"]) for k in DEPTHS}
    for batch in BATCHES:
        for k in DEPTHS:
            peer = timed[f"plain, batch {batch}"]
            found[f"k={k}, batch {batch}"] = ratio(peer, timed[f"mtp k={k}, batch {batch}"])
    if rates is not None:
        found["accepted_length"] = rates.mean_length
        for place in range(len(rates.prefix_survival)):
            found[f"prefix_survival_{place + 1}"] = rates.prefix_survival[place]
            found[f"conditional_{place + 1}"] = rates.conditional[place]
    return found
