"""How the codes of several codebooks stand in one sequence of ids.

Ids here count from 0 within the audio part of a vocabulary; a token map adds its own first id. Codebook q owns
the range that begins at `offsets(sizes, layout)[q]`. With codes c[t, q], T frames and Q codebooks:

"flat"           c[0,0] c[0,1] ... c[0,Q-1] c[1,0] ...: frame by frame. T * Q ids.
"delayed"        the delay pattern of MusicGen (Copet et al. 2023, section 2.2), step by step: step s holds, for
                 each q in turn, c[s-q, q], or the pad of codebook q where s-q is outside 0..T-1. The pad is the id
                 after the last code of its codebook. (T + Q - 1) * Q ids; none for T = 0.
"interleaved"    blocks of 10 frames ("interleaved:N": of N), codebook by codebook within a block: N codes of
                 codebook 0, N of codebook 1, ... The last block holds the frames that are left, m <= N codes of
                 each. T * Q ids.
"parallel"       one position per frame, a head for each codebook.
"depth"          one position per frame, the codebooks of a frame by a depth transformer.

The last two are no sequence in one vocabulary: they are stored and imported as int32 [T, Q], and everything
that needs one sequence, trainers first of all, refuses them with UnsupportedLayout.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from trivox.platform.errors import ConfigError, UnsupportedLayout, UsageError

Codes = npt.NDArray[np.int32]
Ids = npt.NDArray[np.int64]

FLAT, DELAYED, INTERLEAVED = "flat", "delayed", "interleaved"
STORED_ONLY = ("parallel", "depth")
BLOCK_FRAMES = 10


def check_layout(layout: str) -> None:
    """Raises ConfigError for a layout that is not known."""
    if layout not in STORED_ONLY:
        parse_layout(layout)


def check_sequential(layout: str) -> None:
    """For trainers and engines: raises UnsupportedLayout for a layout that is no sequence in one vocabulary."""
    if layout in STORED_ONLY:
        raise UnsupportedLayout(layout)
    parse_layout(layout)


def offsets(sizes: Sequence[int], layout: str) -> tuple[int, ...]:
    """The first id of each codebook."""
    return tuple(accumulate(_widths(sizes, layout)[:-1], initial=0))


def vocabulary_size(sizes: Sequence[int], layout: str) -> int:
    """How many ids the layout needs: the codes, and in "delayed" a pad per codebook."""
    return sum(_widths(sizes, layout))


def flatten(codes: Codes, sizes: Sequence[int], layout: str) -> Ids:
    """int32 [T, Q] -> int64 ids. Raises UsageError for a code outside its codebook, UnsupportedLayout."""
    _check_codes(codes, sizes)
    name, block = parse_layout(layout)
    ids = codes.astype(np.int64) + np.array(offsets(sizes, layout), np.int64)
    if name == DELAYED:
        return _delay(ids, sizes, layout)
    if name == INTERLEAVED:
        parts = [ids[start : start + block].T.reshape(-1) for start in range(0, len(ids), block)]
        return np.concatenate([np.zeros(0, np.int64), *parts])
    return ids.reshape(-1)


def unflatten(ids: npt.ArrayLike, sizes: Sequence[int], layout: str) -> Codes:
    """Ids -> int32 [T, Q]. Frames that lack a codebook at the end, as of a reply that was cut off, are left out.

    Raises UsageError, naming the place, for an id that cannot stand where it stands; UnsupportedLayout.
    """
    flat = np.asarray(ids, np.int64).reshape(-1)
    name, block = parse_layout(layout)
    if name == DELAYED:
        return _undelay(flat, sizes, layout)
    if name == INTERLEAVED:
        return _from_blocks(flat, sizes, layout, block)
    depth = len(sizes)
    _check_places(flat, np.arange(len(flat)) % depth, sizes, layout)
    whole = flat[: len(flat) - len(flat) % depth].reshape(-1, depth)
    return _codes(whole, sizes, layout)


def parse_layout(layout: str) -> tuple[str, int]:
    """flat, delayed or interleaved, and the frames of its blocks. Raises UnsupportedLayout, ConfigError."""
    name, colon, frames = layout.partition(":")
    if layout in STORED_ONLY:
        raise UnsupportedLayout(layout)
    if layout in (FLAT, DELAYED, INTERLEAVED):
        return layout, BLOCK_FRAMES
    if name == INTERLEAVED and colon and frames.isdecimal() and int(frames) > 0:
        return name, int(frames)
    raise ConfigError(
        f"layout {layout!r} is not known: choose {FLAT}, {DELAYED}, {INTERLEAVED}, {INTERLEAVED}:FRAMES, "
        f"or, stored but not trained on, {' or '.join(STORED_ONLY)}"
    )


def _widths(sizes: Sequence[int], layout: str) -> list[int]:
    pad = 1 if parse_layout(layout)[0] == DELAYED else 0
    return [size + pad for size in sizes]


def _delay(ids: Ids, sizes: Sequence[int], layout: str) -> Ids:
    frames, depth = ids.shape
    if frames == 0:
        return np.zeros(0, np.int64)
    steps = np.tile(_pads(sizes, layout), (frames + depth - 1, 1))
    for q in range(depth):
        steps[q : q + frames, q] = ids[:, q]
    return steps.reshape(-1)


def _undelay(flat: Ids, sizes: Sequence[int], layout: str) -> Codes:
    depth = len(sizes)
    place = np.arange(len(flat))
    _check_places(flat, place % depth, sizes, layout)
    steps = flat[: len(flat) - len(flat) % depth].reshape(-1, depth)
    pads = _pads(sizes, layout)
    # A whole sequence ends in the pads of codebook 0; one that was cut off has none there.
    first = steps[:, 0] == pads[0]
    frames = min(int(first.argmax()) if first.any() else len(first), len(steps) - depth + 1)
    if frames <= 0:
        return np.zeros((0, depth), np.int32)
    whole = np.stack([steps[q : q + frames, q] for q in range(depth)], 1)
    _check_pads(steps, whole, frames, pads)
    return _codes(whole, sizes, layout)


def _check_pads(steps: Ids, whole: Ids, frames: int, pads: Ids) -> None:
    inside = np.argwhere(whole == pads)
    early = [(s, q) for q in range(len(pads)) for s in range(q) if steps[s, q] != pads[q]]
    if len(inside):
        frame, q = inside[0]
        raise UsageError(
            f"frame {frame} of {frames} has a pad for codebook {q}: the ids are in no delay pattern"
        )
    if early:
        raise UsageError(
            f"step {early[0][0]} has a code of codebook {early[0][1]}, which begins later: "
            "the ids are in no delay pattern"
        )


def _pads(sizes: Sequence[int], layout: str) -> Ids:
    return np.array(offsets(sizes, layout), np.int64) + np.array(sizes, np.int64)


def _from_blocks(flat: Ids, sizes: Sequence[int], layout: str, block: int) -> Codes:
    """Blocks of `block` frames; the ids of codebook 0 that begin the last one say how many frames it holds."""
    depth, parts = len(sizes), [np.zeros((0, len(sizes)), np.int64)]
    second = offsets(sizes, layout)[1] if depth > 1 else vocabulary_size(sizes, layout)
    for start in range(0, len(flat), block * depth):
        part = flat[start : start + block * depth]
        later = part[:block] >= second
        held = int(later.argmax()) if later.any() else len(part[:block])
        books = np.arange(len(part)) // max(1, held)
        if books[-1] >= depth:
            raise UsageError(
                f"id {part[held * depth]} at {start + held * depth} follows a whole block of {held} frames, "
                f"and only the last block may hold fewer than {block}: the ids are in another layout"
            )
        _check_places(part, books, sizes, layout, start)
        whole = max(0, len(part) - held * (depth - 1))
        rows = [part[q * held : q * held + whole] for q in range(depth)]
        parts.append(np.stack(rows, 1))
    return _codes(np.concatenate(parts), sizes, layout)


def _check_places(
    flat: Ids, books: npt.NDArray[np.int64], sizes: Sequence[int], layout: str, start: int = 0
) -> None:
    first = np.array(offsets(sizes, layout), np.int64)[books]
    after = first + np.array(_widths(sizes, layout), np.int64)[books]
    wrong = np.flatnonzero((flat < first) | (flat >= after))
    if len(wrong):
        at = wrong[0]
        raise UsageError(
            f"id {flat[at]} at {start + at} is outside {first[at]}..{after[at] - 1}, the ids of codebook "
            f"{books[at]}: the ids are not in the layout {layout!r}"
        )


def _codes(ids: Ids, sizes: Sequence[int], layout: str) -> Codes:
    return (ids - np.array(offsets(sizes, layout), np.int64)).astype(np.int32)


def _check_codes(codes: Codes, sizes: Sequence[int]) -> None:
    if codes.ndim != 2 or codes.shape[1] != len(sizes):
        raise UsageError(f"codes of shape {codes.shape}: [frames, {len(sizes)}] is wanted")
    wrong = np.argwhere((codes < 0) | (codes >= np.array(sizes)))
    if len(wrong):
        frame, q = wrong[0]
        raise UsageError(
            f"code {codes[frame, q]} of frame {frame} is outside codebook {q}, which has {sizes[q]} entries"
        )
