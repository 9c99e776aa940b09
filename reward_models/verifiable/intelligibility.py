"""Intelligibility: the error rate of an independent recogniser against the text that was to be said."""

from collections.abc import Sequence

from trivox.platform.records import Direction
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.platform.text.error_rate import error_counts
from trivox.platform.text.normalise import normaliser_for
from trivox.reward_models.audio_checks import guarded, speech
from trivox.reward_models.verifiable.recognisers import Recogniser, UnknownLanguage


class Intelligibility:
    """WER, or CER by language, as a fraction: lower is better, above 1 where words were added.

    evidence is the transcript. Fails typed where there is no text to compare with, no audio to hear, or
    the recogniser does not know the language.
    """

    def __init__(self, name: str, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self.info = ScorerInfo(
            name=name,
            version="1",
            weights_hash=recogniser.weights_hash,
            family=recogniser.family,
            component="intelligibility",
            unit="error rate",
            direction=Direction.LOWER,
        )

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        if item.text is None or not normaliser_for(item.language)(item.text):
            return failed(
                FailureKind.NO_TEXT, f"rollout {item.rollout} has no text to compare with"
            )
        samples = speech(item)
        if isinstance(samples, Value):
            return samples
        try:
            heard = self._recogniser.transcribe(samples, item.language)
        except UnknownLanguage as error:
            return failed(FailureKind.UNKNOWN_LANGUAGE, str(error))
        return Value(error_counts(item.text, heard, item.language).rate, evidence=heard)
