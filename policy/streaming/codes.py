"""`TokenMap.read_codes`, token by token."""

import numpy as np
import numpy.typing as npt

from trivox.policy.codec.layouts import FLAT, INTERLEAVED, parse_layout, unflatten
from trivox.policy.vocabulary import TokenMap

Codes = npt.NDArray[np.int32]


class CodeReader:
    """The frames of one completion, each as soon as all its codebooks are there.

    All frames together are those that `TokenMap.read_codes` reads in the whole completion.
    """

    def __init__(self, tokens: TokenMap) -> None:
        self.tokens = tokens
        name, block = parse_layout(tokens.layout)
        depth = len(tokens.codebook_sizes)
        # Ids after which the layout begins anew; a delay pattern never does.
        self._period = {FLAT: depth, INTERLEAVED: depth * block}.get(name)
        self._ids: list[int] = []
        self._given = 0

    def push(self, token: int) -> Codes:
        """int32 [n, Q]: the frames that this token completes, mostly none; tokens that are no audio complete none.

        Raises UsageError for an id that cannot stand where it stands, at the latest when its frames are whole.
        """
        depth = len(self.tokens.codebook_sizes)
        if not self.tokens.is_audio(token):
            return np.zeros((0, depth), np.int32)
        self._ids.append(token - self.tokens.audio_offsets[0])
        read = unflatten(self._ids, self.tokens.codebook_sizes, self.tokens.layout)
        new = read[self._given :]
        self._given = len(read)
        if len(self._ids) == self._period:
            self._ids, self._given = [], 0
        return new
