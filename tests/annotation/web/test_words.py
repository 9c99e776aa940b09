"""The catalogues: both languages say everything, and the pages ask for nothing that they lack."""

import re
import string
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trivox.annotation.web.pauses import reason_in
from trivox.annotation.web.words import LANGUAGES, Words, catalogue, chosen_language
from trivox.annotation.work.questions import questions
from trivox.annotation.work.shapes import SkipReason, Why
from trivox.platform.errors import NotFound
from trivox.platform.records import Branch, WorkPause

WEB = Path(__file__).resolve().parents[3] / "annotation" / "web"


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys_and_fields() -> None:
    english, chinese = catalogue("en"), catalogue("zh")
    assert english.keys() == chinese.keys()
    assert {key for key in english if fields(english[key]) != fields(chinese[key])} == set()
    same = {key for key in english if english[key] == chinese[key]}
    assert same == set(), "not translated"


def used_by_pages() -> set[str]:
    """Keys that templates and pages name; `skip.` stands for a key made of it."""
    sources = [*WEB.glob("templates/**/*.html"), *WEB.glob("*.py")]
    asked = r"""\b(?:t|words)\(\s*f?["']([a-z_.0-9]+)["'{]"""
    texts = [path.read_text(encoding="utf-8") for path in sources]
    return {key for text in texts for key in re.findall(asked, text)}


def used_by_scripts() -> set[str]:
    scripts = [path.read_text(encoding="utf-8") for path in WEB.glob("static/*.js")]
    calls = [call for text in scripts for call in re.findall(r"\bsay\(([^)]*)\)", text)]
    return {key for call in calls for key in re.findall(r'"([a-z_]+)"', call.split(", {")[0])}


def test_pages_and_scripts_find_their_words() -> None:
    keys, asked = catalogue("en").keys(), used_by_pages()
    assert len(asked) > 80 and len(used_by_scripts()) > 40
    exact = {key for key in asked if not key.endswith(".")}
    assert exact - keys == set()
    assert used_by_scripts() - Words("en").section("js").keys() == set()


def test_no_words_that_nothing_says() -> None:
    made_of = {key for key in used_by_pages() if key.endswith(".")} | {"nothing.title_"}
    asked = used_by_pages() | {f"js.{key}" for key in used_by_scripts()}
    asked |= {"error.refused", "error.title"}
    # Chosen by a variable in board.js.
    asked |= {"js.playing", "js.heard", "js.partly", "js.unheard"}
    left = catalogue("en").keys() - asked
    assert {key for key in left if not key.startswith(tuple(made_of))} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_records_name_has_words(language: str) -> None:
    words = Words(language)
    for key in [
        *(f"skip.{reason.value}" for reason in SkipReason),
        *(f"why.{reason.value}" for reason in Why),
        *(f"branch.{branch.value}" for branch in Branch),
    ]:
        assert words(key)


@pytest.mark.parametrize("language", LANGUAGES)
def test_questions_speak_every_language(language: str) -> None:
    for one in questions().values():
        texts = [one.title, *one.reasons.values(), *filter(None, [one.help])]
        texts += [text for scale in one.dimensions for text in (scale.title, scale.low, scale.high)]
        assert all(language in text for text in texts), one.reference


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(NotFound, match=r"en\.toml has no words for 'task\.sned'"):
        Words("en")("task.sned")


@pytest.mark.parametrize(
    ("kept", "accepted", "language"),
    [
        (None, None, "en"),
        ("zh", "en", "zh"),
        ("xx", "zh-CN,en;q=0.8", "zh"),
        (None, "fr-FR,zh-Hans;q=0.9,en;q=0.8", "zh"),
        (None, "fr, de", "en"),
        (None, ",;,;q=", "en"),
    ],
)
def test_language_of_a_browser(kept: str | None, accepted: str | None, language: str) -> None:
    assert chosen_language(kept, accepted) == language


def test_a_pause_is_told_in_the_language_of_the_pages() -> None:
    """The checks by their figures, so that nothing of a stored English text is left; leads in their own words."""
    figures = {
        "gold": {"asked": 8, "right": 3, "wanted": 0.7},
        "trap": {"asked": 5, "missed": 2},
        "straight": {"answer": 3, "count": 19, "of": 20},
        "side": {"first": 2, "of": 40, "p": 1e-9},
    }
    now = datetime(2030, 1, 1, tzinfo=UTC)
    paused = {
        kind: WorkPause("p", "pr", "c", "a", kind, "stored", now, found)
        for kind, found in figures.items()
    }
    english = {kind: reason_in(Words("en"), one) for kind, one in paused.items()}
    assert "8 control questions 3 were answered as expected; 70%" in english["gold"]
    assert "B was preferred in 38 of your last 40" in english["side"]
    for kind, one in paused.items():
        chinese = reason_in(Words("zh"), one)
        assert chinese != english[kind] and "申诉" in chinese and "stored" not in chinese
    by_lead = WorkPause("p", "pr", "c", "a", "lead", "Let us talk.", now)
    assert reason_in(Words("zh"), by_lead) == "Let us talk."
