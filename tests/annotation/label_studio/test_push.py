"""Pushing: blind, each task once, whatever was interrupted or deleted there."""

import json
from dataclasses import replace
from xml.etree import ElementTree as tree

import pytest

from tests.annotation.label_studio.campaigns import StandIn, campaign_of, pushed, tasks_of
from trivox.annotation.label_studio.layout import (
    CHINESE,
    ENGLISH,
    Layout,
    labelling_config,
    same_config,
)
from trivox.annotation.label_studio.push import push
from trivox.annotation.people.audit import THE_SYSTEM
from trivox.annotation.work.questions import questions
from trivox.annotation.work.shapes import SkipReason
from trivox.annotation.work.states import add_missing
from trivox.platform.errors import UsageError
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Campaign,
    CampaignStatus,
    Control,
    LabelStudioProject,
    LabelStudioTask,
    Purpose,
    TaskKind,
    TaskState,
    Tie,
)
from trivox.platform.store import Workspace


def again(workspace: Workspace, client: StandIn, campaign: Campaign) -> tuple[int, int]:
    told = push(workspace, THE_SYSTEM, client, campaign)  # type: ignore[arg-type]
    return told.added, told.there


def test_a_second_push_adds_nothing(workspace: Workspace) -> None:
    client, campaign = pushed(workspace, 3)
    assert client.imports == 3 and len(client.configs) == 1
    assert again(workspace, client, campaign) == (0, 3)
    assert client.imports == 3
    assert all(row.remote for row in workspace.records.find(LabelStudioTask))


def test_what_is_seen_there_names_nothing(workspace: Workspace) -> None:
    client, campaign = pushed(workspace, 3)
    seen = json.dumps([one.data for one in client.tasks[1]]) + client.configs[1]
    hidden = ["secret", "policy", campaign.id, *tasks_of(workspace)]
    assert [word for word in hidden if word in seen] == []
    assert "calmly\\nsentence <1> & more" in seen


def test_sides_are_drawn_by_lot_and_kept(workspace: Workspace) -> None:
    """Of 40 tasks some are turned and some are not (all alike: 2 in 2^40), and a look at the store tells which."""
    campaign, client = campaign_of(workspace, 40), StandIn()
    again(workspace, client, campaign)
    tasks = tasks_of(workspace)
    rows = workspace.records.find(LabelStudioTask)
    assert {row.presentation == tasks[row.task].items for row in rows} == {True, False}
    assert all(sorted(row.presentation) == sorted(tasks[row.task].items) for row in rows)


def test_an_interrupted_push_goes_on(workspace: Workspace) -> None:
    campaign, client = campaign_of(workspace, 3), StandIn()
    client.fails_after = 1
    with pytest.raises(ConnectionError):
        again(workspace, client, campaign)
    client.fails_after = None
    assert again(workspace, client, campaign) == (2, 1)
    keys = [one.data["item"] for one in client.tasks[1]]
    assert len(keys) == len(set(keys)) == 3 and len(client.marks) == 1


def test_deleted_tasks_come_back_while_they_wait(workspace: Workspace) -> None:
    client, campaign = pushed(workspace, 3)
    finished, *_ = workspace.records.find(TaskState)
    workspace.records.replace(replace(finished, answered=1))
    client.tasks[1].clear()
    assert again(workspace, client, campaign) == (2, 1)


def test_a_deleted_project_is_made_anew(workspace: Workspace) -> None:
    client, campaign = pushed(workspace, 3)
    client.configs.clear(), client.tasks.clear(), client.marks.clear()
    client.marks["another"] = 1
    assert again(workspace, client, campaign) == (3, 0)
    assert workspace.records.find(LabelStudioProject)[0].remote == 2


def test_a_changed_configuration_is_put_back(workspace: Workspace) -> None:
    client, campaign = pushed(workspace, 1)
    kept = client.configs[1]
    client.configs[1] = kept.replace("A is better", "B is better")
    again(workspace, client, campaign)
    assert client.configs[1] == kept
    assert same_config(kept, f" {kept}\n") and not same_config(kept, "<View")


def test_controls_and_what_is_finished_stay_here(workspace: Workspace) -> None:
    campaign, client = campaign_of(workspace, 3), StandIn()
    gold, done, _ = tasks_of(workspace).values()
    expected = Answer(AnswerKind.COMPARISON, comparison=1)
    workspace.records.add(
        Control("c", campaign.project, campaign.id, gold.id, Purpose.GOLD, expected, campaign.created_at)
    )  # fmt: skip
    add_missing(workspace, campaign)
    state = workspace.records.get(TaskState, done.id)
    workspace.records.replace(replace(state, answered=1))
    told = push(workspace, THE_SYSTEM, client, campaign)  # type: ignore[arg-type]
    assert told.added == 1 and sorted(told.left_out.values()) == [1, 1]


def test_a_closed_campaign_is_not_pushed(workspace: Workspace) -> None:
    closed = replace(campaign_of(workspace, 1), status=CampaignStatus.CLOSED)
    with pytest.raises(UsageError, match="closed"):
        again(workspace, StandIn(), closed)


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_configurations_hold_every_answer_of_their_question(language: str) -> None:
    for asked in (one for one in questions().values() if one.kind is TaskKind.COMPARE):
        layout = Layout(asked.reference, language, 1, True, True, True, True)
        root = tree.fromstring(labelling_config(layout, asked))
        answers, *ticks = root.iter("Choices")
        aliases = [one.get("alias") for one in answers]
        strengths = ["3", "2", "1", "-1", "-2", "-3"]
        assert aliases == [*strengths, *Tie, *(f"skip:{one.value}" for one in SkipReason)]
        assert [one.get("alias") for tick in ticks for one in tick] == list(asked.reasons)
        names = {one.get("name") for one in root.iter("Audio")}
        assert names == {"audio_a", "audio_b", "history", "voice"}
        words = [one.get("value") for one in root.iter("Choice")]
        assert len(set(words)) == len(words)
