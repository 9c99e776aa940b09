"""Why work is paused, in the language of the pages: checks by their figures, leads in their own words."""

from trivox.annotation.web.words import Words
from trivox.platform.records import WorkPause


def reason_in(words: Words, pause: WorkPause) -> str:
    """For the person to read; as it was stored where it is no check that the catalogue knows."""
    values = _VALUES.get(pause.kind)
    if values is None or not pause.figures:
        return pause.reason
    return f"{words(f'paused.{pause.kind}', **values(pause.figures))} {words('paused.told')}"


def _gold(found: dict[str, float]) -> dict[str, object]:
    return {"asked": found["asked"], "right": found["right"], "wanted": f"{found['wanted']:.0%}"}


def _trap(found: dict[str, float]) -> dict[str, object]:
    return {"asked": found["asked"], "missed": found["missed"]}


def _straight(found: dict[str, float]) -> dict[str, object]:
    return {"count": found["count"], "of": found["of"]}


def _side(found: dict[str, float]) -> dict[str, object]:
    first, of = found["first"], found["of"]
    return {"side": "A" if first > of / 2 else "B", "count": max(first, of - first), "of": of}


_VALUES = {"gold": _gold, "trap": _trap, "straight": _straight, "side": _side}
