"""Phrases found in texts, word by word, however they are written: "Fifty, please!" has "50"."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from trivox.platform.text.normalise import by_character, normaliser_for


@dataclass(frozen=True)
class Words:
    """A text in two normal forms: normalised as a whole, and word by word.

    Both are needed: as a whole, English reads "fifty seconds" as "52nds"; word by word, "twenty five" is not "25".
    """

    whole: tuple[str, ...]
    each: tuple[str, ...]

    def __contains__(self, phrase: "Words") -> bool:
        return any(_find(text, part) for text, part in self._pairs(phrase))

    def begins_with(self, phrase: "Words") -> bool:
        return any(text[: len(part)] == part for text, part in self._pairs(phrase))

    def ends_with(self, phrase: "Words") -> bool:
        return any(text[-len(part) :] == part for text, part in self._pairs(phrase))

    def _pairs(self, phrase: "Words") -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Without the forms in which nothing is left of the phrase."""
        pairs = [(self.whole, phrase.whole), (self.each, phrase.each)]
        return [(text, part) for text, part in pairs if part]


def spoken(text: str, language: str = "en") -> Words:
    """The words of a text; characters in languages written without spaces."""
    whole = _normal(text, language)
    each = [part for word in text.split() for part in _normal(word, language) or _bare(word)]
    return Words(whole, tuple(each))


@lru_cache(maxsize=20_000)
def _normal(text: str, language: str) -> tuple[str, ...]:
    normal = normaliser_for(language)(text)
    return tuple(normal) if by_character(language) else tuple(normal.split())


def _bare(word: str) -> tuple[str, ...]:
    """A word of which the normaliser leaves nothing, as English does of "um"."""
    letters = "".join(filter(str.isalnum, word.casefold()))
    return (letters,) if letters else ()


def _find(text: Sequence[str], part: Sequence[str]) -> bool:
    size = len(part)
    return any(text[i : i + size] == part for i in range(len(text) - size + 1))
