"""The plan of the corpus: what training may hold, what is held out, and that the seed fixes it."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.pipelines.nano.clips import DIRECTIVES, SPEEDS, Clip, personas, plan
from trivox.pipelines.nano.domain import ADDRESSES, FOLLOW_UPS, OPENINGS, persona_reply, split_of
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.teachers import Manner
from trivox.platform.records import Split

RECIPE = NanoRecipe(
    tts_voices=("heart", "emma"),
    unseen_voices=("eric",),
    train_sentences={"heart": 600, "emma": 60, "bella": 60},
    train_replies={"heart": 200, "emma": 20},
    later_sentences={"emma": 10},
    later_replies={"heart": 1, "emma": 5},
    word_sequences=30,
    validation_sentences=20,
    test_sentences=120,
)


@pytest.fixture(scope="module")
def train() -> list[Clip]:
    return plan(RECIPE, Split.TRAIN)


def is_follow_up(clip: Clip) -> bool:
    return clip.intent in {intent.name for intent in FOLLOW_UPS.values()}


def test_as_many_as_the_recipe_says(train: list[Clip]) -> None:
    found = Counter((clip.voice, clip.kind) for clip in train)
    assert found["heart", "sentence"] + found["heart", "inline"] == 600
    assert found["emma", "sentence"] + found["emma", "inline"] == 70
    assert (found["bella", "sentence"], found["bella", "inline"]) == (60, 0)
    assert (found["heart", "reply"], found["emma", "reply"]) == (201, 25)
    assert found["heart", "words"] == 30
    assert len(train) == 986


@pytest.mark.parametrize(
    ("split", "voices"),
    [
        (Split.VALIDATION, {"heart": 20, "emma": 20}),
        (Split.TEST, {"heart": 120, "emma": 120, "eric": 120}),
    ],
)
def test_held_out_voices(split: Split, voices: dict[str, int]) -> None:
    """An unseen voice is in the test split alone; held-out clips are requests in the voice's own manner."""
    clips = plan(RECIPE, split)
    assert Counter(clip.voice for clip in clips) == voices
    assert {(clip.kind, clip.directive, clip.manner) for clip in clips} == {
        ("sentence", "", Manner())
    }


def test_no_held_out_text_is_trained(train: list[Clip]) -> None:
    """Neither spoken, nor as the request that a reply answers."""
    trained = {clip.text for clip in train} | {clip.request for clip in train}
    for split in (Split.TEST, Split.VALIDATION):
        texts = {clip.text for clip in plan(RECIPE, split)}
        assert not texts & trained
        assert {split_of(text) for text in texts} == {split}


def test_training_is_of_the_training_split_but_for_follow_ups(train: list[Clip]) -> None:
    of_requests = [c for c in train if c.kind in ("sentence", "inline") and not is_follow_up(c)]
    assert {split_of(clip.text) for clip in of_requests} == {Split.TRAIN}
    replies = [clip for clip in train if clip.kind == "reply" and not clip.before]
    assert {split_of(clip.request) for clip in replies} == {Split.TRAIN}
    share = sum(map(is_follow_up, train)) / len(train)
    assert 0.1 < share < 0.25


def test_the_seed_fixes_the_plan(train: list[Clip]) -> None:
    assert plan(RECIPE, Split.TRAIN) == train
    assert plan(RECIPE.model_copy(update={"seed": 1}), Split.TRAIN) != train
    other = RECIPE.model_copy(update={"lm_steps": 7, "word_sequences": 0})
    assert plan(other, Split.TRAIN) == [clip for clip in train if clip.kind != "words"]


def test_a_plan_grows_without_changing_what_it_has(train: list[Clip]) -> None:
    """Before the later clips everything stays; of the later ones of a voice the first ones do."""
    more = plan(
        RECIPE.model_copy(update={"later_sentences": {"emma": 12}, "later_replies": {"emma": 6}}),
        Split.TRAIN,
    )
    assert more[:970] == train[:970]
    assert more[970:980] == train[970:980] and len(more[980:982]) == 2
    assert more[982:987] == train[981:986]


def test_held_out_personas_are_never_trained(train: list[Clip]) -> None:
    """48 pairs and 16; each trait of a held-out pair is known from others."""
    known, held_out = personas(held_out=False), personas(held_out=True)
    assert (len(known), len(held_out)) == (48, 16)
    assert {*known, *held_out} == {(o, a) for o in OPENINGS for a in ADDRESSES}
    assert {o for o, _ in known} == set(OPENINGS) and {a for _, a in known} == set(ADDRESSES)
    replies = [clip for clip in train if clip.kind == "reply"]
    assert {clip.persona for clip in replies} == set(known)
    begins = tuple(persona_reply(*pair, "") for pair in held_out)
    assert not [clip.text for clip in train if clip.text.startswith(begins)]


def test_replies_answer_in_persona(train: list[Clip]) -> None:
    replies = [clip for clip in train if clip.kind == "reply"]
    for clip in replies:
        assert clip.persona is not None and clip.text.startswith(persona_reply(*clip.persona, ""))
        assert clip.request and clip.slots
        assert clip.before in ("", *FOLLOW_UPS)
        assert (clip.before != "") == is_follow_up(clip)
    assert 0.15 < sum(clip.before != "" for clip in replies) / len(replies) < 0.35


def test_directives_stand_within_a_text(train: list[Clip]) -> None:
    inline = [clip for clip in train if clip.kind == "inline"]
    assert {clip.directive for clip in inline} == set(DIRECTIVES)
    for clip in inline:
        assert clip.text[: clip.cut].strip() and clip.text[clip.cut :].strip()
    assert {clip.directive for clip in train if clip.kind != "inline"} == {""}


def test_manners_are_for_the_voices_that_nano_speaks_in(train: list[Clip]) -> None:
    assert {clip.manner for clip in train if clip.voice == "bella"} == {Manner()}
    assert {clip.manner for clip in train if clip.kind == "reply"} == {Manner()}
    styled = [c.manner for c in train if c.kind == "sentence" and c.voice == "heart"]
    assert {manner.speed for manner in styled} == set(SPEEDS)
    assert 0.3 < sum(manner != Manner() for manner in styled) / len(styled) < 0.7


def test_clips_survive_the_disk(train: list[Clip]) -> None:
    for clip in train:
        assert Clip.from_json(json.loads(json.dumps(clip.to_json()))) == clip


@given(
    st.builds(
        Clip,
        st.sampled_from(["sentence", "reply"]),
        st.text(),
        st.text(),
        st.builds(Manner, *[st.floats(0.1, 10)] * 3),
        st.integers(0, 99),
        slots=st.dictionaries(st.text(), st.text(), max_size=3),
        persona=st.none() | st.tuples(st.text(), st.text()),
    )
)
def test_any_clip_survives_the_disk(clip: Clip) -> None:
    line = json.dumps(clip.to_json())
    assert "\n" not in line
    assert Clip.from_json(json.loads(line)) == clip
