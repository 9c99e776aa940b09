"""Clips of speech -> how each is spoken: a global description and inline directives.

The annotation pipeline of StepAudio 2.5 (arXiv 2605.23463, section 5) without its language model: word times and
measured prosody, discretised beside the voice's own medians; clips that a recogniser hears otherwise are dropped.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from trivox.pipelines.descriptions.inline import (
    PAUSE,
    Change,
    Cuts,
    TimedWord,
    find_change,
    find_cuts,
    find_pauses,
    usual,
)
from trivox.pipelines.descriptions.sentences import sentence
from trivox.platform.audio.io import Samples, resample, to_mono
from trivox.platform.audio.pitch import PitchTracker
from trivox.platform.audio.prosody import ACTIVITY, Prosody, measure
from trivox.platform.audio.style_words import (
    Thresholds,
    VoiceStatistics,
    describe,
    voice_statistics,
)
from trivox.platform.errors import BrokenAudio, UsageError
from trivox.platform.records import Failure
from trivox.platform.text.directives import DirectedText
from trivox.platform.text.error_rate import error_counts

HEARING_RATE = 16_000
Recognise: TypeAlias = Callable[[Samples, str], str]
"""Mono float32 [n] at 16 kHz and a BCP-47 language -> what is heard."""


class DropKind(StrEnum):
    """Why a clip has no description."""

    UNREADABLE = "unreadable"
    NO_SPEECH = "no_speech"
    MISHEARD = "misheard"
    WRONG_TIMES = "wrong_times"
    PARENTHESES = "parentheses"
    FEW_CLIPS = "few_clips"


class DescriptionConfig(BaseModel):
    """Every number of the recipe that people may change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    thresholds: Thresholds = Thresholds()
    form: Literal["words", "sentences"] = "words"
    """The global description: "slow high", or an English sentence."""
    max_error_rate: float = Field(0.2, ge=0)
    """Error rate of what a recogniser hears above which a clip is dropped."""
    least_clips: int = Field(5, ge=1)
    """Clips of a voice below which its medians say little: its clips are dropped."""
    least_cuts: int = Field(20, ge=2)
    """Cuts at a place of a voice's clips below which no change within a clip is looked for there."""
    seed: int = 0
    """Chooses the wording of sentences."""


@dataclass(frozen=True)
class SpokenClip:
    """One recording with its text. name: unique; read: samples float32 [n] or [n, channels] and their rate in Hz;
    words: their times, where known: without them no directive is found."""

    name: str
    text: str
    voice: str
    read: Callable[[], tuple[Samples, int]]
    words: tuple[TimedWord, ...] | None = None
    language: str = "en-US"


@dataclass(frozen=True)
class Described:
    """words: of the whole clip, or of what comes before a change; instruction: the global description, empty where
    all is normal; error_rate: of the cross-check, None without one."""

    clip: SpokenClip
    prosody: Prosody
    words: tuple[str, ...]
    instruction: str
    directed: DirectedText
    error_rate: float | None


@dataclass(frozen=True)
class Dropped:
    clip: SpokenClip
    failure: Failure


@dataclass(frozen=True)
class Descriptions:
    """In the order of the clips; voices: the medians that the words refer to."""

    described: tuple[Described, ...]
    dropped: tuple[Dropped, ...]
    voices: dict[str, VoiceStatistics]


@dataclass(frozen=True, eq=False)
class _Measured:
    clip: SpokenClip
    prosody: Prosody
    cuts: Cuts | None
    error_rate: float | None


class _Drop(Exception):
    def __init__(self, kind: DropKind, message: str) -> None:
        super().__init__(kind, message)
        self.failure = Failure(kind, message)


