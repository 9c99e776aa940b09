"""Dose and response: the more a clip is damaged, the less a scorer may like it, in the dimension that it is for.

Each pair is a clean clip and the same one damaged; it is ordered when the clean one is strictly better. A failure
to score either is counted apart and as not ordered.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trivox.platform.audio.style_words import voice_statistics
from trivox.platform.errors import NotFound
from trivox.platform.hashing import derived_seed
from trivox.platform.progress import progress
from trivox.platform.records import Direction
from trivox.platform.scoring import Item, Scorer, Value
from trivox.platform.statistics.intervals import Interval, wilson
from trivox.reward_models.acoustic.measures import prosody
from trivox.reward_models.adversarial import damage
from trivox.reward_models.adversarial.clips import Spoken

TARGET = 0.95
"""Share of pairs that must be ordered at the middle severity."""
MIDDLE = 1
_AT_ONCE = 8
Rng = np.random.Generator
Damage = Callable[[Spoken, float, Rng, Sequence[str]], Item]


@dataclass(frozen=True)
class Dimension:
    """A kind of damage at three severities, mild to severe; unit: of the severities. clean: the item that each
    damaged one is held against."""

    name: str
    unit: str
    severities: tuple[float, float, float]
    make: Damage
    clean: Callable[[Spoken], Item] = Spoken.item


def _noise(clip: Spoken, snr: float, rng: Rng, words: Sequence[str]) -> Item:
    return replace(clip.item(), samples=damage.with_noise(clip.samples, snr, rng))


def _clipping(clip: Spoken, share: float, rng: Rng, words: Sequence[str]) -> Item:
    return replace(clip.item(), samples=damage.clipped(clip.samples, share))


def _band(clip: Spoken, top: float, rng: Rng, words: Sequence[str]) -> Item:
    return replace(clip.item(), samples=damage.band_limited(clip.samples, top))


def _clicks(clip: Spoken, per_second: float, rng: Rng, words: Sequence[str]) -> Item:
    return replace(clip.item(), samples=damage.with_clicks(clip.samples, per_second, rng))


def _words(clip: Spoken, share: float, rng: Rng, words: Sequence[str]) -> Item:
    """What is said is not what was asked."""
    return replace(clip.item(), text=damage.other_words(clip.text, share, words, rng))


_STYLES = ("slow", "fast", "low", "high", "soft", "loud")


def _styled(clip: Spoken, left: float = 1.0) -> Item:
    """The clip as it was asked for, in one of six styles by its name: a fifth beyond the threshold of the
    word, times `left`. The voice's own manner is the same without it."""
    asked = _STYLES[derived_seed("style", clip.name) % len(_STYLES)]
    plain = damage.restyled(clip.samples, asked, 0.0)
    own = voice_statistics([prosody(plain, clip.text)])
    samples = damage.restyled(clip.samples, asked, 1.2 * left)
    return replace(clip.item(), samples=samples, instruction=asked, baseline=own)


def _unstyled(clip: Spoken, undone: float, rng: Rng, words: Sequence[str]) -> Item:
    return _styled(clip, 1 - undone)


def _transcribed(clip: Spoken) -> Item:
    """The clip as an asr rollout that is right."""
    return replace(clip.item(), hypothesis=clip.text, voice=None)


def _misheard(clip: Spoken, share: float, rng: Rng, words: Sequence[str]) -> Item:
    """A transcript with other words in places than those that are said."""
    return replace(_transcribed(clip), hypothesis=damage.other_words(clip.text, share, words, rng))


def _added(clip: Spoken, share: float, rng: Rng, words: Sequence[str]) -> Item:
    """A transcript that goes on with words that nobody said."""
    said = clip.text.split()
    more = rng.choice(list(words), max(1, round(share * len(said))))
    return replace(_transcribed(clip), hypothesis=" ".join([*said, *map(str, more)]))


def _looped(clip: Spoken, times: float, rng: Rng, words: Sequence[str]) -> Item:
    """A transcript whose last words, up to three, are written again so many times."""
    said = clip.text.split()
    return replace(_transcribed(clip), hypothesis=" ".join([*said, *said[-3:] * int(times)]))


def _speaker(clip: Spoken, semitones: float, rng: Rng, words: Sequence[str]) -> Item:
    moved = damage.other_voice(clip.samples, semitones * float(rng.choice([-1, 1])))
    return replace(clip.item(), samples=moved)


