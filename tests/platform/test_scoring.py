"""Values, the records made of them, and the rule that no family judges itself."""

import math

import numpy as np
import pytest

from trivox.platform.errors import ConfigError, UsageError
from trivox.platform.records import Direction, Failure, ScorerRole, Turn
from trivox.platform.scoring import (
    FailureKind,
    Item,
    ScorerInfo,
    Value,
    check_families,
    failed,
    join,
    to_score,
)

INFO = ScorerInfo("w", "1", "ab" * 32, "whisper", "intelligibility", "fraction", Direction.LOWER)
ITEM = Item("rollout_1", None, None, "hello", "en")


def test_value_and_failure_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Value(None)
    with pytest.raises(ValueError, match="exactly one"):
        Value(1.0, failure=Failure("k", "m"))
    with pytest.raises(ValueError, match="not finite"):
        Value(math.nan)


def test_score_carries_the_scorer_and_the_failure() -> None:
    value = failed(FailureKind.NO_AUDIO, "no audio")
    score = to_score(value, INFO, ITEM, project="p", round="r", role=ScorerRole.EVALUATOR)
    assert score.value is None
    assert score.failure == Failure("no_audio", "no audio")
    assert (score.scorer, score.family, score.scope) == ("w", "whisper", "episode")
    assert (score.unit, score.direction, score.role) == ("fraction", "lower", "evaluator")


def test_score_id_depends_on_use_not_on_value() -> None:
    ids = [
        to_score(Value(number), INFO, ITEM, project="p", round="r", role=role).id
        for number, role in [
            (0.1, ScorerRole.REWARD),
            (0.2, ScorerRole.REWARD),
            (0.1, ScorerRole.WATCHER),
        ]
    ]
    assert ids[0] == ids[1] != ids[2]


def test_one_family_on_both_sides_is_refused() -> None:
    labelling = {"whisper-base-wer": "whisper", "distillmos": "distillmos"}
    with pytest.raises(ConfigError, match=r"'whisper'.*'whisper-base-wer'.*'whisper-tiny-wer'"):
        check_families(labelling, {"dnsmos": "dnsmos", "whisper-tiny-wer": "whisper"})
    check_families(labelling, {"dnsmos": "dnsmos", "pocketsphinx-wer": "pocketsphinx"})


def test_a_scorer_of_two_families_is_refused_for_either() -> None:
    voters = {"vote": join(["whisper", "pocketsphinx", "whisper"])}
    assert voters == {"vote": "pocketsphinx+whisper"}
    with pytest.raises(ConfigError, match=r"'pocketsphinx'.*'vote'.*'pocketsphinx-wer'"):
        check_families(voters, {"pocketsphinx-wer": "pocketsphinx"})
    with pytest.raises(ConfigError, match=r"'whisper'.*'w'.*'vote'"):
        check_families({"w": "whisper"}, voters)


EPISODE = Item(
    "r",
    np.arange(4000, dtype=np.float32).reshape(2000, 2) / 4000,
    1000,
    None,
    "en",
    turns=(
        Turn("user", "hello", start_ms=0, end_ms=500),
        Turn("assistant", "good day", start_ms=700, end_ms=1500, channel=1),
    ),
)


def test_a_turn_is_its_own_channel_and_time_with_the_turns_before_as_history() -> None:
    """At 1000 Hz sample 700 of channel 1 is 1401 / 4000."""
    turn = EPISODE.part("turn:1")
    assert turn.samples is not None and turn.samples.shape == (800,)
    assert turn.samples[0] == np.float32(1401 / 4000)
    assert (turn.text, turn.scope, turn.history) == ("good day", "turn:1", EPISODE.turns[:1])
    score = to_score(Value(1.0), INFO, turn, project="p", round=None, role=ScorerRole.REWARD)
    assert score.scope == "turn:1"


def test_a_span_has_sound_and_no_text() -> None:
    span = EPISODE.part("span:100-350")
    assert span.samples is not None and span.samples.shape == (250, 2)
    assert (span.text, span.scope) == (None, "span:100-350")
    assert EPISODE.part("episode") is EPISODE


@pytest.mark.parametrize("scope", ["turn:2", "turn:-1", "span:5-5", "span:0-9999", "word:1"])
def test_a_scope_that_is_not_there_is_refused(scope: str) -> None:
    with pytest.raises(UsageError, match=scope):
        EPISODE.part(scope)