def annotate(
    clips: Iterable[SpokenClip],
    config: DescriptionConfig,
    recognise: Recognise | None = None,
) -> Descriptions:
    """Descriptions of clips beside the medians of their voices; audio is read once and not kept.

    Raises UsageError for two clips of one name.
    """
    measured: dict[str, _Measured] = {}
    dropped: dict[str, Dropped] = {}
    for clip in clips:
        if clip.name in measured or clip.name in dropped:
            raise UsageError(f"two clips are named {clip.name!r}: give each a name of its own")
        try:
            measured[clip.name] = _measure(clip, config, recognise)
        except _Drop as drop:
            dropped[clip.name] = Dropped(clip, drop.failure)
    by_voice: defaultdict[str, list[_Measured]] = defaultdict(list)
    for one in measured.values():
        by_voice[one.clip.voice].append(one)
    voices = {
        voice: voice_statistics([one.prosody for one in group]) for voice, group in by_voice.items()
    }
    described: list[Described] = []
    for voice, group in by_voice.items():
        if len(group) >= config.least_clips:
            described += _of_voice(group, voices[voice], config)
        else:
            dropped |= {one.clip.name: _too_few(one.clip, len(group), config) for one in group}
    order = {name: index for index, name in enumerate(measured)}
    described.sort(key=lambda one: order[one.clip.name])
    return Descriptions(tuple(described), tuple(dropped.values()), voices)


def _measure(clip: SpokenClip, config: DescriptionConfig, recognise: Recognise | None) -> _Measured:
    """Raises _Drop."""
    if set(clip.text) & set("()"):
        raise _Drop(DropKind.PARENTHESES, f"{clip.text!r} has parentheses, which mark directives")
    try:
        samples, rate = clip.read()
    except BrokenAudio as error:
        raise _Drop(DropKind.UNREADABLE, str(error)) from None
    mono = to_mono(samples)
    pitch = PitchTracker().track(mono, rate)
    prosody = measure(mono, rate, clip.text, pitch=pitch)
    if prosody.level_db is None:
        raise _Drop(DropKind.NO_SPEECH, prosody.failures["level_db"].message)
    error_rate = _checked(clip, mono, rate, config, recognise) if recognise else None
    if clip.words is None:
        return _Measured(clip, prosody, None, error_rate)
    try:
        cuts = find_cuts(mono, rate, clip.text, clip.words, pitch, config.thresholds, ACTIVITY)
    except UsageError as error:
        raise _Drop(DropKind.WRONG_TIMES, str(error)) from None
    return _Measured(clip, prosody, cuts, error_rate)


def _checked(
    clip: SpokenClip, mono: Samples, rate: int, config: DescriptionConfig, recognise: Recognise
) -> float:
    """The error rate of what is heard; raises _Drop when it is too high."""
    heard = recognise(resample(mono, rate, HEARING_RATE), clip.language)
    counts = error_counts(clip.text, heard, clip.language)
    if counts.rate > config.max_error_rate:
        raise _Drop(
            DropKind.MISHEARD,
            f"{counts.metric} {counts.rate:.2f} above {config.max_error_rate}: {heard!r} was heard",
        )
    return counts.rate


def _of_voice(
    group: Sequence[_Measured], statistics: VoiceStatistics, config: DescriptionConfig
) -> list[Described]:
    thresholds = config.thresholds
    known = [one.cuts for one in group if one.cuts is not None]
    common = usual(known, statistics, config.least_cuts)
    described = []
    for one in group:
        change = one.cuts and find_change(one.cuts, statistics, common, thresholds)
        words = change.head if change else describe(one.prosody, statistics, thresholds)
        described.append(
            Described(
                one.clip,
                one.prosody,
                words,
                _instruction(one, statistics, words, config),
                _directed(one, change or None, thresholds),
                one.error_rate,
            )
        )
    return described


def _instruction(
    one: _Measured,
    statistics: VoiceStatistics,
    words: tuple[str, ...],
    config: DescriptionConfig,
) -> str:
    if config.form == "words":
        return " ".join(words)
    return sentence(one.prosody, statistics, words, config.thresholds, config.seed, one.clip.name)


def _directed(one: _Measured, change: Change | None, thresholds: Thresholds) -> DirectedText:
    """The clip's text, outer white space and all, with its spans."""
    text, spans = one.clip.text, list[tuple[int, int, str]]()
    if one.clip.words:
        pauses = find_pauses(text, one.clip.words, one.prosody, thresholds.pause_s)
        spans += [(at, at, PAUSE) for at in pauses]
    if change:
        spans += [(change.at, len(text), word) for word in change.words]
    return DirectedText(text, tuple(sorted(spans, key=lambda span: span[0])))


def _too_few(clip: SpokenClip, count: int, config: DescriptionConfig) -> Dropped:
    message = f"voice {clip.voice!r} has {count} clips, {config.least_clips} are needed"
    return Dropped(clip, Failure(DropKind.FEW_CLIPS, message))
