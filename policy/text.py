"""What a person writes, as what nano can say: lower case, no punctuation."""

import re
import unicodedata

_DROPPED = re.compile(r"[.,;:!?\"“”„«»\[\]…–—-]+")
_DIRECTIVE = re.compile(r"\([^()]*\)")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'"})


def speakable(text: str) -> str:
    """Lower case, punctuation but parentheses to spaces, accents kept; whether the rest is in the alphabet is not
    judged here."""
    folded = unicodedata.normalize("NFC", text).translate(_APOSTROPHES).lower()
    return " ".join(_DROPPED.sub(" ", folded).split())


def without_directives(text: str) -> str:
    """The words that are spoken: a text without what stands in parentheses."""
    return " ".join(_DIRECTIVE.sub(" ", text).split())
