"""Language tags (BCP-47), checked lightly: their form, not the registry."""

import re

_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})(-(?P<script>[a-z]{4}))?(-(?P<region>[a-z]{2}|\d{3}))?"
    r"(?P<rest>(-([a-z0-9]{5,8}|\d[a-z0-9]{3}))*(-x(-[a-z0-9]{1,8})+)?)",
    re.IGNORECASE,
)


def language_tag(text: str) -> str | None:
    """The tag in its usual case (`zh-Hant-TW`), or None when the text has not the form of one."""
    match = _TAG.fullmatch(text.strip())
    if match is None:
        return None
    language, script, region, rest = match.group("language", "script", "region", "rest")
    parts = [language.lower(), (script or "").title(), (region or "").upper()]
    return "-".join(part for part in parts if part) + (rest or "").lower()
