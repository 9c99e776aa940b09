"""Taking annotations: each state once, and whatever is wrong refused with its reason and kept."""

import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.annotation.label_studio.campaigns import (
    URL,
    StandIn,
    choice,
    pushed,
    row_of,
    tasks_of,
)
from tests.annotation.people.guests import account
from trivox.annotation.aggregation.votes import unheard
from trivox.annotation.label_studio import people
from trivox.annotation.label_studio.client import RemoteUser
from trivox.annotation.label_studio.pull import Pulled, pull
from trivox.annotation.label_studio.reading import LARGEST, UI_VERSION, sheet_of
from trivox.annotation.people import accounts
from trivox.annotation.people.audit import THE_SYSTEM
from trivox.annotation.work.service import Work
from trivox.annotation.work.shapes import Nothing, Why
from trivox.annotation.work.states import standing_of
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import (
    AnswerKind,
    Campaign,
    Intake,
    Judgement,
    LabelStudioAnnotation,
    LeaseStatus,
    Person,
    Refusal,
    Role,
    TaskLease,
    TaskState,
)
from trivox.platform.store import Workspace

ADA = RemoteUser(7, "ada@example.com")


@pytest.fixture
def here(workspace: Workspace) -> tuple[StandIn, Campaign]:
    return pushed(workspace, 3)


@pytest.fixture
def ada(workspace: Workspace, here: tuple[StandIn, Campaign]) -> Person:
    """Account 7 is hers."""
    person = account(workspace, "ada")
    people.link(workspace, THE_SYSTEM, URL, ADA, person)
    return person


@pytest.fixture
def client(here: tuple[StandIn, Campaign]) -> StandIn:
    return here[0]


def pulled(workspace: Workspace, client: StandIn, **options: bool) -> Pulled:
    return pull(workspace, THE_SYSTEM, client, **options)  # type: ignore[arg-type]


def judgements(workspace: Workspace) -> list[Judgement]:
    return workspace.records.find(Judgement)


@pytest.mark.parametrize(("alias", "strength"), [("3", 3), ("1", 1), ("-2", -2)])
def test_an_answer_is_turned_to_the_task_s_own_order(
    workspace: Workspace, client: StandIn, ada: Person, alias: str, strength: int
) -> None:
    """Shown (b, a) of items (a, b), `3` for what is shown first is -3."""
    for place in range(3):
        client.annotate(1, place, result=[choice(alias), choice("words", "reasons")])
    assert pulled(workspace, client).taken == 3
    tasks = tasks_of(workspace)
    for remote in client.tasks[1]:
        row = row_of(workspace, remote)
        [one] = standing_of(workspace, row.task)
        turned = 1 if row.presentation == tasks[row.task].items else -1
        assert one.answer.comparison == turned * strength
        assert (one.judge, one.reasons, one.heard_s) == (f"human:{ada.id}", ("words",), {})
        assert one.ui_version == UI_VERSION and unheard(one)


def test_each_state_is_taken_once(workspace: Workspace, client: StandIn, ada: Person) -> None:
    client.annotate(1, 0)
    assert [pulled(workspace, client).taken for _ in range(3)] == [1, 0, 0]
    assert len(judgements(workspace)) == 1
    [state] = [one for one in workspace.records.find(TaskState) if one.answered]
    assert state.taken == 1


