"""Scorers by name. Looking up a family loads nothing; building loads the weights."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trivox.platform.errors import NotFound
from trivox.platform.scoring import Scorer


@dataclass(frozen=True)
class _Entry:
    family: str
    make: Callable[[], Scorer]


def _whisper_base() -> Scorer:
    from trivox.reward_models.verifiable.intelligibility import Intelligibility
    from trivox.reward_models.verifiable.recognisers import whisper_base

    return Intelligibility("whisper-base-wer", whisper_base())


def _whisper_tiny() -> Scorer:
    from trivox.reward_models.verifiable.intelligibility import Intelligibility
    from trivox.reward_models.verifiable.recognisers import whisper_tiny

    return Intelligibility("whisper-tiny-wer", whisper_tiny())


def _pocketsphinx() -> Scorer:
    from trivox.reward_models.verifiable.intelligibility import Intelligibility
    from trivox.reward_models.verifiable.recognisers import PocketSphinx

    return Intelligibility("pocketsphinx-wer", PocketSphinx())


def _duration() -> Scorer:
    from trivox.reward_models.verifiable.gates import DurationGate

    return DurationGate()


def _silence() -> Scorer:
    from trivox.reward_models.verifiable.gates import SilenceGate

    return SilenceGate()


def _end() -> Scorer:
    from trivox.reward_models.verifiable.gates import EndGate

    return EndGate()


def _distillmos() -> Scorer:
    from trivox.reward_models.acoustic.mos import DistillMOS

    return DistillMOS()


def _dnsmos() -> Scorer:
    from trivox.reward_models.acoustic.mos import DNSMOS

    return DNSMOS()


_SCORERS = {
    "whisper-base-wer": _Entry("whisper", _whisper_base),
    "whisper-tiny-wer": _Entry("whisper", _whisper_tiny),
    "pocketsphinx-wer": _Entry("pocketsphinx", _pocketsphinx),
    "duration": _Entry("signal", _duration),
    "silence": _Entry("signal", _silence),
    "end": _Entry("signal", _end),
    "distillmos": _Entry("distillmos", _distillmos),
    "dnsmos": _Entry("dnsmos", _dnsmos),
}


def names() -> list[str]:
    """All scorers, in the order of the registry."""
    return list(_SCORERS)


def build(name: str) -> Scorer:
    """A ready scorer. Raises NotFound for an unknown name, MissingModel where weights are not installed."""
    return _entry(name).make()


def families(wanted: Iterable[str]) -> dict[str, str]:
    """Family by scorer name, without loading any model. Raises NotFound."""
    return {name: _entry(name).family for name in wanted}


def _entry(name: str) -> _Entry:
    if name not in _SCORERS:
        raise NotFound(f"no scorer is named {name!r}: there are {', '.join(_SCORERS)}")
    return _SCORERS[name]
