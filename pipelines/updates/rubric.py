"""The rules of the realtime rubric on one turn of a dialogue: what needs no judge."""

from trivox.pipelines.realtime.simulator import UserTurn
from trivox.pipelines.realtime.tasks import missing
from trivox.platform.errors import ConfigError
from trivox.platform.personas.character import in_character
from trivox.platform.records import Persona, Rubric

ON_TOPIC, IN_CHARACTER, REMEMBERS = "on topic", "in character", "remembers"


def rubric_points(
    rubric: Rubric, persona: Persona, asked: UserTurn, said: str
) -> tuple[float, dict[str, float]]:
    """The weighted share of the rubric that a reply keeps, 0 to 1, and the share of each criterion that applies.

    on topic: of the values that the answer has to name, those it names; in character: of the persona's rules,
    those it keeps; remembers: as on topic, of a turn that leaves a value to the one before. With weights .4, .3
    and .3 a first turn with one of two values named and every rule kept is (.4 x .5 + .3 x 1) / .7 = .714. Raises
    ConfigError for a criterion that no rule checks.
    """
    if strange := sorted(set(rubric.criteria) - {ON_TOPIC, IN_CHARACTER, REMEMBERS}):
        raise ConfigError(
            f"rubric {rubric.name}: {strange[0]!r} is checked by no rule: have a generative judge score it"
        )
    named = _named(asked, said)
    verdict = in_character(persona, said)
    shares = {ON_TOPIC: named}
    if verdict.results:
        kept = sum(result.passed for result in verdict.results)
        shares[IN_CHARACTER] = kept / len(verdict.results)
    if asked.before:
        shares[REMEMBERS] = named
    shares = {name: share for name, share in shares.items() if name in rubric.criteria}
    weights = {name: rubric.criteria[name][0] for name in shares}
    total = sum(weights.values())
    return sum(weights[name] * share for name, share in shares.items()) / total, shares


def _named(asked: UserTurn, said: str) -> float:
    wanted = len(asked.intent.topic)
    return 1 - len(missing(asked, said)) / wanted if wanted else 1.0
