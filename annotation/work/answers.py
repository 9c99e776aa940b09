"""Answers: whether they fit the question, and their turn from the order shown to the task's own."""

from collections.abc import Callable

from trivox.annotation.work.questions import Question
from trivox.annotation.work.shapes import BadAnswer, Given
from trivox.platform.records import Answer, AnswerKind, Span, Task, TaskKind

LONGEST_TEXT = 4000
MOST_MARKS = 50
_KINDS = {
    TaskKind.COMPARE: (AnswerKind.COMPARISON, AnswerKind.TIE),
    TaskKind.RATE: (AnswerKind.RATING,),
    TaskKind.RANK: (AnswerKind.RANKING,),
    TaskKind.CHECK: (AnswerKind.CHECK,),
    TaskKind.TRANSCRIBE: (AnswerKind.TRANSCRIPT,),
}


def answer_of(given: Given, question: Question, task: Task, shown: tuple[str, ...]) -> Answer:
    """The answer in the task's own order. Raises BadAnswer when it does not fit."""
    if given.kind not in _KINDS[task.kind]:
        wanted = " or ".join(kind.value for kind in _KINDS[task.kind])
        raise BadAnswer(
            f"a {given.kind.value} does not answer {question.reference}: give a {wanted}"
        )
    _check_words(given, question)
    try:
        return _TURNED[given.kind](given, question, task, shown)
    except ValueError as error:
        raise BadAnswer(str(error)) from error


def _check_words(given: Given, question: Question) -> None:
    unknown = [tag for tag in given.reasons if tag not in question.reasons]
    if unknown:
        raise BadAnswer(f"reason {unknown[0]!r} is not offered by {question.reference}")
    words = (given.comment or "").strip()
    if question.rationale == "required" and not words:
        raise BadAnswer("say in a sentence why: this question asks for your reasons")
    for text in (given.comment, given.transcript):
        if text is not None and len(text) > LONGEST_TEXT:
            raise BadAnswer(f"the text has {len(text)} characters: at most {LONGEST_TEXT}")


def _comparison(given: Given, question: Question, task: Task, shown: tuple[str, ...]) -> Answer:
    if given.comparison is None:
        raise ValueError("the comparison is missing: give -3..-1 or 1..3")
    turned = given.comparison if shown == task.items else -given.comparison
    return Answer(AnswerKind.COMPARISON, comparison=turned)


def _tie(given: Given, question: Question, task: Task, shown: tuple[str, ...]) -> Answer:
    if not question.ties:
        raise ValueError(f"{question.reference} has no tie: choose the better one")
    return Answer(AnswerKind.TIE, tie=given.tie)


def _rating(given: Given, question: Question, task: Task, shown: tuple[str, ...]) -> Answer:
    ratings = given.ratings or {}
    names = {one.name for one in question.dimensions}
    if ratings.keys() != names:
        raise ValueError(f"rate each of {', '.join(sorted(names))} once")
    outside = {name: value for name, value in ratings.items() if not 1 <= value <= 5}
    if outside:
        name, value = next(iter(outside.items()))
        raise ValueError(f"{name} is {value}: ratings go from 1 to 5")
    return Answer(AnswerKind.RATING, ratings=ratings)


def _ranking(given: Given, question: Question, task: Task, shown: tuple[str, ...]) -> Answer:
    places = given.ranking or ()
    if sorted(places) != list(range(len(shown))):
        raise ValueError(f"order each of the {len(shown)} clips once")
    return Answer(AnswerKind.RANKING, ranking=tuple(shown[place] for place in places))


def _check(given: Given, question: Question, task: Task, shown: tuple[str, ...]) -> Answer:
    return Answer(AnswerKind.CHECK, check=given.check)


def _transcript(given: Given, question: Question, task: Task, shown: tuple[str, ...]) -> Answer:
    return Answer(AnswerKind.TRANSCRIPT, transcript=given.transcript)


_TURNED: dict[AnswerKind, Callable[[Given, Question, Task, tuple[str, ...]], Answer]] = {
    AnswerKind.COMPARISON: _comparison,
    AnswerKind.TIE: _tie,
    AnswerKind.RATING: _rating,
    AnswerKind.RANKING: _ranking,
    AnswerKind.CHECK: _check,
    AnswerKind.TRANSCRIPT: _transcript,
}


def spans_of(
    given: Given, shown: tuple[str, ...], durations_s: tuple[float, ...]
) -> tuple[Span, ...]:
    """Marked stretches by item id; durations_s: of the items in the order shown. Raises BadAnswer."""
    if len(given.marks) > MOST_MARKS:
        raise BadAnswer(f"{len(given.marks)} stretches are marked: at most {MOST_MARKS}")
    made = []
    for mark in given.marks:
        if not 0 <= mark.position < len(durations_s):
            raise BadAnswer(f"a stretch is marked in clip {mark.position} of {len(durations_s)}")
        end = round(durations_s[mark.position] * 1000)
        if not 0 <= mark.start_ms < mark.end_ms <= end + 50:
            raise BadAnswer(f"{mark.start_ms}..{mark.end_ms} ms is not within the clip's {end} ms")
        made.append(Span(shown[mark.position], mark.start_ms, mark.end_ms, mark.kind[:40]))
    return tuple(made)


def side_of(answer: Answer) -> int | None:
    """1 for the first item, -1 for the second, 0 for a tie; None for what is no comparison."""
    if answer.comparison is not None:
        return 1 if answer.comparison > 0 else -1
    return 0 if answer.tie is not None else None


def agrees(answer: Answer, expected: Answer) -> bool:
    """Whether an answer is as expected: the side of a comparison, each rating within 1, the best of a ranking, the
    words of a transcript; strength and kind of tie are left free."""
    if answer.kind is AnswerKind.ABSTENTION or expected.kind is AnswerKind.ABSTENTION:
        return answer.kind is expected.kind
    if side_of(expected) is not None:
        return side_of(answer) == side_of(expected)
    if expected.ratings is not None:
        given = answer.ratings or {}
        return all(
            abs(given.get(name, 99) - value) <= 1 for name, value in expected.ratings.items()
        )
    if expected.ranking is not None:
        return answer.ranking is not None and answer.ranking[0] == expected.ranking[0]
    if expected.check is not None:
        return answer.check == expected.check
    return _words(answer.transcript) == _words(expected.transcript)


def _words(text: str | None) -> list[str]:
    letters = "".join(one if one.isalnum() else " " for one in (text or "").casefold())
    return letters.split()
