"""Gates on what a vocoder or a cheating policy leaves in the sound: nothing to hear, clipping, clicks.

A gate's value is 1.0 for pass and 0.0 for fail, with the measurement as evidence.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from trivox.platform.scoring import FailureKind, Item, Value
from trivox.reward_models.audio_checks import Samples, checked, guarded, speech
from trivox.reward_models.verifiable.gates import gate_info, verdict

_NOTHING = (
    FailureKind.NO_AUDIO,
    FailureKind.EMPTY_AUDIO,
    FailureKind.SHORT_AUDIO,
    FailureKind.SILENT_AUDIO,
)
_FLOOR = 0.05


@dataclass(frozen=True)
class ClippingBounds:
    """A sample is clipped when it lies within 2% of the clip's own peak, on the same side as two neighbours that
    do.

    At most `share` of the samples may be: of 47 clean recordings none has more than 0.02%; clipped at half their
    peak, 95% of them have more than 1%.
    """

    near: float = 0.98
    share: float = 0.001


@dataclass(frozen=True)
class ClickBounds:
    """A click: the second difference exceeds `ratio` times its own RMS over the 50 ms around.

    At most per_second of them. Of 47 clean recordings one in a hundred has a place above 12; single samples that
    jump by half the peak come to 14 to 22.
    """

    ratio: float = 11.0
    per_second: float = 1.0
    window_s: float = 0.05


class AudibleGate:
    """Passes where there is something to listen to: an empty, silent or hardly begun rollout is stopped, which is
    a verdict on the rollout and no failure to score it. Samples that are not finite are a failure."""

    def __init__(self) -> None:
        self.info = gate_info("audible", {})

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        heard = speech(item)
        if not isinstance(heard, Value):
            return verdict(True, f"{len(heard) / 16_000:.2f} s")
        assert heard.failure is not None
        if heard.failure.kind in _NOTHING:
            return verdict(False, heard.failure.message)
        return heard


class ClippingGate:
    """Passes sound whose loudest samples are not flattened, at whatever level it is."""

    def __init__(self, bounds: ClippingBounds | None = None) -> None:
        self._bounds = bounds or ClippingBounds()
        self.info = gate_info("clipping", asdict(self._bounds))

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        samples = checked(item)
        if isinstance(samples, Value):
            return samples
        share = clipped_share(samples, self._bounds.near)
        return verdict(share <= self._bounds.share, f"{share:.4%} of the samples are clipped")


class ClickGate:
    """Passes sound without clicks, which some predictors of emotion and quality take for liveliness (RRPO)."""

    def __init__(self, bounds: ClickBounds | None = None) -> None:
        self._bounds = bounds or ClickBounds()
        self.info = gate_info("clicks", asdict(self._bounds))

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        samples = checked(item)
        if isinstance(samples, Value):
            return samples
        assert item.rate is not None
        count, seconds = clicks(samples, item.rate, self._bounds), len(samples) / item.rate
        passed = count <= self._bounds.per_second * max(seconds, 1.0)
        return verdict(passed, f"{count} clicks in {seconds:.2f} s")


def clipped_share(samples: Samples, near: float = 0.98) -> float:
    """Share of mono samples [n] in runs of three or more within `near` of the peak, by side."""
    peak = float(np.abs(samples).max())
    if peak == 0:
        return 0.0
    flat = sum(_in_runs(side * samples >= near * peak) for side in (1, -1))
    return flat / len(samples)


def clicks(samples: Samples, rate: int, bounds: ClickBounds) -> int:
    """Places, at least 5 ms apart, whose second difference stands out of its surroundings."""
    bend = np.diff(samples.astype(np.float64), 2)
    if len(bend) < 3:
        return 0
    size = max(3, round(bounds.window_s * rate) | 1)
    around = np.sqrt(_moving_mean(bend**2, size))
    # Beside digital silence everything stands out: the clip's own level is the floor.
    floor = _FLOOR * float(np.sqrt(np.mean(bend**2)))
    out = np.flatnonzero(np.abs(bend) > bounds.ratio * np.maximum(around, floor))
    return int(np.sum(np.diff(out, prepend=-rate) > rate // 200))


def _in_runs(near: NDArray[np.bool_], least: int = 3) -> int:
    """How many true values stand in runs of at least `least`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], near.astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= least].sum())


def _moving_mean(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Mean over `size` values around each, fewer at the ends: float64 [n]."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    where = np.arange(len(values))
    low, high = np.maximum(where - size // 2, 0), np.minimum(where + size // 2 + 1, len(values))
    mean: NDArray[np.float64] = (total[high] - total[low]) / (high - low)
    return mean
