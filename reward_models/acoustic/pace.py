"""Pace by another measure of where speech is than ours: for evaluation, beside `speaking-rate` as a reward."""

from collections.abc import Sequence

from trivox.platform.hashing import content_hash
from trivox.platform.records import Direction
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.platform.text.syllables import SpeechUnit, count_units
from trivox.reward_models.audio_checks import RATE, guarded, speech

SILENT_DB = 30.0
"""Below the loudest frame: librosa's frames under it are no speech."""


class LibrosaPace:
    """Letters and digits of the text per second of what `librosa.effects.split` leaves. Neither more nor less is
    better; silence fails typed."""

    def __init__(self) -> None:
        self.info = ScorerInfo(
            name="librosa-rate",
            version="1",
            weights_hash=content_hash(["librosa-rate", SILENT_DB]),
            family="librosa",
            component="librosa-rate",
            unit="characters/s",
            direction=Direction.NEITHER,
        )

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        import librosa

        samples = speech(item)
        if isinstance(samples, Value):
            return samples
        spans = librosa.effects.split(samples, top_db=SILENT_DB, frame_length=512, hop_length=128)
        seconds = float((spans[:, 1] - spans[:, 0]).sum()) / RATE
        if not seconds or not item.text:
            return failed(FailureKind.UNMEASURED, "no speech, or no text, to take a pace from")
        return Value(count_units(item.text, SpeechUnit.CHARACTERS) / seconds)
