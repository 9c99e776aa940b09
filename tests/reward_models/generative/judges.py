"""What the tests of generative judges share: small questions, and backends whose answers are known."""

from collections.abc import Callable, Sequence

from trivox.platform.hashing import derived_seed
from trivox.platform.records import Failure, Persona, Rubric
from trivox.reward_models.generative.backends import Identity, Reading, Spent
from trivox.reward_models.generative.judge import GenerativeJudge, JudgeSettings
from trivox.reward_models.generative.questions import Line, Question, Reply, View
from trivox.reward_models.generative.templates import Template, load_template
from trivox.reward_models.generative.verdicts import OUTCOMES, Outcome, belief

SCALE = load_template("scale@1")
ANNA = Persona("pe", "p", "anna", 1, "a first mate", {"opening": "aye", "address": "captain"})


def question(first: str = "the lamp is on", second: str = "no", **more: object) -> Question:
    history = (Line("user", "turn on the lamp"),)
    return Question("q", Reply("r1", first), Reply("r2", second), history, **more)  # type: ignore[arg-type]


def rubric(**criteria: float) -> Rubric:
    return Rubric("ru", "p", "r", 1, {name: (w, f"is it {name}") for name, w in criteria.items()})


class Told:
    """A backend that says what a function of the view says."""

    identity = Identity("told", "none", "told")
    spent = Spent()

    def __init__(self, tell: Callable[[View], Reading | Failure]) -> None:
        self.tell, self.asked = tell, list[View]()

    def read(
        self, views: Sequence[View], template: Template, reasons: bool
    ) -> list[Reading | Failure]:
        self.asked += views
        return [self.tell(view) for view in views]


def told(tell: Callable[[View], Reading | Failure], **settings: object) -> GenerativeJudge:
    return GenerativeJudge(Told(tell), SCALE, JudgeSettings(**settings))  # type: ignore[arg-type]


def at_random(view: View) -> Reading:
    """Any belief, the same for the same view: a judge that knows nothing of symmetry."""
    weights = {o: 1 + derived_seed(view.key, o.value) % 1000 for o in OUTCOMES}
    return Reading(belief({o: float(w) for o, w in weights.items()}), "random")


def always(outcome: Outcome) -> Callable[[View], Reading]:
    """Position bias alone: the same of A and B, whatever they are."""
    return lambda view: Reading(belief({outcome: 0.9, Outcome.CANNOT_TELL: 0.1}), outcome.value)
