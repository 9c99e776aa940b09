"""Directives of style: in parentheses within a text, and as the words of a global instruction.

`turn on (slow) the light` is the text `turn on the light` whose characters from 8 on are to be slow. A directive
holds to the end of the text, or to where it or its opposite stands again; a point, such as `(pause)`, holds for no
text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

from trivox.platform.errors import BadDirective, ContradictoryStyle

OPPOSITES = (("slow", "fast"), ("low", "high"), ("soft", "loud"))


@dataclass(frozen=True)
class Directives:
    """A vocabulary. words: in lower case, all of them; opposites: pairs that cannot hold at once; points: those
    that stand at a place and hold for no text."""

    words: tuple[str, ...]
    opposites: tuple[tuple[str, str], ...] = ()
    points: frozenset[str] = frozenset()

    def opposite(self, word: str) -> str | None:
        both = next((pair for pair in self.opposites if word in pair), None)
        return both and both[1 - both.index(word)]


STYLE = Directives((*sum(OPPOSITES, ()), "pause"), OPPOSITES, frozenset({"pause"}))


@dataclass(frozen=True)
class DirectedText:
    """Plain text and, in order, (start, end, directive) in its characters; a point has start == end."""

    text: str
    spans: tuple[tuple[int, int, str], ...] = ()


def parse(marked: str, directives: Directives = STYLE) -> DirectedText:
    """Text with directives in parentheses -> plain text without outer white space, and the spans.

    Raises BadDirective for an unknown, empty, nested, unclosed or repeated directive, or one with nothing left to
    hold for; ContradictoryStyle for opposites at one place.
    """
    reader = _Reader(directives)
    at = 0
    while at < len(marked):
        if marked[at] == "(":
            end = _closing(marked, at, directives)
            reader.direct(_known(marked[at + 1 : end], at, directives), at)
            at = end + 1
        elif marked[at] == ")":
            raise _bad("closes nothing", ")", at, directives)
        else:
            reader.read(marked[at])
            at += 1
    return reader.finish()


def write(directed: DirectedText, directives: Directives = STYLE) -> str:
    """The marked text that `parse` reads as directed.

    Raises BadDirective for spans that no marks express: such as end early, lie out of order or start in white
    space.
    """
    text, pieces, done = directed.text, list[str](), 0
    for start, here in groupby(directed.spans, key=lambda span: span[0]):
        pieces += [text[done:start], _marks([word for *_, word in here], text, start)]
        done = start
    written = "".join([*pieces, text[done:]])
    if parse(written, directives) != directed:
        raise BadDirective(
            f"spans {directed.spans} of {text!r}: marks hold to the end of the text or to their opposite: "
            "let spans begin at a word, in order, and end there",
            0,
        )
    return written


def _marks(words: list[str], text: str, start: int) -> str:
    """Directives before character start, set apart by spaces where words are."""
    marks = [f"({word})" for word in words]
    if start >= len(text):
        return " ".join(["", *marks] if text else marks)
    apart = start == 0 or text[start - 1].isspace()
    return "".join(f"{mark} " for mark in marks) if apart else "".join(marks)


def instruction_words(
    instruction: str, directives: Directives = STYLE, names: Iterable[str] = ()
) -> tuple[str, ...]:
    """The words of a global instruction such as "emma, slow high", in lower case and in its order.

    names: further words that are allowed (voices). Raises BadDirective for another word, a repeated one or a
    point; ContradictoryStyle for opposites.
    """
    known = [*names, *(word for word in directives.words if word not in directives.points)]
    found: list[str] = []
    for match in re.finditer(r"[^\s,;.]+", instruction):
        word = match.group().lower()
        if word not in known or word in found:
            what = "stands twice" if word in found else "is no instruction"
            raise _bad(what, word, match.start(), Directives(tuple(known)))
        found.append(word)
    refuse_opposites(found, directives, f"instruction {instruction!r}")
    return tuple(found)


def refuse_opposites(words: Iterable[str], directives: Directives, where: str) -> None:
    """Raises ContradictoryStyle, which names both, when two words are opposites."""
    asked = set(words)
    for one, other in directives.opposites:
        if one in asked and other in asked:
            raise ContradictoryStyle(
                f"{where} asks for {one!r} and {other!r} at once: keep one of them", one, other
            )


@dataclass
class _Reader:
    directives: Directives
    text: str = ""
    waiting: list[tuple[str, int]] = field(default_factory=list)
    starts: list[tuple[int, str]] = field(default_factory=list)

    def direct(self, word: str, at: int) -> None:
        here = [earlier for earlier, _ in self.waiting]
        if word in here:
            raise _bad("stands twice", word, at, self.directives)
        refuse_opposites([*here, word], self.directives, f"character {at + 1}")
        self.waiting.append((word, at))

    def read(self, character: str) -> None:
        if not character.isspace():
            self._settle()
        elif not self.text or (self.waiting and self.text[-1].isspace()):
            return
        self.text += character

    def _settle(self) -> None:
        self.starts += [(len(self.text), word) for word, _ in self.waiting]
        self.waiting.clear()

    def finish(self) -> DirectedText:
        for word, at in self.waiting:
            if word not in self.directives.points:
                raise _bad("has no text after it", word, at, self.directives)
        self.text = self.text.rstrip()
        self._settle()
        spans = [(start, self._end(i), word) for i, (start, word) in enumerate(self.starts)]
        return DirectedText(self.text, tuple(spans))

    def _end(self, index: int) -> int:
        start, word = self.starts[index]
        if word in self.directives.points:
            return start
        enders = (word, self.directives.opposite(word))
        later = self.starts[index + 1 :]
        return next((begin for begin, other in later if other in enders), len(self.text))


def _closing(marked: str, at: int, directives: Directives) -> int:
    """Where the parenthesis that opens at `at` closes."""
    end, nested = marked.find(")", at), marked.find("(", at + 1)
    if end < 0:
        raise _bad("is not closed", marked[at : at + 20], at, directives)
    if 0 <= nested < end:
        raise _bad("opens within a directive", marked[nested : end + 1], nested, directives)
    return end


def _known(inside: str, at: int, directives: Directives) -> str:
    word = " ".join(inside.lower().split())
    if not word:
        raise _bad("is empty", "()", at, directives)
    if word not in directives.words:
        raise _bad("is no directive", word, at, directives)
    return word


def _bad(what: str, found: str, at: int, directives: Directives) -> BadDirective:
    return BadDirective(
        f"{found!r} at character {at + 1} {what}: known are {', '.join(directives.words)}", at
    )
