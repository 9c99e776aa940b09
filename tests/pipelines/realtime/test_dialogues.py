"""Training dialogues: the last user turn asks for what the reply says, and the turns before are in order."""

from itertools import pairwise

import pytest

from trivox.pipelines.nano.clips import Clip, plan
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.realtime.dialogues import Built, build, persona_text
from trivox.pipelines.realtime.grammar import intent_of, readings, wanted
from trivox.platform.records import Split

RECIPE = NanoRecipe(
    train_sentences={"heart": 300, "bella": 60},
    train_replies={"heart": 60, "emma": 20},
    word_sequences=5,
    later_sentences={},
    later_replies={},
)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return plan(RECIPE, Split.TRAIN)


@pytest.fixture(scope="module")
def built(clips: list[Clip]) -> Built:
    return build(clips, seed=1)


def test_every_reply_is_either_matched_or_counted(clips: list[Clip], built: Built) -> None:
    assert sum(built.matched.values()) == len(built.dialogues)
    assert len(built.dialogues) + sum(built.dropped.values()) == 80
    assert sum(built.dropped.values()) > 0
    assert len({d.reply for d in built.dialogues}) == len(built.dialogues)


def test_the_user_names_all_that_the_reply_has_to_name(clips: list[Clip], built: Built) -> None:
    followed = 0
    for dialogue in built.dialogues:
        reply = clips[dialogue.reply]
        intent = intent_of(reply.intent, reply.before)
        users = [clips[v].text for role, v in dialogue.turns if role == "user" and type(v) is int]
        named = _named(dialogue.heard, reply.intent, reply.before)
        if reply.before:
            followed += 1
            named = {**_named(users[-2], reply.before, ""), **named}
        assert users[-1] == dialogue.heard
        assert wanted(intent, reply.slots).items() <= named.items()
    assert followed > 5


def _named(text: str, intent: str, before: str) -> dict[str, str]:
    (read,) = [r for r in readings(text) if (r.intent.name, r.before) == (intent, before)]
    return dict(read.named)


def test_turns_alternate_and_replies_before_are_in_persona(built: Built) -> None:
    for dialogue in built.dialogues:
        roles = [role for role, _ in dialogue.turns]
        assert roles[0] == roles[-1] == "user"
        assert all(one != other for one, other in pairwise(roles))
        said = f"{dialogue.persona[1]} {dialogue.persona[2]} "
        assert all(str(v).startswith(said) for role, v in dialogue.turns if role == "assistant")
    assert {dialogue.user_turns for dialogue in built.dialogues} == {1, 2, 3}


def test_the_user_keeps_one_voice_where_a_clip_of_it_is_there(
    clips: list[Clip], built: Built
) -> None:
    voices = [
        {clips[v].voice for _, v in dialogue.turns if isinstance(v, int)}
        for dialogue in built.dialogues
        if not dialogue.before
    ]
    assert sum(len(of) > 1 for of in voices) < 0.2 * len(voices)
    assert {voice for of in voices for voice in of} == {"heart", "bella"}


def test_the_seed_decides(clips: list[Clip], built: Built) -> None:
    assert build(clips, seed=1) == built
    assert build(clips, seed=2).dialogues != built.dialogues
    assert build(clips, seed=2).dropped == built.dropped


def test_typed_turns_are_words(clips: list[Clip]) -> None:
    turns = [v for d in build(clips, seed=1, typed=1.0).dialogues for _, v in d.turns]
    assert all(isinstance(value, str) for value in turns)


def test_a_persona_in_words() -> None:
    assert persona_text("anna", "aye", "captain") == "anna says aye and calls me captain"
