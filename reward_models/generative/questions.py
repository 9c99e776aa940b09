"""What a generative judge is asked: two replies to one request, seen in one order or the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from trivox.platform.hashing import content_hash, derived_seed
from trivox.platform.records import Persona, Rubric


@dataclass(frozen=True)
class Line:
    """A turn before the replies: role "user" or "assistant", and its words."""

    role: str
    text: str


@dataclass(frozen=True, eq=False)
class Reply:
    """One of the two replies. text: its words; codes: int32 [n, Q] of the policy's codec; samples: float32 [n] or
    [n, channels] at rate Hz, for judges that hear. What a judge cannot take, it leaves out; with nothing left it
    fails."""

    id: str
    text: str | None = None
    codes: npt.NDArray[np.int32] | None = None
    samples: npt.NDArray[np.float32] | None = None
    rate: int | None = None

    @cached_property
    def content(self) -> str:
        """Hash of what it says and how it sounds, whatever its id."""
        heard = [
            None if wave is None else sha256(np.ascontiguousarray(wave).tobytes()).hexdigest()
            for wave in (self.codes, self.samples)
        ]
        return content_hash([self.text, *heard, self.rate])


@dataclass(frozen=True, eq=False)
class Question:
    """Which of two replies is better. second is the reference y* where a reply is judged against one.

    history: the turns that are answered, the last one the user's. rubric: what to weigh; None: overall.
    """

    id: str
    first: Reply
    second: Reply
    history: tuple[Line, ...] = ()
    persona: Persona | None = None
    rubric: Rubric | None = None
    instruction: str | None = None
    language: str = "en"

    @property
    def swapped(self) -> "Question":
        """The same question with the replies the other way round."""
        return replace(self, first=self.second, second=self.first)

    @cached_property
    def content(self) -> str:
        """Hash of what is asked, the same in both orders."""
        criteria: Mapping[str, tuple[float, str]] = self.rubric.criteria if self.rubric else {}
        asked = [
            [[line.role, line.text] for line in self.history],
            [self.persona.description, dict(self.persona.traits)] if self.persona else None,
            {name: list(criterion) for name, criterion in criteria.items()},
            self.instruction,
            self.language,
        ]
        return content_hash([asked, sorted((self.first.content, self.second.content))])

    @property
    def in_order(self) -> bool:
        """Whether the replies stand in the order of their contents, in which every question is worked on: so that
        a question and its swap are the same work to the last bit."""
        return self.first.content <= self.second.content


@dataclass(frozen=True, eq=False)
class View:
    """A question as it is shown once: shown[0] is called A, shown[1] B. vote: which of the k draws."""

    question: Question
    shown: tuple[Reply, Reply]
    vote: int = 0
    seed: int = field(default=0, compare=False)

    @property
    def key(self) -> str:
        """Names the view by its content: equal views get equal seeds and answers."""
        return content_hash([self.question.content, self.shown[0].content, self.vote])


def views_of(question: Question, votes: int, seed: int) -> list[View]:
    """Both orders, `votes` of each, of a question whose replies are in order."""
    orders = [(question.first, question.second), (question.second, question.first)]
    views = [View(question, order, vote) for order in orders for vote in range(votes)]
    return [replace(view, seed=derived_seed("vote", seed, view.key)) for view in views]
