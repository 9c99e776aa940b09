"""What a person writes, as what nano can say: lower case, no punctuation."""

import re
import unicodedata

_DROPPED = re.compile(r"[.,;:!?\"“”„«»\[\]…–—-]+")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'"})


def speakable(text: str) -> str:
    """Lower case, punctuation to spaces, accents kept; whether the rest is in the alphabet is not judged here."""
    folded = unicodedata.normalize("NFC", text).translate(_APOSTROPHES).lower()
    return " ".join(_DROPPED.sub(" ", folded).split())
