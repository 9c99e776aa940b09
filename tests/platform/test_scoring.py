"""Values, the records made of them, and the rule that no family judges itself."""

import math

import pytest

from trivox.platform.errors import ConfigError
from trivox.platform.records import Direction, Failure, ScorerRole
from trivox.platform.scoring import (
    FailureKind,
    Item,
    ScorerInfo,
    Value,
    check_families,
    failed,
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
