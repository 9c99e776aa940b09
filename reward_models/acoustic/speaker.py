"""Whose voice it is: likeness of a clip to a recording of whoever was to speak.

The encoder is Resemblyzer's (GE2E, Wan et al. 2018, Generalized end-to-end loss for speaker verification): three
LSTM layers over 40 mel bands. Its package is not imported: it asks for a release of SciPy that is long gone.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from trivox.platform.audio.prosody import ACTIVITY, HOP_S, frame_levels
from trivox.platform.records import Direction
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.reward_models import offline
from trivox.reward_models.acoustic.threads import one_thread
from trivox.reward_models.audio_checks import RATE, Samples, guarded, speech

_BANDS, _WIDTH, _LAYERS = 40, 256, 3
_WINDOW, _HOP = 400, 160
_FRAMES = 160
"""Frames of 10 ms that the encoder was trained on; longer clips are the mean over such windows."""
_STEP = 77
_COVERED = 0.75
_LEVEL = 10 ** (-30 / 20)
_LEAST_S = 0.5
_REMEMBERED = 256


class SpeakerSimilarity:
    """Cosine of the two clips' speaker embeddings, 0..1: the same voice has some 0.85, two others 0.55.

    Fails typed where the item has no `voice`, or either clip has less than half a second of speech.
    """

    def __init__(self) -> None:
        weights = offline.located(offline.RESEMBLYZER)
        import torch

        state = torch.load(weights, map_location="cpu", weights_only=True)["model_state"]
        self._lstm: Any = torch.nn.LSTM(_BANDS, _WIDTH, _LAYERS, batch_first=True)
        self._linear: Any = torch.nn.Linear(_WIDTH, _WIDTH)
        self._lstm.load_state_dict(_part(state, "lstm."))
        self._linear.load_state_dict(_part(state, "linear."))
        self._known: OrderedDict[bytes, Samples] = OrderedDict()
        self.info = ScorerInfo(
            name="speaker-similarity",
            version="1",
            weights_hash=offline.RESEMBLYZER.sha256,
            family="resemblyzer",
            component="speaker",
            unit="cosine",
            direction=Direction.HIGHER,
        )

    def score(self, items: Sequence[Item]) -> list[Value]:
        with one_thread():
            return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        if item.voice is None:
            message = f"rollout {item.rollout} names no voice to be compared with"
            return failed(FailureKind.NO_VOICE, message)
        spoken = speech(item)
        if isinstance(spoken, Value):
            return spoken
        named = Item("the voice asked for", item.voice.samples, item.voice.rate, None, "")
        voice = speech(named)
        if isinstance(voice, Value):
            return voice
        one, other = trimmed(_levelled(spoken)), trimmed(_levelled(voice))
        for who, clip in (("the rollout", one), ("the voice asked for", other)):
            if len(clip) < _LEAST_S * RATE:
                message = f"{len(clip) / RATE:.2f} s of speech in {who}, {_LEAST_S} s are needed"
                return failed(FailureKind.SHORT_AUDIO, message)
        return Value(float(np.dot(self.embedding(one), self._remembered(other))))

    def _remembered(self, clip: Samples) -> Samples:
        """Embeddings of voices are kept: the same one belongs to all rollouts of a prompt."""
        key = hashlib.sha256(clip.tobytes()).digest()
        if key not in self._known:
            self._known[key] = self.embedding(clip)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return self._known[key]

    def embedding(self, clip: Samples) -> Samples:
        """Unit vector float32 [256] of mono speech [n] at 16 kHz."""
        import torch

        with torch.inference_mode():
            _, (hidden, _) = self._lstm(torch.from_numpy(_windows(clip)))
            found = torch.relu(self._linear(hidden[-1])).numpy()
        each = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-8)
        mean = each.mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


def trimmed(samples: Samples) -> Samples:
    """Speech without its pauses: mono [m] of [n] at 16 kHz, by level, with 50 ms left on each side."""
    levels = 10 * np.log10(frame_levels(samples, RATE) + 1e-20)
    if not len(levels):
        return samples[:0]
    spoken = levels > max(float(np.percentile(levels, 95)) - ACTIVITY.below_db, ACTIVITY.floor_db)
    near = np.convolve(spoken, np.ones(11), "same") > 0
    kept: Samples = samples[: len(levels) * round(HOP_S * RATE)].reshape(len(levels), -1)[near]
    return kept.ravel()


def _windows(clip: Samples) -> Samples:
    """Mel power float32 [windows, 160, 40] of a clip."""
    import librosa

    loud = _levelled(clip)
    least = _FRAMES * _HOP
    mel = librosa.feature.melspectrogram(
        y=np.pad(loud, (0, max(0, least - len(loud)))),
        sr=RATE,
        n_fft=_WINDOW,
        hop_length=_HOP,
        n_mels=_BANDS,
    ).T.astype(np.float32)
    last = max(0, len(mel) - round(_FRAMES * _COVERED))
    starts = range(0, last + 1, _STEP)
    padded = np.pad(mel, ((0, _FRAMES), (0, 0)))
    return np.stack([padded[start : start + _FRAMES] for start in starts])


def _levelled(clip: Samples) -> Samples:
    """At an RMS of -30 dB: the encoder reads power, and no voice is another for being louder."""
    return clip * np.float32(_LEVEL / max(1e-6, float(np.sqrt(np.mean(clip**2)))))


def _part(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): one for key, one in state.items() if key.startswith(prefix)}
