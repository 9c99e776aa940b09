"""How one is doing, as the start page shows it: hours, pay, accuracy in training, answers, the next break."""

from typing import NamedTuple

from trivox.annotation.leads.figures import Doing, doing
from trivox.annotation.web.words import Words
from trivox.platform.store import Workspace

NONE = "–"


class Figure(NamedTuple):
    """more: small print below the value."""

    title: str
    value: str
    more: str = ""


def figures_of(workspace: Workspace, person: str, words: Words) -> list[Figure]:
    """A person's own figures in this project."""
    found = doing(workspace, person)
    today = words("home.answers_today", today=found.answers_today)
    in_all = words("home.hours_all", hours=f"{found.hours:.1f}")
    return [
        Figure(words("home.answers"), str(found.answers), today),
        Figure(words("home.hours"), f"{found.hours_week:.1f}", in_all),
        Figure(words("home.pay"), _pay(found)),
        _accuracy(found, words),
        Figure(words("home.break_due"), _break(found, words)),
    ]


def _pay(found: Doing) -> str:
    return " · ".join(f"{amount:.2f} {currency}" for currency, amount in found.pay.items()) or NONE


def _accuracy(found: Doing, words: Words) -> Figure:
    title = words("home.accuracy")
    if not found.training_asked:
        return Figure(title, NONE, words("home.no_accuracy"))
    share = found.training_right / found.training_asked
    more = words("home.accuracy_of", right=found.training_right, asked=found.training_asked)
    return Figure(title, f"{share:.0%}", more)


def _break(found: Doing, words: Words) -> str:
    if found.break_after is None:
        return words("home.no_break")
    if found.break_after == 0:
        return words("home.break_now")
    return words("home.break_in", count=found.break_after)
