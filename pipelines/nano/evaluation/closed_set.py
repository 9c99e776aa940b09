"""A closed-set listener: what is heard, in the words of the domain.

Speech audiometry tests intelligibility with closed sets (matrix sentence tests, Hagerman 1982), since an open
vocabulary counts homophones as errors: a recogniser writes "I captain" for "aye captain", of the original too.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

VOWELS = frozenset("aeiouyæɑɐɒɔəɚɛɜɝɪʊʌᵊᵻAIOQWY")
"""Of IPA, and the letters by which the teachers' phonemes write diphthongs."""
_UNHEARD = str.maketrans("", "", "ˈˌː .,!?;:'\"-—")


class ClosedSet:
    """Reads what was heard as the sequence of known words that sounds most like it."""

    def __init__(self, words: Sequence[str], phonemes: Callable[[str], str]) -> None:
        """words: of those that sound alike the first is read. phonemes: a text to its sounds, one letter each;
        stress and length marks do not count."""
        self._sounds = lru_cache(50_000)(lambda text: phonemes(text).translate(_UNHEARD))
        self.words, self.known = tuple(words), [self._sounds(word) for word in words]

    def read(self, heard: str) -> str:
        """The words whose sounds, one after the other, have the least edit distance from those heard; of equally
        near ones the fewest. Boundaries between the heard words do not count; nothing heard is nothing."""
        sounds = self._sounds(heard) if heard.strip() else ""
        costs, back = [(0.0, 0)], list[tuple[int, int]]()
        for end in range(1, len(sounds) + 1):
            cost, count, rank, begin = min(self._endings(sounds, end, costs))
            costs.append((cost, count))
            back.append((rank, begin))
        return " ".join(self.words[rank] for rank in _followed(back))

    def _endings(
        self, sounds: str, end: int, costs: Sequence[tuple[float, int]]
    ) -> Iterator[tuple[float, int, int, int]]:
        """(cost so far, words so far, rank of the word, where it begins) of each word that may end here."""
        for rank, known in enumerate(self.known):
            # A stretch of one sound is read as some word however long that is, so that every end has a way back.
            shortest = 1 if end == 1 else max(1, len(known) - SLACK)
            for begin in range(max(0, end - len(known) - SLACK), end - shortest + 1):
                before, count = costs[begin]
                yield before + distance(known, sounds[begin:end]), count + 1, rank, begin


SLACK = 2
"""How many sounds a word may be heard with more or less than it has."""


@lru_cache(1_000_000)
def distance(known: str, heard: str) -> float:
    """Edit distance; a vowel for a vowel, or a consonant for another, is one half."""
    row = [float(index) for index in range(len(heard) + 1)]
    for index, one in enumerate(known, 1):
        last, row[0] = row[0], float(index)
        for place, other in enumerate(heard, 1):
            changed = last + _change(one, other)
            last = row[place]
            row[place] = min(changed, last + 1, row[place - 1] + 1)
    return row[-1]


def _change(one: str, other: str) -> float:
    if one == other:
        return 0.0
    return 0.5 if (one in VOWELS) == (other in VOWELS) else 1.0


def _followed(back: Sequence[tuple[int, int]]) -> list[int]:
    """The ranks of the words, from the first to the last."""
    ranks, end = list[int](), len(back)
    while end > 0:
        rank, end = back[end - 1]
        ranks.append(rank)
    return ranks[::-1]
