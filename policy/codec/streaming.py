"""Decoding as codes arrive, in chunks that do not depend on how they arrive.

A codec decodes a clip in chunks of `frames` frames, the first ones smaller if `opening` says so, each from a
window that holds `before` frames of context to its left and `after` to its right, fewer only at the true beginning
and end. What is in a window depends on the frame numbers alone, so codes pushed one by one, in pieces or all at
once give the same samples bit for bit, and decoding a whole clip is the same stream, drained.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trivox.platform.errors import UsageError

Codes = npt.NDArray[np.int32]
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Chunking:
    """In frames. The first samples come once the first chunk and `after` of them are there.

    opening: sizes of the first chunks: small ones let the sound begin early, and cost one pass each.
    """

    frames: int
    before: int
    after: int
    opening: tuple[int, ...] = ()

    def size(self, chunk: int) -> int:
        """Of a chunk, counted from 0; that of the last one of a clip may be less."""
        return self.opening[chunk] if chunk < len(self.opening) else self.frames


@dataclass(frozen=True)
class Window:
    """codes: int32 [n, Q]; of these the `count` frames from `skip` on are to be rendered."""

    codes: Codes
    skip: int
    count: int

    @property
    def begins(self) -> bool:
        """Whether the frames to render are the clip's first (for codecs with context to the left)."""
        return self.skip == 0

    @property
    def ends(self) -> bool:
        """Whether they are the clip's last (for codecs with context to the right)."""
        return self.skip + self.count == len(self.codes)


class ChunkedStream:
    """A CodecStream over render(window) -> float32 [window.count * samples_per_frame]."""

    def __init__(
        self, chunking: Chunking, codebooks: int, render: Callable[[Window], Samples]
    ) -> None:
        self._chunking, self._render = chunking, render
        self._kept: Codes = np.zeros((0, codebooks), np.int32)
        # Frame numbers: of the first one kept, and of the next one to render.
        self._base = self._next = 0
        self._chunks = 0
        self._open = True

    def push(self, codes: Codes) -> Samples:
        """int32 [n, Q] -> the samples that have become certain, float32 [m], often none.

        Raises UsageError after flush, or for codes of another number of codebooks.
        """
        self._check(codes)
        self._kept = np.concatenate([self._kept, codes.astype(np.int32)])
        chunking, parts = self._chunking, [np.zeros(0, np.float32)]
        while self._received >= self._next + (size := chunking.size(self._chunks)) + chunking.after:
            parts.append(self._chunk(size))
        return np.concatenate(parts)

    def flush(self) -> Samples:
        """The samples that are left, float32 [m]; the stream takes no more codes."""
        parts = [np.zeros(0, np.float32)]
        while (left := self._received - self._next) > 0:
            parts.append(self._chunk(min(self._chunking.size(self._chunks), left)))
        self._open = False
        return np.concatenate(parts)

    @property
    def _received(self) -> int:
        return self._base + len(self._kept)

    def _chunk(self, count: int) -> Samples:
        begin = max(0, self._next - self._chunking.before)
        end = min(self._next + count + self._chunking.after, self._received)
        codes = self._kept[begin - self._base : end - self._base]
        samples = self._render(Window(codes, self._next - begin, count))
        self._next += count
        self._chunks += 1
        keep = max(0, self._next - self._chunking.before)
        self._kept, self._base = self._kept[keep - self._base :], keep
        return samples

    def _check(self, codes: Codes) -> None:
        if not self._open:
            raise UsageError("this stream was flushed: open another with codec.stream()")
        if codes.ndim != 2 or codes.shape[1] != self._kept.shape[1]:
            raise UsageError(
                f"codes of shape {codes.shape}: [frames, {self._kept.shape[1]}] is wanted"
            )
