"""Speech recognisers that judge intelligibility: Whisper through CTranslate2, and PocketSphinx.

One thread each, greedy, without state between clips: a transcript does not depend on what came before.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trivox.platform.errors import MissingModel, UsageError
from trivox.platform.hashing import sha256_files
from trivox.platform.text.normalise import MIXED, primary_language
from trivox.reward_models import offline
from trivox.reward_models.audio_checks import RATE, Samples

_HOP = 160
_LONGEST = 3000
_WINDOWS = (1000, 2000, _LONGEST)
"""Frames of 10 ms that the encoder sees: Whisper was trained on 3000, most of them silence for short clips."""
_MARGIN = 100
_TOKENS = 16
_TOKENS_PER_SECOND = 10


class UnknownLanguage(UsageError):
    """A recogniser was asked for a language that it does not know."""


@dataclass(frozen=True)
class TimedWord:
    """Characters start..end of a text, and the seconds between which they are said."""

    start: int
    end: int
    begin_s: float
    end_s: float


class Recogniser(Protocol):
    """Speech to text. weights_hash: sha256 of what decides the transcript."""

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str: ...

    @property
    def weights_hash(self) -> str: ...

    def transcribe(self, samples: Samples, language: str) -> str:
        """The text of mono float32 [n] at 16 kHz. Raises UnknownLanguage."""
        ...


class _Heard:
    """The last transcripts by sound and language: several scorers of a reward ask for the same one."""

    def __init__(self, most: int = 512) -> None:
        self._most = most
        self._known: OrderedDict[tuple[bytes, str], str] = OrderedDict()

    def of(self, samples: Samples, language: str, hear: Callable[[Samples, str], str]) -> str:
        key = hashlib.sha256(np.ascontiguousarray(samples).tobytes()).digest(), language
        if key not in self._known:
            self._known[key] = hear(samples, language)
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return self._known[key]


class Whisper:
    """Whisper (Radford et al. 2022), int8, greedy at temperature 0, no voice activity detection.

    A clip is encoded in a 10 or 20 s window where it fits, a fifth of the work of 30 s. A short window
    makes Whisper repeat itself at times, so a transcript that repeats or does not end is made again over
    30 s. Longer audio goes through faster-whisper's own windowing.
    """

    family = "whisper"

    def __init__(self, name: str, folder: Path) -> None:
        from faster_whisper import WhisperModel

        self.name = name
        self.weights_hash = offline.file_hash(folder / "model.bin")
        self._model: Any = WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=1, num_workers=1
        )
        self._tokenizers: dict[str, Any] = {}
        self._heard = _Heard()

    def transcribe(self, samples: Samples, language: str) -> str:
        return self._heard.of(samples, language, self._hear)

    def _hear(self, samples: Samples, language: str) -> str:
        code = self._code(language, samples)
        frames = -(-len(samples) // _HOP)
        if frames > _LONGEST:
            return self._transcribe_long(samples, code)
        window = next((size for size in _WINDOWS if frames + _MARGIN <= size), _LONGEST)
        text, ended = self._decode(samples, code, window)
        if window < _LONGEST and (not ended or repeats(text)):
            text, _ = self._decode(samples, code, _LONGEST)
        return text

    def _decode(self, samples: Samples, code: str, window: int) -> tuple[str, bool]:
        """Text, and whether it came to an end within the tokens that a clip of this length may have."""
        from ctranslate2 import StorageView

        tokenizer = self._tokenizer(code)
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        limit = _TOKENS + _TOKENS_PER_SECOND * len(samples) // RATE
        features = self._features(samples, window)
        result = self._model.model.generate(
            StorageView.from_array(features),
            [prompt],
            beam_size=1,
            max_length=len(prompt) + limit,
            suppress_blank=True,
        )[0]
        tokens = result.sequences_ids[0]
        return str(tokenizer.decode(tokens)).strip(), len(tokens) < limit

    def align(self, samples: Samples, text: str, language: str) -> list[TimedWord]:
        """Where each word of a text is said in mono float32 [n] at 16 kHz, by the decoder's attention; empty for
        no text or a clip of more than 30 s.

        Boundaries are good to about a tenth of a second. Raises UnknownLanguage.
        """
        tokenizer = self._tokenizer(self._code(language, samples))
        tokens = tokenizer.encode(f" {text.strip()}")
        frames = -(-len(samples) // _HOP)
        if not text.strip() or frames > _LONGEST:
            return []
        from ctranslate2 import StorageView

        encoded = self._model.encode(self._features(samples, _LONGEST)[0])
        assert isinstance(encoded, StorageView)
        [found] = self._model.find_alignment(tokenizer, [tokens], encoded, frames)
        return _placed(text, found)

    def _features(self, samples: Samples, window: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Log-mel [1, 80, window] of the clip and silence after it."""
        padding = max(0, window * _HOP - len(samples))
        mel = self._model.feature_extractor(samples, padding=padding)[None, :, :window]
        return np.ascontiguousarray(mel, dtype=np.float32)

    def _transcribe_long(self, samples: Samples, code: str) -> str:
        segments, _ = self._model.transcribe(
            samples,
            language=code,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=False,
        )
        return " ".join(segment.text.strip() for segment in segments)

    def _code(self, language: str, samples: Samples) -> str:
        """Whisper's own code for a BCP-47 language; of several in one text, the one that it hears."""
        primary = primary_language(language)
        if primary == MIXED and self._model.model.is_multilingual:
            return str(self._model.detect_language(samples)[0])
        code = {"cmn": "zh", "wuu": "zh", "nb": "no"}.get(primary, primary)
        known = self._model.supported_languages
        if code not in known:
            raise UnknownLanguage(f"{self.name} does not know {language!r}, but {' '.join(known)}")
        return code

    def _tokenizer(self, code: str) -> Any:
        if code not in self._tokenizers:
            from faster_whisper.tokenizer import Tokenizer

            self._tokenizers[code] = Tokenizer(
                self._model.hf_tokenizer,
                self._model.model.is_multilingual,
                task="transcribe",
                language=code,
            )
        return self._tokenizers[code]


