"""The words of the pages, by language: catalogues in TOML with the same keys in each."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from trivox.platform.errors import NotFound

LANGUAGES = {"en": "English", "zh": "中文"}
DEFAULT = "en"
TAGS = {"en": "en", "zh": "zh-CN"}
_FOLDER = Path(__file__).with_name("i18n")


class Words:
    """The catalogue of one language: `words("task.send")`; unknown languages speak English."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else DEFAULT
        self.tag = TAGS[self.language]
        self.other = next(one for one in LANGUAGES if one != self.language)
        self.other_name = LANGUAGES[self.other]

    def __call__(self, key: str, **values: object) -> str:
        """The text with its {names} filled in; NotFound for a key that the catalogue lacks."""
        texts = catalogue(self.language)
        if key not in texts:
            raise NotFound(
                f"{self.language}.toml has no words for {key!r}: add them to each language"
            )
        return texts[key].format(**values) if values else texts[key]

    def text(self, texts: Mapping[str, str]) -> str:
        """Of a text in several languages this one, or English."""
        return texts.get(self.language) or texts[DEFAULT]

    def section(self, name: str) -> dict[str, str]:
        """One section's texts by the rest of their keys."""
        start = f"{name}."
        texts = catalogue(self.language)
        return {key.removeprefix(start): texts[key] for key in texts if key.startswith(start)}


@cache
def catalogue(language: str) -> dict[str, str]:
    """`section.key` -> text."""
    sections = tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    return {
        f"{name}.{key}": text for name, texts in sections.items() for key, text in texts.items()
    }


def chosen_language(kept: str | None, accepted: str | None) -> str:
    """The language kept in a cookie, else the first of an Accept-Language header that there is, else English."""
    if kept in LANGUAGES:
        return kept
    for part in (accepted or "").split(","):
        tag = part.split(";")[0].strip().lower().split("-")[0]
        if tag in LANGUAGES:
            return tag
    return DEFAULT
