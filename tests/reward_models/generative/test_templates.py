"""Prompts: versions, hashes, and fences that no reply can leave."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reward_models.generative.judges import ANNA, SCALE, question, rubric
from trivox.platform.errors import ConfigError, NotFound
from trivox.reward_models.generative.injections import INJECTIONS
from trivox.reward_models.generative.questions import views_of
from trivox.reward_models.generative.templates import fenced, load_template, packaged


def shown(first: str, second: str = "no", reasons: bool = False) -> str:
    return SCALE.question_text(views_of(question(first, second), 1, 0)[0], reasons)


def test_the_packaged_ones_are_named_by_name_and_version() -> None:
    assert packaged() == ["ab@1", "backbone@1", "scale@1"]
    assert [load_template(name).reference for name in packaged()] == packaged()
    assert len({load_template(name).sha256 for name in packaged()}) == 3


def test_another_word_is_another_hash(tmp_path: Path) -> None:
    text = 'name = "mine"\nversion = 1\nsystem = "judge"\nquestion = "{{ a }} {{ b }}"\n'
    labels = '[labels]\nx = "first+1"\ny = "second+1"\n'
    for name, more in (("a", ""), ("b", 'cue = "So:"\n')):
        (tmp_path / f"{name}.toml").write_text(text + more + labels)
    found = [load_template(str(tmp_path / f"{name}.toml")) for name in "ab"]
    assert found[0].sha256 != found[1].sha256 and found[0].reference == "mine@1"


@pytest.mark.parametrize(
    ("labels", "more"),
    [
        ('a = "first+1"\nb = "both_good"', ""),
        ('a = "first+1"\nb = "second+2"', ""),
        ('a = "first+1"\nb = "first+1"\nc = "second+1"', ""),
        ('a = "first+1"\nb = "second+1"', "margins = [0.5, 0.1, 1.0]"),
    ],
)
def test_unfair_labels_and_falling_margins_are_refused(
    tmp_path: Path, labels: str, more: str
) -> None:
    text = f'name = "mine"\nversion = 1\nsystem = ""\nquestion = ""\n{more}\n[labels]\n{labels}\n'
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(ConfigError):
        load_template(str(tmp_path / "t.toml"))
    with pytest.raises(NotFound, match="scale@1"):
        load_template("scale@9")


def test_the_rubric_comes_first_and_heaviest_criterion_first() -> None:
    text = SCALE.system_text(rubric(kind=0.3, clear=0.7), None)
    assert text.index("clear (70%): is it clear") < text.index("kind (30%)")
    assert "Weigh" not in SCALE.system_text(None, None)


def test_everything_written_by_others_stands_in_fences_named_by_the_content() -> None:
    asked = question("the lamp is on", persona=ANNA)
    view = views_of(asked, 1, 0)[0]
    fence, text = asked.content[:8], SCALE.question_text(view, True)
    assert text.count(f"[[{fence} ") == text.count(f" {fence}]]") == 4
    assert f"[[{fence} the lamp is on {fence}]]" in text and "opening: aye" in text
    assert text.endswith(SCALE.reasoning) and not shown("a").endswith(SCALE.reasoning)


@given(st.text(st.sampled_from("[]<>|/ a")))
def test_no_text_can_end_a_fence_or_be_a_mark(text: str) -> None:
    safe = fenced(text)
    assert not any(mark in safe for mark in ("[[", "]]", "<|", "|>", "</"))
    assert safe.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("words", [one.text for one in INJECTIONS])
def test_injections_stay_inside_their_fence(words: str) -> None:
    """Between the fence of reply A and its end there is the whole injection, and nothing of it elsewhere."""
    asked = question(words, "the lamp is on")
    view = next(one for one in views_of(asked, 1, 0) if one.shown[0].text == words)
    fence, text = asked.content[:8], SCALE.question_text(view, False)
    inside = text.split(f"Reply A: [[{fence} ")[1].split(f" {fence}]]")[0]
    assert inside == fenced(words)
    assert text.count(f" {fence}]]") == 3


def test_a_text_with_the_language_of_templates_is_only_text() -> None:
    assert "{{ 7 * 7 }}" in shown("{{ 7 * 7 }}") and "49" not in shown("{{ 7 * 7 }}")
