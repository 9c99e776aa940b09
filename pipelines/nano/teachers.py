"""The synthetic voices that trivox-nano learns from: hibari (one, fast) and Kokoro-82M (many)."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from trivox.platform.errors import MissingModel
from trivox.platform.hashing import derived_seed
from trivox.reward_models.offline import kokoro

TEACHER_RATE = 24_000
RATE = 16_000
HIBARI_VOICE = "heart"
Wave = npt.NDArray[np.float32]

VOICES = {
    # Style vectors: voices/NAME.bin in the npm package kokoro-js 1.2.1, Apache-2.0.
    "michael": "am_michael",
    "emma": "bf_emma",
    "bella": "af_bella",
    "fenrir": "am_fenrir",
    "george": "bm_george",
    "isabella": "bf_isabella",
    "sarah": "af_sarah",
    "puck": "am_puck",
    "eric": "am_eric",
    "nova": "af_nova",
}


@dataclass(frozen=True)
class Manner:
    """How a clip is spoken. speed: 1 is the voice's own; pitch: factor, made by resampling, so that formants move
    with it; gain_db over the common level."""

    speed: float = 1.0
    pitch: float = 1.0
    gain_db: float = 0.0


LEVEL = 0.06
"""RMS of a clip at a gain of 0 dB, full scale 1.0."""


def speak(text: str, voice: str, manner: Manner, kokoro_voices: Path | None) -> Wave:
    """float32 [n] at 16 kHz, without silence at its ends.

    Raises MissingModel without the package of the voice, and for a Kokoro voice without kokoro_voices.
    """
    written = text.capitalize() + "."
    speed = manner.speed / manner.pitch
    if voice == HIBARI_VOICE:
        seed = derived_seed("hibari", text, speed)
        wave = np.asarray(_hibari()(written, speed=speed, seed=seed), np.float32)
    else:
        wave = _kokoro(written, voice, speed, kokoro_voices)
    wave = soxr.resample(wave, TEACHER_RATE * manner.pitch, RATE).astype(np.float32)
    wave = trimmed(wave)
    level = LEVEL * 10 ** (manner.gain_db / 20)
    wave = wave * (level / max(1e-6, float(np.sqrt(np.mean(wave**2)))))
    return np.clip(wave, -1, 32767 / 32768).astype(np.float32)


def phonemes(text: str) -> str:
    """The sounds of a text as the teachers read it: IPA, with one letter for a diphthong."""
    return "".join(_hibari().phonemize(text))


MARGIN_S = 0.06
"""Of silence that `trimmed` leaves at both ends."""


def trimmed(wave: Wave, floor: float = 0.03, margin_s: float = MARGIN_S) -> Wave:
    """Without the stretches at both ends that lie under `floor` of the peak, but for a margin."""
    frame = RATE // 100
    envelope = np.abs(wave[: len(wave) // frame * frame]).reshape(-1, frame).max(1)
    loud = np.flatnonzero(envelope > floor * envelope.max())
    if len(loud) == 0:
        return wave
    margin = int(margin_s * RATE)
    begin, end = loud[0] * frame - margin, (loud[-1] + 1) * frame + margin
    return wave[max(0, begin) : end]


@cache
def _hibari() -> Any:
    try:
        from hibari import Hibari
    except ImportError:
        raise MissingModel("the voice hibari-tts is not installed: run `make install`") from None
    return Hibari()


def _kokoro(written: str, voice: str, speed: float, voices: Path | None) -> Wave:
    if voices is None:
        raise MissingModel(
            f"voice {voice!r} is one of Kokoro: `npm pack kokoro-js@1.2.1`, unpack it, and give its folder "
            "package/voices as kokoro_voices in the recipe"
        )
    ids = _hibari().ids(phonemes(written))
    feeds = {
        "tokens": np.array([ids], np.int64),
        "style": _style(voices / f"{VOICES[voice]}.bin")[len(ids) - 2][None],
        "speed": np.full(1, speed, np.float32),
    }
    spoken: Wave = _session().run(None, feeds)[0].ravel()
    return spoken


@cache
def _style(path: Path) -> Wave:
    if not path.exists():
        raise MissingModel(f"{path} is missing: give the folder `voices` of kokoro-js 1.2.1")
    return np.fromfile(path, np.float32).reshape(-1, 256)


@cache
def _session() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(kokoro(), options, providers=["CPUExecutionProvider"])
