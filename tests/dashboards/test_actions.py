"""What people say to rounds and decide of versions on the pages: done by the service, and in the audit log."""

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboards.conftest import Show
from tests.pipelines.conftest import nano_record, prompt_set
from trivox.platform.records import (
    AuditEntry,
    Decision,
    PolicyStatus,
    PolicyVersion,
    Round,
    RoundStatus,
    Split,
)
from trivox.platform.registry import IN_USE
from trivox.platform.store import Workspace

STATES = {
    "pause": ("round_3", RoundStatus.WAITING, RoundStatus.PAUSED),
    "resume": ("round_3", RoundStatus.PAUSED, RoundStatus.QUEUED),
    "retry": ("round_4", RoundStatus.FAILED, RoundStatus.QUEUED),
    "cancel": ("round_3", RoundStatus.WAITING, RoundStatus.CANCELLED),
}


def press(shown: AppTest, label: str) -> AppTest:
    return next(one for one in shown.button if one.label == label).click().run()


@pytest.mark.parametrize("verb", STATES)
def test_a_verb_is_said_to_a_round_with_an_entry_in_the_log(
    show: Show, small: Path, verb: str
) -> None:
    name, was, becomes = STATES[verb]
    with Workspace.open(small) as ws:
        ws.records.replace(replace(ws.records.get(Round, name), status=was))
        shown = press(show(small, "rounds", round=name), verb.capitalize())
        assert not shown.exception
        assert ws.records.get(Round, name).status is becomes
        entry = ws.records.latest(AuditEntry)
        assert entry is not None
        assert (entry.actor, entry.action, entry.object) == ("researcher", f"{verb} round", name)
        said = [str(one.value) for one in shown.markdown]
        assert any(f"is **{becomes.value}**" in one for one in said)


def test_a_version_is_promoted_for_a_reason(show: Show, small: Path) -> None:
    """`three` won no more than it lost: only a reason puts it in use."""
    shown = press(show(small, "rounds", round="round_3"), "Promote")
    assert any("is not promoted" in one.value for one in shown.error)
    shown.text_input(key="force-three").set_value("listeners asked for it")
    press(shown, "Promote")
    with Workspace.open(small) as ws:
        assert ws.records.get(PolicyVersion, "three").status in IN_USE
        made = ws.records.find(Decision, subject="three", kind="promotion")
        assert [(one.actor, one.reason) for one in made] == [
            ("researcher", "listeners asked for it")
        ]


def test_a_branch_is_rolled_back_for_a_reason(show: Show, small: Path) -> None:
    shown = press(show(small), "Roll back")
    assert any("kept with its reason" in one.value for one in shown.error)
    shown.text_input(key="why-back-tts").set_value("it mumbles")
    shown = press(shown, "Roll back")
    assert not shown.exception and not shown.error
    with Workspace.open(small) as ws:
        assert ws.records.get(PolicyVersion, "two").status is PolicyStatus.RETIRED
        assert ws.records.get(PolicyVersion, "one").status in IN_USE
        entry = ws.records.latest(AuditEntry)
        assert entry is not None and (entry.actor, entry.action) == (
            "researcher",
            "roll back policy",
        )
    assert any(one.value.startswith("In use: name-one ← name-base") for one in shown.markdown)


def test_a_viewer_rolls_nothing_back(show: Show, built: Path) -> None:
    assert [one.label for one in show(built, person="viewer").button] == ["Sign out"]


def test_a_dry_run_says_what_it_takes_and_start_queues_it(show: Show, small: Path) -> None:
    """4 prompts of 3 candidates: 12 rollouts, by 2 rewards and 3 gates 60 scores."""
    with Workspace.open(small) as ws:
        ws.records.add(replace(nano_record(ws.project), artefact="package:trivox-nano-v2"))
        prompt_set(
            ws, dict.fromkeys(["one", "two", "three", "four"], Split.TRAIN) | {"five": Split.TEST}
        )
    shown = show(small, "rounds", view="New round")
    shown.selectbox(key="form.policy").set_value("trivox-nano-test")
    shown.selectbox(key="form.prompts").set_value("few@1")
    shown.number_input(key="form.rollout.prompts").set_value(4)
    shown.number_input(key="form.rollout.candidates").set_value(3)
    press(shown, "Dry run")
    assert not shown.exception and not shown.error
    assert [one.value for one in shown.success] == ["It can run."]
    work = shown.dataframe[0].value.set_index("work")["pieces"].to_dict()
    assert work["rollouts"] == 12 and work["scores"] == 60
    with Workspace.open(small) as ws:
        assert len(ws.records.find(Round)) == 4
        press(shown, "Start")
        assert "is queued" in shown.success[0].value
        made = ws.records.find(Round)[-1]
        assert made.status is RoundStatus.QUEUED and made.config["rollout"]["prompts"] == 4
        entry = ws.records.latest(AuditEntry)
        assert entry is not None and (entry.actor, entry.action) == ("researcher", "enqueue round")
