"""What a reply says: likeness in meaning to the reference reply, and to what was asked.

Sentence embeddings of all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019): mean of the last layer over
the tokens, compared by cosine. They hear no tone and know no facts: a floor under a judge, not one. English.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivox.platform.records import Direction
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.platform.text.normalise import primary_language
from trivox.reward_models import offline
from trivox.reward_models.acoustic.threads import one_thread
from trivox.reward_models.audio_checks import guarded

_LONGEST = 256


class Sentences:
    """Texts to unit vectors float32 [384], one at a time, so that none depends on another's length."""

    def __init__(self) -> None:
        folder = offline.located(offline.MINILM).parent
        from transformers import AutoModel, AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModel.from_pretrained(folder).eval()

    def embed(self, text: str) -> NDArray[np.float32]:
        """A text beyond 256 tokens is cut."""
        import torch

        tokens = self._tokenizer(text, return_tensors="pt", truncation=True, max_length=_LONGEST)
        with torch.inference_mode():
            mean = self._model(**tokens).last_hidden_state[0].mean(0)
        found: NDArray[np.float32] = (mean / mean.norm()).numpy()
        return found


class ReplyLikeness:
    """Cosine of the reply's words and other words, -1..1: higher is nearer in meaning.

    to "reference": the reference reply y*. to "history": the last turn of anyone else than the assistant. The
    reply is the item's text, else its transcript. Fails typed without either side, and in languages other than
    English.
    """

    def __init__(self, name: str, to: str, sentences: Sentences) -> None:
        if to not in ("reference", "history"):
            raise ValueError(f"likeness to {to!r}: there are reference and history")
        self._to, self._sentences = to, sentences
        self.info = ScorerInfo(
            name=name,
            version="1",
            weights_hash=offline.MINILM.sha256,
            family="minilm",
            component="meaning" if to == "reference" else "relevance",
            unit="cosine",
            direction=Direction.HIGHER,
        )

    def score(self, items: Sequence[Item]) -> list[Value]:
        with one_thread():
            return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        if primary_language(item.language) != "en":
            return failed(FailureKind.UNKNOWN_LANGUAGE, f"{self.info.name} reads English only")
        reply = (item.text or item.hypothesis or "").strip()
        if not reply:
            return failed(FailureKind.NO_TEXT, f"rollout {item.rollout} has no words")
        other = self._other(item)
        if isinstance(other, Value):
            return other
        one, two = self._sentences.embed(reply), self._sentences.embed(other)
        return Value(float(np.dot(one, two)))

    def _other(self, item: Item) -> str | Value:
        if self._to == "reference":
            if item.reference_text:
                return item.reference_text
            message = f"rollout {item.rollout} has no reference reply"
            return failed(FailureKind.NO_REFERENCE, message)
        asked = [turn.text for turn in item.history if turn.role != "assistant" and turn.text]
        if asked:
            return asked[-1]
        return failed(FailureKind.NO_HISTORY, f"rollout {item.rollout} answers nobody's words")
