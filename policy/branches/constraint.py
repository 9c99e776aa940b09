"""Decoding constraints: which tokens may follow, step by step."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from trivox.policy.codec.places import Place, start_of
from trivox.policy.vocabulary import TokenMap

Mask = npt.NDArray[np.bool_]
FRAMES_PER_CHUNK = 60
"""The most audio frames that one word may take where speech goes word by word: then the next one has to come."""


class ConstraintState(Protocol):
    """Where one completion stands."""

    def allowed(self) -> Mask:
        """bool [vocab_size]: what may follow now; never empty. Not to be written to."""
        ...

    def advance(self, token: int) -> None:
        """Take note of the token that was chosen."""
        ...


class Constraint(Protocol):
    """The decoding constraint of a branch for one prompt; a completion starts from `start()`."""

    def start(self) -> ConstraintState: ...


class TextConstraint:
    """Text or the end: what asr may say. It has no state of its own."""

    def __init__(self, tokens: TokenMap) -> None:
        self._mask = mask_of(tokens, tokens.writable_ids(), [tokens.eos])

    def start(self) -> "TextConstraint":
        return self

    def allowed(self) -> Mask:
        return self._mask

    def advance(self, token: int) -> None:
        pass


class AudioConstraint:
    """Audio in the order of the map's layout, and the end where its frames are whole: speech that carries no
    text."""

    def __init__(self, tokens: TokenMap) -> None:
        self.tokens, self._masks = tokens, dict[tuple[Any, bool], Mask]()

    def start(self) -> "_AudioState":
        place = start_of(self.tokens.codebook_sizes, self.tokens.layout)
        return _AudioState(self, place, self.tokens.audio_offsets[0])

    def mask(self, place: Place) -> Mask:
        """One for each kind of place, made when it is first met."""
        key = place.allowed(), place.may_end
        if key not in self._masks:
            first = self.tokens.audio_offsets[0]
            ids = [list(range(first + begin, first + end)) for begin, end in key[0]]
            ending = [self.tokens.eos] if key[1] else []
            self._masks[key] = mask_of(self.tokens, *ids, ending)
        return self._masks[key]


class _AudioState:
    def __init__(self, rules: AudioConstraint, place: Place, first: int) -> None:
        self.rules, self.place, self.first = rules, place, first

    def allowed(self) -> Mask:
        return self.rules.mask(self.place)

    def advance(self, token: int) -> None:
        if token != self.rules.tokens.eos:
            self.place.advance(token - self.first)


class GivenWords:
    """Speech of a text that is given: each chunk of text, then at least one frame of its audio, then the next
    chunk or more frames as the model chooses; the end after the last."""

    def __init__(self, tokens: TokenMap, chunks: list[list[int]]) -> None:
        self.chunks, self.books = chunks, _books(tokens)
        ahead = [[chunk[0]] for chunk in chunks[1:]] + [[tokens.eos]]
        self.onward = [mask_of(tokens, ids) for ids in ahead]
        self.forced = [[mask_of(tokens, [token]) for token in chunk] for chunk in chunks]

    def start(self) -> "_GivenState":
        return _GivenState(self)


class _GivenState:
    """chunk and letter: the next character of text to come; place and frames: within the audio of the chunk."""

    def __init__(self, rules: GivenWords) -> None:
        self.rules = rules
        self.chunk, self.letter, self.place, self.frames = 0, 0, 0, 0

    def allowed(self) -> Mask:
        rules = self.rules
        if self.letter < len(rules.chunks[self.chunk]):
            return rules.forced[self.chunk][self.letter]
        if self.place or not self.frames:
            return rules.books[self.place]
        onward = rules.onward[self.chunk]
        return onward if self.frames >= FRAMES_PER_CHUNK else rules.books[0] | onward

    def advance(self, token: int) -> None:
        if self.letter < len(self.rules.chunks[self.chunk]):
            self.letter += 1
        elif self.rules.books[self.place][token]:
            self.place = (self.place + 1) % len(self.rules.books)
            self.frames += self.place == 0
        elif self.chunk + 1 < len(self.rules.chunks):
            self.chunk, self.letter, self.frames = self.chunk + 1, 1, 0


class FreeWords:
    """Speech whose words the model chooses itself: a chunk of text, at least one frame, and so on; the end between
    frames. thinks: hidden reasoning comes before, between its two marks."""

    def __init__(self, tokens: TokenMap, thinks: bool) -> None:
        self.tokens, self.thinks, self.books = tokens, thinks, _books(tokens)
        self.begin = mask_of(tokens, tokens.chunk_starts())
        self.write = mask_of(tokens, tokens.writable_ids())
        self.think = mask_of(tokens, [tokens.think])
        self.thought = self.write | mask_of(tokens, [tokens.end_think])
        within = self.write & ~self.begin if tokens.text_by == "characters" else self.write
        self.within, self.spoken = within, within | self.books[0]
        self.between = self.books[0] | self.begin | mask_of(tokens, [tokens.eos])

    def start(self) -> "_FreeState":
        return _FreeState(self)


class _FreeState:
    """phase: "think" (its mark is due), "thought", "begin" (a chunk is due), "text" (in a chunk), "audio"."""

    def __init__(self, rules: FreeWords) -> None:
        self.rules, self.phase = rules, "think" if rules.thinks else "begin"
        self.letters, self.place, self.frames = 0, 0, 0

    def allowed(self) -> Mask:
        rules = self.rules
        if self.phase == "audio":
            if self.place:
                return rules.books[self.place]
            free = self.frames < FRAMES_PER_CHUNK
            return rules.between if free else rules.between & ~rules.books[0]
        if self.phase == "text":
            bare = self.letters < 2 and rules.tokens.text_by == "characters"
            return rules.within if bare else rules.spoken
        return {"think": rules.think, "thought": rules.thought, "begin": rules.begin}[self.phase]

    def advance(self, token: int) -> None:
        rules = self.rules
        if self.phase == "think":
            self.phase = "thought"
        elif self.phase == "thought":
            self.phase = "begin" if token == rules.tokens.end_think else "thought"
        elif rules.books[self.place][token]:
            self.phase, self.place = "audio", (self.place + 1) % len(rules.books)
            self.frames += self.place == 0
        else:
            self.letters = 1 if self.phase != "text" else self.letters + 1
            self.phase, self.frames = "text", 0


def mask_of(tokens: TokenMap, *ids: list[int]) -> Mask:
    """bool [vocab_size], true at the ids."""
    mask = np.zeros(tokens.vocab_size, np.bool_)
    for group in ids:
        mask[group] = True
    return mask


def _books(tokens: TokenMap) -> list[Mask]:
    """The ids of each codebook."""
    return [
        mask_of(tokens, list(range(*tokens.audio_range(book))))
        for book in range(len(tokens.audio_offsets))
    ]