DIMENSIONS = {
    one.name: one
    for one in (
        Dimension("noise", "dB SNR", (20, 10, 0), _noise),
        Dimension("clipping", "of the peak", (0.4, 0.2, 0.1), _clipping),
        Dimension("band-limit", "Hz", (3400, 2000, 1000), _band),
        Dimension("wrong-words", "of the words", (0.1, 0.3, 0.6), _words),
        Dimension("other-speaker", "semitones", (2, 4, 6), _speaker),
        Dimension("clicks", "a second", (1, 4, 16), _clicks),
        Dimension("style-undone", "of the change", (0.4, 0.7, 1.0), _unstyled, _styled),
        Dimension("misheard", "of the words", (0.1, 0.3, 0.6), _misheard, _transcribed),
        Dimension("added-words", "of the words", (0.1, 0.3, 0.6), _added, _transcribed),
        Dimension("loop", "times", (1, 2, 4), _looped, _transcribed),
    )
}
OWN: Mapping[str, tuple[str, ...]] = {
    "whisper-base-wer": ("wrong-words",),
    "whisper-tiny-wer": ("wrong-words",),
    "pocketsphinx-wer": ("wrong-words",),
    "vote-wer": ("wrong-words",),
    "distillmos": ("noise", "clipping", "band-limit"),
    "dnsmos": ("noise", "clipping", "band-limit"),
    "speaker-similarity": ("other-speaker",),
    "clipping": ("clipping",),
    "clicks": ("clicks",),
    "style": ("style-undone",),
    "style-pyin": ("style-undone",),
    "transcript-errors": ("misheard",),
    "transcript-insertions": ("added-words",),
    "transcript-repetition": ("loop",),
    "vote-transcript": ("misheard",),
}
"""The dimensions that each scorer is for."""


@dataclass(frozen=True)
class DoseResult:
    """One scorer, one dimension, one severity. ordered: pairs whose clean clip is strictly better; interval:
    Wilson, 95%; every clip gives one pair, so pairs do not share a clip. failed: pairs of which a side has no
    value."""

    scorer: str
    dimension: str
    severity: float
    unit: str
    pairs: int
    ordered: int
    failed: int
    interval: Interval
    mean_clean: float | None
    mean_damaged: float | None
    middle: bool

    @property
    def share(self) -> float:
        return self.ordered / self.pairs

    @property
    def reached(self) -> bool:
        """At the middle severity, whether enough pairs are ordered; elsewhere nothing is asked."""
        return not self.middle or self.share >= TARGET


def dose_response(
    scorer: Scorer, clips: Sequence[Spoken], seed: int, dimensions: Sequence[str] = ()
) -> list[DoseResult]:
    """The scorer over its own dimensions, or those named, at all severities. Raises NotFound."""
    name = scorer.info.name
    wanted = dimensions or OWN.get(name, ())
    if not wanted:
        raise NotFound(
            f"{name!r} has no dimension of its own: name some of {', '.join(DIMENSIONS)}"
        )
    found = []
    clean: dict[Callable[[Spoken], Item], list[Value]] = {}
    for dimension in map(_dimension, wanted):
        if dimension.clean not in clean:
            items = [dimension.clean(clip) for clip in clips]
            clean[dimension.clean] = _scored(scorer, items, f"{name}: clean")
        fair = clean[dimension.clean]
        found += [_dosed(scorer, clips, fair, dimension, at, seed) for at in range(3)]
    return found


def _dimension(name: str) -> Dimension:
    if name not in DIMENSIONS:
        raise NotFound(f"no damage {name!r}: there are {', '.join(DIMENSIONS)}")
    return DIMENSIONS[name]


def _dosed(
    scorer: Scorer,
    clips: Sequence[Spoken],
    clean: Sequence[Value],
    dimension: Dimension,
    at: int,
    seed: int,
) -> DoseResult:
    severity = dimension.severities[at]
    words = sorted({word for clip in clips for word in clip.text.split()})
    items = [
        dimension.make(clip, severity, _rng(seed, dimension.name, at, clip.name), words)
        for clip in clips
    ]
    damaged = _scored(scorer, items, f"{scorer.info.name}: {dimension.name} {severity:g}")
    pairs = [
        (one.value, other.value)
        for one, other in zip(clean, damaged, strict=True)
        if one.value is not None and other.value is not None
    ]
    sign = -1 if scorer.info.direction is Direction.LOWER else 1
    ordered = sum(sign * one > sign * other for one, other in pairs)
    return DoseResult(
        scorer.info.name,
        dimension.name,
        severity,
        dimension.unit,
        len(clips),
        ordered,
        len(clips) - len(pairs),
        wilson(ordered, len(clips)),
        float(np.mean([one for one, _ in pairs])) if pairs else None,
        float(np.mean([other for _, other in pairs])) if pairs else None,
        at == MIDDLE,
    )


def _rng(seed: int, dimension: str, at: int, clip: str) -> Rng:
    return np.random.default_rng(derived_seed("dose", seed, dimension, at, clip))


def _scored(scorer: Scorer, items: Sequence[Item], label: str) -> list[Value]:
    batches = [items[begin : begin + _AT_ONCE] for begin in range(0, len(items), _AT_ONCE)]
    return [value for batch in progress(batches, label) for value in scorer.score(batch)]
