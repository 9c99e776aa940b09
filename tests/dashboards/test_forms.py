"""The form of a round gives what the configuration says of itself, and what was changed in it."""

from typing import Any

import pytest
from pydantic import BaseModel
from streamlit.testing.v1 import AppTest

from trivox.dashboards.forms import is_table, without_none
from trivox.pipelines.rounds.config import RoundConfig
from trivox.platform.config import validated


def form() -> None:
    """Runs in the page: what the form says is laid in the session's state."""
    import streamlit as st

    from trivox.dashboards import forms
    from trivox.pipelines.rounds.config import RoundConfig

    choices = {"policy": lambda: ["one", "two"], "score.rewards": lambda: ["whisper-base-wer"]}
    st.session_state["said"] = forms.fields(RoundConfig, choices)


@pytest.fixture
def shown() -> AppTest:
    return AppTest.from_function(form, default_timeout=30).run()


def test_untouched_it_says_nothing_and_the_defaults_hold(shown: AppTest) -> None:
    assert not shown.exception and shown.session_state["said"] == {}
    assert validated({}, RoundConfig, "round") == RoundConfig()


def test_what_is_changed_is_said_and_nothing_else(shown: AppTest) -> None:
    shown.number_input(key="form.rollout.prompts").set_value(4)
    shown.number_input(key="form.rollout.resources.cpus").set_value(0.5)
    shown.selectbox(key="form.label.judges").set_value("simulated")
    shown.selectbox(key="form.policy").set_value("two")
    shown.multiselect(key="form.score.rewards").set_value(["whisper-base-wer"])
    shown.toggle(key="form.train_reward.used").set_value(True)
    shown.run()
    assert shown.session_state["said"] == {
        "policy": "two",
        "rollout": {"prompts": 4, "resources": {"cpus": 0.5}},
        "label": {"judges": "simulated"},
        "score": {"rewards": ["whisper-base-wer"]},
        "train_reward": {},
    }
    made = validated(shown.session_state["said"], RoundConfig, "round")
    assert made.rollout.prompts == 4 and made.train_reward is not None


def test_what_is_set_back_is_not_said(shown: AppTest) -> None:
    shown.number_input(key="form.rollout.prompts").set_value(4).run()
    shown.number_input(key="form.rollout.prompts").set_value(48).run()
    assert shown.session_state["said"] == {}


def tables(model: type[BaseModel], path: str = "") -> list[tuple[str, Any]]:
    """Every table of a model that is always there: its path, and its default."""
    found: list[tuple[str, Any]] = []
    for name, info in model.model_fields.items():
        inner, optional = without_none(info.annotation)
        if is_table(inner) and not optional:
            found += [(f"{path}{name}", info), *tables(inner, f"{path}{name}.")]
    return found


def test_a_table_of_the_round_starts_from_the_defaults_of_its_fields() -> None:
    """The form shows those, so a table whose own default is another one would be shown wrongly."""
    for path, info in tables(RoundConfig):
        inner, _ = without_none(info.annotation)
        assert info.get_default(call_default_factory=True) == inner(), path