def test_at_once_from_many_sides_it_is_taken_once(
    workspace: Workspace, client: StandIn, ada: Person
) -> None:
    client.annotate(1, 0)
    told: list[Pulled] = []
    threads = [
        threading.Thread(target=lambda: told.append(pulled(workspace, client))) for _ in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(one.taken for one in told) == len(judgements(workspace)) == 1


REFUSED: dict[str, tuple[dict[str, Any], Refusal]] = {
    "nobody": ({"completed_by": 8, "updated_by": 8}, Refusal.NOT_LINKED),
    "forged": ({"updated_by": 8}, Refusal.OTHER_HAND),
    "anonymous": ({"completed_by": None}, Refusal.OTHER_HAND),
    "predicted": ({"parent_prediction": 3}, Refusal.PREFILLED),
    "imported": ({"import_id": 3}, Refusal.PREFILLED),
    "banana": ({"result": [choice("banana")]}, Refusal.INVALID),
    "no list": ({"result": {"answer": 3}}, Refusal.INVALID),
    "unknown control": ({"result": [choice("3", "other")]}, Refusal.INVALID),
    "twice": ({"result": [choice("3"), choice("2")]}, Refusal.INVALID),
    "nothing": ({"result": []}, Refusal.BAD_ANSWER),
    "two answers": (
        {"result": [choice("3") | {"value": {"choices": ["3", "2"]}}]},
        Refusal.BAD_ANSWER,
    ),
    "large": ({"result": [choice("x" * LARGEST)]}, Refusal.TOO_LARGE),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused_and_kept(
    workspace: Workspace, client: StandIn, ada: Person, name: str
) -> None:
    fields, refusal = REFUSED[name]
    client.annotate(1, 0, **fields)
    for _ in range(2):
        [refused] = pulled(workspace, client).refused
        assert refused.refusal is refusal and refused.detail
    assert judgements(workspace) == []
    [kept] = workspace.records.find(LabelStudioAnnotation)
    assert kept.content or refusal is Refusal.TOO_LARGE


def test_a_changed_task_or_question_is_refused_for_good(
    workspace: Workspace, client: StandIn, ada: Person
) -> None:
    """Also when it is put back: nobody knows what was seen meanwhile."""
    kept, config = client.tasks[1][0], client.configs[1]
    client.annotate(1, 0)
    client.annotate(1, 1)
    turned = {"audio_a": kept.data["audio_b"], "audio_b": kept.data["audio_a"]}
    client.tasks[1][0] = replace(client.tasks[1][0], data=kept.data | turned)
    assert [one.refusal for one in pulled(workspace, client).refused] == [Refusal.CHANGED_TASK]
    client.tasks[1][0] = replace(client.tasks[1][0], data=kept.data)
    client.configs[1] = config.replace("A is better", "B is better")
    client.annotate(1, 2)
    told = pulled(workspace, client)
    client.configs[1] = config
    again = pulled(workspace, client)
    for one in (told, again):
        reasons = sorted(str(refused.refusal) for refused in one.refused)
        assert reasons == ["changed_config", "changed_task"]
    assert len(judgements(workspace)) == 1


def test_an_account_that_becomes_known_counts_from_then_on(
    workspace: Workspace, client: StandIn, here: tuple[StandIn, Campaign]
) -> None:
    client.annotate(1, 0)
    assert pulled(workspace, client).refused[0].refusal is Refusal.NOT_LINKED
    ada = account(workspace, "ada")
    people.link(workspace, THE_SYSTEM, URL, ADA, ada)
    assert pulled(workspace, client).taken == 1
    people.unlink(workspace, THE_SYSTEM, URL, "Ada@example.com")
    client.annotate(1, 1)
    assert pulled(workspace, client).refused[0].refusal is Refusal.NOT_LINKED
    assert len(judgements(workspace)) == 1


def test_who_may_not_judge_is_refused(workspace: Workspace, client: StandIn, ada: Person) -> None:
    accounts.revoke(workspace, THE_SYSTEM, ada.id, Role.ANNOTATOR)
    client.annotate(1, 0)
    assert pulled(workspace, client).refused[0].refusal is Refusal.NOT_ALLOWED
    accounts.grant(workspace, THE_SYSTEM, ada.id, Role.ANNOTATOR)
    assert pulled(workspace, client).taken == 1


def test_nobody_judges_a_pair_twice(workspace: Workspace, client: StandIn, ada: Person) -> None:
    """Not by a second annotation there, and not in Trivox afterwards."""
    client.annotate(1, 0)
    client.annotate(1, 0, result=[choice("-2")])
    told = pulled(workspace, client)
    assert (told.taken, told.refused[0].refusal) == (1, Refusal.REPEATED)
    client.annotate(1, 1)
    client.annotate(1, 2)
    assert pulled(workspace, client).taken == 2
    work = Work(workspace)
    work.acknowledge(ada.id, "campaign_ls", 1)
    due = work.next_lease(ada.id, "campaign_ls")
    assert isinstance(due, Nothing) and due.reason is Why.NOTHING_LEFT


def test_an_edit_supersedes_also_back_and_forth(
    workspace: Workspace, client: StandIn, ada: Person
) -> None:
    made = client.annotate(1, 0)
    first = made["result"]
    pulled(workspace, client)
    for result in ([choice("-3")], first, [choice("both_good")]):
        client.annotate(1, 0, id=made["id"], result=result)
        assert pulled(workspace, client).changed == 1
    every = judgements(workspace)
    assert [one.supersedes for one in every] == [None, *(one.id for one in every[:-1])]
    assert standing_of(workspace, every[0].task) == [every[-1]]
    assert every[-1].answer.kind is AnswerKind.TIE


def test_another_s_hand_on_an_answer_leaves_it_as_it_was(
    workspace: Workspace, client: StandIn, ada: Person
) -> None:
    made = client.annotate(1, 0)
    pulled(workspace, client)
    [first] = judgements(workspace)
    client.annotate(1, 0, id=made["id"], updated_by=8, result=[choice("-3")])
    assert pulled(workspace, client).refused[0].refusal is Refusal.OTHER_HAND
    bob = account(workspace, "bob")
    people.link(workspace, THE_SYSTEM, URL, RemoteUser(8, "bob@example.com"), bob)
    client.annotate(1, 0, id=made["id"], completed_by=8, updated_by=8, result=[choice("-3")])
    assert pulled(workspace, client).refused[0].refusal is Refusal.OTHER_HAND
    assert standing_of(workspace, first.task) == [first]
    client.annotate(1, 0, id=made["id"], result=[choice("-2")])  # her own again
    assert pulled(workspace, client).changed == 1


def test_deleted_answers_stand_until_they_are_struck_out(
    workspace: Workspace, client: StandIn, ada: Person
) -> None:
    client.annotate(1, 0)
    pulled(workspace, client)
    [one] = judgements(workspace)
    client.tasks[1][0] = replace(client.tasks[1][0], annotations=())
    assert [pulled(workspace, client).gone for _ in range(2)] == [1, 0]
    assert standing_of(workspace, one.task) == [one]
    assert pulled(workspace, client, void_gone=True).struck == 1
    assert standing_of(workspace, one.task) == []
    assert workspace.records.find(TaskLease)[0].status is LeaseStatus.VOIDED
    assert workspace.records.get(TaskState, one.task).answered == 0


def test_who_answers_anew_after_a_deletion_corrects(
    workspace: Workspace, client: StandIn, ada: Person
) -> None:
    """Also when another's hand was on the answer before it was deleted."""
    made = client.annotate(1, 0)
    pulled(workspace, client)
    client.annotate(1, 0, id=made["id"], updated_by=8, result=[choice("-3")])
    pulled(workspace, client)
    client.tasks[1][0] = replace(client.tasks[1][0], annotations=())
    client.annotate(1, 1)  # another task's, so that numbers go on
    client.annotate(1, 0, id=99, result=[choice("1")])
    assert pulled(workspace, client).changed == 1
    first, last = (
        one for one in judgements(workspace) if one.task == judgements(workspace)[0].task
    )
    assert last.supersedes == first.id and standing_of(workspace, first.task) == [last]


def test_a_deleted_project_takes_nothing_away(
    workspace: Workspace, client: StandIn, ada: Person
) -> None:
    client.annotate(1, 0)
    pulled(workspace, client)
    client.configs.clear()
    told = pulled(workspace, client)
    assert (told.missing_projects, told.gone) == ([1], 1)
    assert len(standing_of(workspace, judgements(workspace)[0].task)) == 1


def test_an_account_is_one_person_at_a_time(
    workspace: Workspace, client: StandIn, ada: Person
) -> None:
    bob = account(workspace, "bob")
    with pytest.raises(UsageError, match="unlink"):
        people.link(workspace, THE_SYSTEM, URL, ADA, bob)
    people.link(workspace, THE_SYSTEM, URL, ADA, ada)  # the same again
    viewer = account(workspace, "vera", Role.VIEWER)
    with pytest.raises(UsageError, match="neither annotator"):
        people.link(workspace, THE_SYSTEM, URL, RemoteUser(9, "v@example.com"), viewer)
    with pytest.raises(NotFound):
        people.unlink(workspace, THE_SYSTEM, URL, "nobody@example.com")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
REGIONS = st.fixed_dictionaries(
    {},
    optional={
        "from_name": st.sampled_from(["answer", "reasons", "comment", "ask"]) | JSON,
        "to_name": st.just("ask") | JSON,
        "type": st.sampled_from(["choices", "textarea", "rating"]) | JSON,
        "value": st.dictionaries(st.sampled_from(["choices", "text"]), JSON, max_size=2) | JSON,
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(result=st.lists(REGIONS | JSON, max_size=3) | JSON)
def test_whatever_comes_is_a_judgement_or_a_refusal(
    workspace: Workspace, client: StandIn, ada: Person, result: Any
) -> None:
    made = client.annotate(1, 0, result=result)
    told = pulled(workspace, client)
    client.tasks[1][0] = replace(client.tasks[1][0], annotations=())
    assert told.taken + len(told.refused) + told.unknown == 1
    kept = [
        one for one in workspace.records.find(LabelStudioAnnotation) if one.remote == made["id"]
    ]
    assert all(one.intake in (Intake.REFUSED, Intake.TAKEN, Intake.GONE) for one in kept)


@given(raw=st.dictionaries(st.text(), JSON, max_size=4))
def test_what_has_no_form_is_nothing(raw: dict[str, Any]) -> None:
    assert sheet_of(raw) is None
