"""The trained model as a scorer: items in, calibrated logits out, typed failures for what it cannot read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.policy.conftest import write_hearing_backbone
from trivox.platform.errors import ConfigError
from trivox.platform.records import Branch, Failure, FinishReason, Persona, Turn
from trivox.platform.scoring import Clip, Item, Value
from trivox.policy.backbone import Backbone
from trivox.policy.rows import Row
from trivox.reward_models.bradley_terry.reading import branch_of, row_of
from trivox.reward_models.bradley_terry.scorer import (
    BradleyTerryScorer,
    RewardEnsemble,
    combined,
)
from trivox.reward_models.bradley_terry.training import TrainedReward

RATE = 16_000


def tone(seconds: float = 0.6, pitch: float = 220.0) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * pitch * times)).astype(np.float32)


def item(**changed: object) -> Item:
    return replace(Item("r", tone(), RATE, "hello", "en", FinishReason.END), **changed)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scorer(trained: TrainedReward, backbone_folder: Path) -> BradleyTerryScorer:
    return BradleyTerryScorer(trained.folder, backbone_folder)


def test_what_an_item_is_read_as(backbone_folder: Path) -> None:
    """tts: the prompt, then codes alone and the end; cut off: no end. A transcript comes after its recording."""
    backbone = Backbone.load(backbone_folder)
    tokens = backbone.tokens
    spoken = row_of(backbone, item())
    assert isinstance(spoken, Row) and spoken.prompt[0] == tokens.tts
    assert all(map(tokens.is_audio, spoken.completion[:-1])) and spoken.completion[-1] == tokens.eos
    cut = row_of(backbone, item(finish_reason=FinishReason.LENGTH))
    assert isinstance(cut, Row) and cut.completion == spoken.completion[:-1]
    heard = row_of(backbone, item(hypothesis="hallo"))
    assert isinstance(heard, Row) and heard.prompt[0] == tokens.asr and len(heard.audio) == 1
    assert tokens.read_text(heard.completion) == "hallo"
    asked = item(
        history=(Turn("user", "who"),),
        persona=Persona("", "", "anna", 1, "anna"),
        samples=tone(0.3),
    )
    reply = row_of(backbone, asked)
    assert isinstance(reply, Row) and reply.prompt[0] == tokens.realtime
    assert [branch_of(one) for one in (item(), item(hypothesis=""), asked)] == list(
        (Branch.TTS, Branch.ASR, Branch.REALTIME)
    )
    voiced = row_of(backbone, item(voice=Clip(tone(0.2), RATE)))
    assert isinstance(voiced, Row) and tokens.voice in voiced.prompt


def test_values_and_their_width(scorer: BradleyTerryScorer) -> None:
    values = scorer.score([item(), item(samples=tone(0.6, 440.0))])
    assert all(one.value is not None and (one.uncertainty or 0) > 0 for one in values)
    assert scorer.info.family == "trivox-backbone" and scorer.info.unit == "logits"


def test_order_and_neighbours_are_of_no_effect(scorer: BradleyTerryScorer) -> None:
    items = [item(samples=tone(0.3 + 0.1 * n)) for n in range(4)] + [item(hypothesis="hello")]
    forth = [one.value for one in scorer.score(items)]
    back = [one.value for one in scorer.score(items[::-1])][::-1]
    alone = [scorer.score([one])[0].value for one in items]
    assert forth == pytest.approx(back, abs=1e-4) and forth == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"samples": None}, "no_audio"),
        ({"samples": np.zeros(0, np.float32)}, "empty_audio"),
        ({"samples": np.full(RATE, np.nan, np.float32)}, "broken_audio"),
        ({"text": None}, "no_text"),
        ({"text": "hello in 漢字"}, "unmeasured"),
        ({"samples": tone(9.0)}, "unmeasured"),
    ],
)
def test_what_cannot_be_read_is_a_failure_and_spoils_nothing(
    scorer: BradleyTerryScorer, changed: dict[str, object], kind: str
) -> None:
    good, bad, other = scorer.score([item(), item(**changed), item()])
    assert bad.value is None and bad.failure is not None and bad.failure.kind == kind
    assert good.value == pytest.approx(other.value or 0.0, abs=1e-4)


def test_an_ensemble_by_hand() -> None:
    """Values 1 and 3 of widths 0.6 and 0.8: mean 2; variance of the means 1, mean of the variances 0.5."""
    found = combined([Value(1.0, 0.6), Value(3.0, 0.8)])
    assert found.value == 2.0 and found.uncertainty == pytest.approx(1.5**0.5)
    broken = combined([Value(1.0, 0.1), Value(None, failure=Failure("no_audio", "none"))])
    assert broken.failure is not None and broken.failure.kind == "no_audio"


def test_an_ensemble_of_models(scorer: BradleyTerryScorer) -> None:
    both = RewardEnsemble([scorer, scorer])
    [alone], [together] = scorer.score([item()]), both.score([item()])
    assert together.value == alone.value and together.uncertainty == pytest.approx(
        alone.uncertainty
    )
    with pytest.raises(ConfigError, match="at least 2"):
        RewardEnsemble([scorer])


def test_a_model_of_another_backbone_is_refused(trained: TrainedReward, tmp_path: Path) -> None:
    other = write_hearing_backbone(tmp_path / "other", seed=9)
    with pytest.raises(ConfigError, match="was trained on backbone"):
        BradleyTerryScorer(trained.folder, other)
