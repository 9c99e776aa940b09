"""The simulated user: seeded, of one split, insists once, and follows up what was answered."""

import pytest

from trivox.pipelines.nano.domain import FOLLOW_UPS, split_of
from trivox.pipelines.realtime.personas import packaged_personas
from trivox.pipelines.realtime.simulator import Reply, User, UserTurn, scripted_reply
from trivox.platform.errors import UsageError
from trivox.platform.personas.registry import persona_of
from trivox.platform.records import Failure, Split, Turn

ANNA, PETER = packaged_personas()[:2]


def talk(user: User, replies: bool = True) -> list[UserTurn]:
    """The user's turns with a perfect assistant, or with one that says nothing to the point."""
    turns, history = [], list[Turn]()
    turn = user.next()
    while turn is not None:
        turns.append(turn)
        history.append(turn.turn)
        said = scripted_reply(user.persona, history).text if replies else "what"
        history.append(Turn("assistant", said))
        turn = user.next(said)
    return turns


def test_the_seed_and_the_persona_decide() -> None:
    assert talk(User(ANNA, 1)) == talk(User(ANNA, 1))
    assert talk(User(ANNA, 1)) != talk(User(ANNA, 2))
    assert talk(User(ANNA, 1)) != talk(User(PETER, 1))


@pytest.mark.parametrize("split", list(Split))
def test_requests_are_of_the_split(split: Split) -> None:
    turns = [t for seed in range(20) for t in talk(User(ANNA, seed, split=split))]
    assert all(split_of(turn.text) is split for turn in turns if not turn.before)


def test_one_turn_follows_up_the_one_before() -> None:
    which = []
    for seed in range(30):
        turns = talk(User(ANNA, seed))
        assert [turn.number for turn in turns] == [1, 2, 3]
        (followed,) = [turn for turn in turns if turn.before]
        before = turns[followed.number - 2]
        assert followed.intent == FOLLOW_UPS[before.intent.name]
        if followed.intent.name == "again":
            assert followed.slots != before.slots
        which.append(followed.number)
    assert {*which} == {2, 3}


def test_a_request_is_repeated_once_when_the_reply_is_off_topic() -> None:
    turns = talk(User(ANNA, 1, turns=5), replies=False)
    assert [turn.repeats for turn in turns] == [False, True, False, True, False]
    assert turns[0].text == turns[1].text != turns[2].text
    assert not any(turn.before for turn in turns)
    assert not any(t.repeats for t in talk(User(ANNA, 1, insists=False), replies=False))


def test_turns_are_spoken_by_what_is_handed_in() -> None:
    asked: list[str] = []

    def speak(words: str) -> str:
        asked.append(words)
        return f"audio of {words}"

    turns = talk(User(ANNA, 1, speak=speak), replies=False)
    assert turns[1].repeats and turns[1].audio == turns[0].audio == f"audio of {turns[0].text}"
    assert len(asked) == 2
    assert turns[0].turn == Turn("user", turns[0].text, turns[0].audio)


def test_an_episode_has_a_turn() -> None:
    with pytest.raises(UsageError, match="0 turns"):
        User(ANNA, 1, turns=0)
    assert len(talk(User(ANNA, 1, turns=1))) == 1


def test_scripted_replies() -> None:
    lamp = Turn("user", "turn on the lamp in the office")
    music = Turn("user", "put on some jazz in the attic")
    again = Turn("user", "and in the garage")
    assert scripted_reply(ANNA, [lamp, again]).text == "aye captain the garage lamp is on"
    assert (
        scripted_reply(ANNA, [music, again, again]).text == "aye captain here is jazz in the garage"
    )
    assert scripted_reply(PETER, [lamp]).text == "gladly sir the office lamp is on"
    failed = scripted_reply(ANNA, [again])
    assert failed.text is None and failed.failure and failed.failure.kind == "not understood"
    assert scripted_reply(ANNA, [Turn("user", "hello")]).failure
    assert scripted_reply(ANNA, []).failure


def test_a_persona_that_nano_does_not_know() -> None:
    bob = persona_of("default", "bob", "anybody", {"opening": "aye"})
    with pytest.raises(UsageError, match="persona bob@1 has no trait 'address'"):
        scripted_reply(bob, [Turn("user", "did i lock the garage door")])


def test_a_reply_is_words_or_a_failure() -> None:
    with pytest.raises(UsageError, match="either text"):
        Reply(None)
    with pytest.raises(UsageError, match="either text"):
        Reply("a", failure=Failure("slow", ""))
