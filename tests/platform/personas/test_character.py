"""In character: what a reply has to have, rule by rule, however it is written."""

import pytest

from trivox.platform.personas.character import Rule, in_character, verdicts
from trivox.platform.personas.registry import persona_of
from trivox.platform.records import Persona


def persona(**traits: str) -> Persona:
    return persona_of("default", "anna", "a sailor", traits)


ANNA = persona(opening="aye", address="captain", forbidden="as a model; I cannot")


@pytest.mark.parametrize(
    ("reply", "failed"),
    [
        ("aye captain the kitchen light is on", []),
        ("Aye, Captain! The kitchen light is on.", []),
        ("aye the kitchen light is on captain", []),
        ("sure captain the light is on", [Rule.OPENING]),
        ("aye my friend the light is on", [Rule.ADDRESS]),
        ("the light is on", [Rule.OPENING, Rule.ADDRESS]),
        ("aye captain, as a model, i cannot do it", [Rule.FORBIDDEN, Rule.FORBIDDEN]),
        ("aye captain I can not do it", []),
        ("ayecaptain", [Rule.OPENING, Rule.ADDRESS]),
        ("", [Rule.OPENING, Rule.ADDRESS]),
    ],
)
def test_rules(reply: str, failed: list[Rule]) -> None:
    verdict = in_character(ANNA, reply)
    assert [result.rule for result in verdict.failures] == failed
    assert verdict.passed is (not failed)
    assert len(verdict.results) == 4


def test_a_persona_without_rules_is_not_checked() -> None:
    verdict = in_character(persona(personality="calm"), "anything")
    assert (verdict.passed, verdict.results, verdict.failures) == (None, (), ())


def test_closing() -> None:
    butler = persona(closing="at your service")
    assert in_character(butler, "Done. At your service!").passed is True
    assert in_character(butler, "At your service, done.").passed is False


def test_other_languages_by_their_normaliser() -> None:
    host = persona(opening="好的", address="老板")
    assert in_character(host, "好的，老板，灯开了。", "zh").passed is True
    assert in_character(host, "老板，灯开了。", "zh").passed is False


def test_many_at_once_in_order() -> None:
    checked = verdicts([(ANNA, "aye captain"), (ANNA, "no")])
    assert [verdict.passed for verdict in checked] == [True, False]
    assert checked[0].persona == "anna@1"
