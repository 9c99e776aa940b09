"""Normalisers: what two texts are reduced to before they are compared, chosen by language.

Each has a name and a version that are stored with every error rate; a change of behaviour is a new
version. All are idempotent: f(f(text)) == f(text).
"""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

# Written without spaces between words: compared character by character.
_BY_CHARACTER = frozenset({"zh", "cmn", "yue", "wuu", "ja", "th", "lo", "km", "my"})

MIXED = "mul"
"""The BCP-47 tag of a text in several languages."""
# Kana, ideographs, Thai, Lao, Khmer and Burmese letters, each with the marks that stand on it.
_UNSPACED = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff]"
    "[\u0300-\u036f]*"
)

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_LONE_NUMBER = re.compile(r"(?<!\S)([0-9]{1,2})(?=[,.?!;]*(?:\s|$))")
_CLOCK = re.compile(r"(?<!\S)([0-9]{1,2}):([0-9]{2})(?![0-9:])")
_MINUS = re.compile(r"(?<!\S)[-−](?=\.?[0-9])")
_PLUS = re.compile(r"(?<!\S)\+(?=\.?[0-9])")


class Normaliser(Protocol):
    """Text to the form in which it is compared; `label` is what a record stores ("english@1")."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def label(self) -> str: ...

    def __call__(self, text: str) -> str: ...


class _Settling(ABC):
    """Applies _step until nothing changes: idempotent even where the step is not."""

    name = ""
    version = "1"

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    def __call__(self, text: str) -> str:
        return _settled(self._step, text)

    @abstractmethod
    def _step(self, text: str) -> str: ...


class English(_Settling):
    """Whisper's English normaliser (Radford et al. 2022, appendix C), with numbers made consistent.

    Whole numbers below 100 and clock times are written out first, so "2 2", "two 2" and "two two"
    take the same path ("22") and "8:30" equals "eight thirty"; signs are kept as words. Text that
    the library cannot take is normalised as Basic does.
    """

    name = "english"

    def __init__(self) -> None:
        self._whisper = EnglishTextNormalizer()
        self._basic = BasicTextNormalizer(preserve_marks=True)

    def _step(self, text: str) -> str:
        spelled = _spell_numbers(unicodedata.normalize("NFKC", text))
        try:
            normal = str(self._whisper(spelled))
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError):
            normal = str(self._basic(spelled))
        return _one_spaced(_spell_signs(normal))


class Characters(_Settling):
    """For scripts without spaces: letters, marks and digits only, full width folded, lower case."""

    name = "characters"

    def _step(self, text: str) -> str:
        folded = unicodedata.normalize("NFKC", text).casefold()
        return "".join(c for c in folded if unicodedata.category(c)[0] in "LMN")


class Basic(_Settling):
    """Any other language: Whisper's basic normaliser, keeping the marks that Indic scripts need."""

    name = "basic"

    def __init__(self) -> None:
        self._whisper = BasicTextNormalizer(preserve_marks=True)

    def _step(self, text: str) -> str:
        return _one_spaced(str(self._whisper(text)))


class Mixed(_Settling):
    """For several languages in one text ("mul"): each character of a script without spaces is a word of its own,
    the rest is as Basic leaves it. Words and characters counted together give the mixed error rate."""

    name = "mixed"

    def __init__(self) -> None:
        self._whisper = BasicTextNormalizer(preserve_marks=True)

    def _step(self, text: str) -> str:
        normal = str(self._whisper(unicodedata.normalize("NFKC", text)))
        return _one_spaced(_UNSPACED.sub(r" \g<0> ", normal))


def primary_language(language: str) -> str:
    """ "zh" of "zh-Hans-CN" and of "ZH_cn": the first subtag of a BCP-47 tag."""
    return re.split(r"[-_]", language.strip().lower())[0]


def by_character(language: str) -> bool:
    """Whether texts of this language are compared by characters, not words."""
    return primary_language(language) in _BY_CHARACTER


def normaliser_for(language: str) -> Normaliser:
    """The normaliser of a language given as BCP-47 ("en-GB", "zh"), "mul" for several at once."""
    if by_character(language):
        return _characters()
    if primary_language(language) == MIXED:
        return _mixed()
    return _english() if primary_language(language) == "en" else _basic()


def numbers_spelled(text: str, language: str) -> str:
    """English with whole numbers below 100 and clock times in words; other languages as they are."""
    return _spell_numbers(text) if primary_language(language) == "en" else text


@lru_cache(maxsize=1)
def _english() -> Normaliser:
    return English()


@lru_cache(maxsize=1)
def _characters() -> Normaliser:
    return Characters()


@lru_cache(maxsize=1)
def _mixed() -> Normaliser:
    return Mixed()


@lru_cache(maxsize=1)
def _basic() -> Normaliser:
    return Basic()


def _settled(step: Callable[[str], str], text: str) -> str:
    """The fixed point reached from text; of a cycle, its least member."""
    seen: dict[str, None] = {}
    while text not in seen:
        seen[text] = None
        text = step(text)
    trail = list(seen)
    return min(trail[trail.index(text) :])


def _spell_numbers(text: str) -> str:
    text = _CLOCK.sub(r"\1 \2", text)
    return _LONE_NUMBER.sub(lambda found: _spelled(found[1]), _spell_signs(text))


def _spell_signs(text: str) -> str:
    return _PLUS.sub("plus ", _MINUS.sub("minus ", text))


def _spelled(digits: str) -> str:
    """One or two digits in words; a leading zero is said ("05": "zero five")."""
    number = int(digits)
    if len(digits) == 2 and number < 10:
        return f"zero {_SMALL[number]}"
    if number < 20:
        return _SMALL[number]
    ten, one = _TENS[number // 10 - 2], number % 10
    return f"{ten} {_SMALL[one]}" if one else ten


def _one_spaced(text: str) -> str:
    return " ".join(text.split())
