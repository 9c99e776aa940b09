"""DPO that rehearses and is watched: what is added to the loss, what probes find, and what stops a run."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.policy.trainers.test_dpo import one_batch, trainer_of
from trivox.platform.errors import ConfigError
from trivox.policy.resident import ADAPTER_WEIGHTS
from trivox.policy.rows import Row, collate
from trivox.policy.trainers.dpo import DPOSettings, TokenPair, TrainedAdapter, train_dpo
from trivox.policy.trainers.dpo_trainer import Rehearsal
from trivox.policy.trainers.dpo_watching import DPOWatch
from trivox.policy.trainers.rl.watchers import Bound, WatcherStop

ROWS = [Row([4, 6, 9 + i], [20 + i, 30 + i, 1], [True] * 3) for i in range(5)]


class Remembers:
    """A probe that asks the policy and remembers how often (a FAKE)."""

    def __init__(self) -> None:
        self.count = 0

    def probe(self, step: int, engine: Any, figures: Mapping[str, float]) -> dict[str, float]:
        assert engine.generate([]) == [] and "rewards/margins" in figures
        self.count += 1
        return {"asked": float(self.count)}

    def state(self) -> dict[str, Any]:
        return {"count": self.count}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.count = state["count"]


def test_what_rehearsal_adds_to_the_loss(
    backbone_folder: Path, pairs: Sequence[TokenPair], tmp_path: Path
) -> None:
    """A share of 0.2: 0.2 / 0.8 = a quarter of the rows' mean negative log-likelihood."""
    settings = DPOSettings(rehearsal_share=0.2, rehearsal_rows=5, sft_weight=0.0)
    trainer = trainer_of(backbone_folder, list(pairs), settings, None, tmp_path)
    alone = trainer.compute_loss(trainer.model, one_batch(trainer)).item()
    trainer.rehearsal = Rehearsal(ROWS, settings, 0, seed=0)
    both = trainer.compute_loss(trainer.model, one_batch(trainer)).item()
    with torch.no_grad():
        supervised = trainer.model(**collate(ROWS, 0)).loss.item()
    assert both == pytest.approx(alone + supervised / 4, rel=1e-5)
    assert supervised > 1


def test_rows_are_drawn_by_the_step() -> None:
    settings = DPOSettings(rehearsal_share=0.5, rehearsal_rows=2)
    drawn = Rehearsal(ROWS, settings, 0, seed=0)
    first, again, second = (drawn.drawn(step) for step in (0, 0, 1))
    assert first is not None and again is not None and second is not None
    assert torch.equal(first["input_ids"], again["input_ids"])
    assert not torch.equal(first["input_ids"], second["input_ids"])
    assert Rehearsal(ROWS, DPOSettings(), 0, seed=0).drawn(0) is None


def test_a_share_of_nothing_is_refused(
    backbone_folder: Path, pairs: Sequence[TokenPair], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"rehearsal_share is 0\.5 and there are no rows"):
        train_dpo(backbone_folder, pairs, DPOSettings(rehearsal_share=0.5), tmp_path, 0)


def test_a_watched_run_that_was_broken_off_ends_as_one_that_was_not(
    backbone_folder: Path, pairs: Sequence[TokenPair], settings: DPOSettings, tmp_path: Path
) -> None:
    """The same weights and figures, the probe's count too; rehearsal changes the weights, the probe does not."""
    changed = settings.model_copy(update={"checkpoint_every": 2, "rehearsal_share": 0.5})

    def train(folder: str, **more: Any) -> TrainedAdapter:
        watch = DPOWatch([Remembers()], [Bound("loss", high=1e9)])
        given: dict[str, Any] = {"rehearsal": ROWS, "watch": watch} | more
        return train_dpo(backbone_folder, pairs, changed, tmp_path / folder, 3, **given)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    whole = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("cut", on_step=stop)
    resumed = train("cut")
    assert resumed.weights_hash == whole.weights_hash
    assert [one["asked"] for one in resumed.metrics] == [1.0, 2.0, 3.0, 4.0]
    assert [one["rehearsal_loss"] for one in resumed.metrics] == [
        one["rehearsal_loss"] for one in whole.metrics
    ]
    assert train("unwatched", watch=DPOWatch()).weights_hash == whole.weights_hash
    plain = train_dpo(backbone_folder, pairs, settings, tmp_path / "plain", 3)
    assert plain.weights_hash != whole.weights_hash


def test_a_bound_stops_the_run(
    backbone_folder: Path, pairs: Sequence[TokenPair], settings: DPOSettings, tmp_path: Path
) -> None:
    """At the second step, whose loss is outside as that of the first: patience is 2."""
    watch = DPOWatch(bounds=[Bound("loss", high=math.log(2) / 100, patience=2)])
    with pytest.raises(WatcherStop, match="watcher loss: .* at step 1") as caught:
        train_dpo(backbone_folder, pairs, settings, tmp_path, 3, watch=watch)
    assert caught.value.stop.figure == "loss"
    assert not (tmp_path / ADAPTER_WEIGHTS).exists()