class PocketSphinx:
    """CMU PocketSphinx 5 with its US English model, loudness normalised over each clip alone."""

    name = "pocketsphinx"
    family = "pocketsphinx"

    def __init__(self) -> None:
        folder = offline.module_folder("pocketsphinx", "5.1.1", "pocketsphinx") / "model" / "en-us"
        files = [folder / "en-us.lm.bin", folder / "cmudict-en-us.dict"]
        files += sorted(path for path in (folder / "en-us").glob("*") if path.is_file())
        if not files[0].is_file():
            raise MissingModel(
                f"{files[0]} is missing: reinstall pocketsphinx==5.1.1 with `make install`"
            )
        from pocketsphinx import Decoder

        self.weights_hash = sha256_files(files)
        self._decoder: Any = Decoder(samprate=RATE, loglevel="FATAL", cmn="batch", fwdflat=False)
        self._heard = _Heard()

    def transcribe(self, samples: Samples, language: str) -> str:
        return self._heard.of(samples, language, self._hear)

    def _hear(self, samples: Samples, language: str) -> str:
        if primary_language(language) != "en":
            raise UnknownLanguage(f"pocketsphinx does not know {language!r}, but en")
        pcm = np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, False, True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return str(found.hypstr) if found else ""


def whisper_base() -> Whisper:
    """openai/whisper-base, multilingual. Raises MissingModel."""
    return Whisper("whisper-base", offline.whisper_base())


def whisper_tiny() -> Whisper:
    """openai/whisper-tiny.en, English only. Raises MissingModel."""
    return Whisper("whisper-tiny.en", offline.whisper_tiny_en())


def _placed(text: str, found: list[dict[str, Any]]) -> list[TimedWord]:
    """Aligned words by their place in the text; what is not found there in order is left out."""
    words, at = [], 0
    for one in found:
        spelled = str(one["word"]).strip()
        start = text.find(spelled, at) if spelled else -1
        if start >= 0 and any(map(str.isalnum, spelled)):
            at = start + len(spelled)
            words.append(TimedWord(start, at, float(one["start"]), float(one["end"])))
    return words


def repeats(text: str, words: int = 3, characters: int = 5) -> bool:
    """Whether some run of words (or of characters of a script without spaces) comes twice."""
    units, size = re.findall(r"\w+", text.lower()), words
    if any(len(unit) > 25 for unit in units) or re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", text):
        units, size = re.findall(r"\w", text), characters
    runs = [tuple(units[start : start + size]) for start in range(len(units) - size + 1)]
    return len(set(runs)) < len(runs)
