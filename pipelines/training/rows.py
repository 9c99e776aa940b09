"""Prompts with their references -> training rows, by the prompt and completion functions of the branches."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trivox.pipelines.consent import require_consent
from trivox.pipelines.realtime.personas import character
from trivox.pipelines.speaking import encoded, marked
from trivox.pipelines.training.align import Aligner, frames_of
from trivox.platform.audio.io import resample, to_mono
from trivox.platform.errors import ConfigError, RefusedByConsent, UsageError
from trivox.platform.hashing import derived_seed
from trivox.platform.personas.registry import resolve
from trivox.platform.records import Branch, Consent, Persona, Prompt, Turn
from trivox.platform.store import Workspace
from trivox.policy.backbone import Backbone
from trivox.policy.branches.asr import asr_completion, asr_prompt
from trivox.policy.branches.realtime import Heard, Said, planned, realtime_prompt, reasoning
from trivox.policy.branches.speech import chunks_of, speech_completion, speech_segments
from trivox.policy.branches.tts import tts_prompt
from trivox.policy.rows import Row
from trivox.policy.text import without_directives
from trivox.policy.trainers.sft import fault_of

Wave = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]
_DRAWS = 1 << 20


@dataclass
class RowMaker:
    """Makes rows for one backbone.

    reasoning_share: of realtime rows whose last turn is heard and written down too, the share in which what was
    heard comes before the reply as hidden reasoning; which ones follows from seed and prompt.
    """

    ws: Workspace
    backbone: Backbone
    aligner: Aligner
    reasoning_share: float = 0.0
    seed: int = 0
    _allowed: set[tuple[str, Consent]] = field(default_factory=set)

    def row(self, prompt: Prompt) -> Row:
        """The row of a prompt.

        Raises ConfigError for what it lacks and for a row that the backbone cannot take, UnspeakableText,
        BadDirective, BrokenAudio; RefusedByConsent for a speaker who does not allow training.
        """
        make = {Branch.ASR: self._asr, Branch.TTS: self._tts, Branch.REALTIME: self._realtime}
        made = make[prompt.branch](prompt)
        if fault := fault_of(self.backbone, made):
            raise ConfigError(fault)
        return made

    def _asr(self, prompt: Prompt) -> Row:
        heard = self._features(_needed(prompt.audio, "recording", "import it with its audio"))
        text = _needed(prompt.reference_text, "transcript", "import it with its text")
        completion = asr_completion(self.backbone.tokens, self.backbone.tokens.written(text))
        ids = asr_prompt(self.backbone.tokens, self.backbone.embeddings(heard))
        return Row(ids, completion, [True] * len(completion), (heard,))

    def _tts(self, prompt: Prompt) -> Row:
        tokens = self.backbone.tokens
        _needed(prompt.text, "text", "import it with its text")
        text = marked(prompt)
        voice = None if prompt.voice_audio is None else self._voice(prompt.voice_audio)
        ids = tts_prompt(tokens, text, prompt.instruction or "", voice)
        completion = self._speech(prompt, text)
        loss = [False] * len(completion)
        for segment in speech_segments(tokens, completion, chosen_text=False):
            loss[segment.start : segment.end] = [segment.in_loss] * (segment.end - segment.start)
        return Row(ids, completion, loss)

    def _realtime(self, prompt: Prompt) -> Row:
        tokens = self.backbone.tokens
        turns = prompt.turns or (Turn("user", prompt.text, prompt.audio),)
        if turns[-1].role != "user":
            raise ConfigError(f"its last turn is of {turns[-1].role!r}: end with what is answered")
        name = _needed(prompt.persona, "persona", "name one as name@version")
        persona = character(resolve(self.ws, Persona, name))
        clips = list[Wave]()
        said = [self._turn(turn, number, clips) for number, turn in enumerate(turns, 1)]
        ids = realtime_prompt(tokens, persona, said, prompt.instruction or "")
        answer = prompt.reference_text
        if tokens.carries != "none":
            answer = _needed(answer, "text of the reply", "give it as reference_text")
        completion = self._thought(prompt, turns[-1], answer or "") + self._speech(
            prompt, answer or ""
        )
        return Row(ids, completion, [True] * len(completion), tuple(clips))

    def _turn(self, turn: Turn, number: int, clips: list[Wave]) -> Heard | Said:
        """Users are heard where they can be; what the assistant said is text."""
        if turn.role == "user" and turn.audio is not None and self.backbone.hears:
            clips.append(self._features(turn.audio))
            return Heard(self.backbone.embeddings(clips[-1]))
        what = f"text in turn {number}, of the {turn.role}"
        return Said(turn.role, _needed(turn.text, what, "write down what was said"))

    def _thought(self, prompt: Prompt, last: Turn, answer: str) -> list[int]:
        draw = derived_seed("reasoning", self.seed, prompt.id) % _DRAWS / _DRAWS
        if last.audio is None or last.text is None or draw >= self.reasoning_share:
            return []
        tokens = self.backbone.tokens
        return reasoning(tokens, planned(last.text, tokens.written(answer)))

    def _speech(self, prompt: Prompt, text: str) -> list[int]:
        """The reference recording in tokens, word by word with the text where the model carries words."""
        name = _needed(
            prompt.reference_audio, "recording of the answer", "import it with its audio"
        )
        samples, rate = self._samples(name)
        codes = self._encoded(samples, rate)
        tokens = self.backbone.tokens
        if tokens.carries == "none":
            return speech_completion(tokens, codes)
        chunks = chunks_of(tokens.written(text))
        tokens.text_ids(tokens.written(text))  # says what is strange before anything is aligned
        frames = self._frames(samples, rate, chunks, len(codes))
        return speech_completion(tokens, codes, chunks, frames)

    def _frames(self, samples: Wave, rate: int, chunks: Sequence[str], total: int) -> list[int]:
        """Codec frames of each chunk; one of directives alone takes the least."""
        words = [without_directives(chunk) for chunk in chunks]
        spoken = [word for word in words if word]
        if not spoken:
            raise ConfigError(f"its text {' '.join(chunks)!r} has no words: write what is said")
        shares = iter(self.aligner.shares(samples, rate, spoken))
        try:
            return frames_of([next(shares) if word else 0.0 for word in words], total)
        except ValueError as error:
            raise ConfigError(f"{error}: check that recording and text belong together") from None

    def _features(self, audio: str) -> Wave:
        samples, rate = self._samples(audio)
        return self.backbone.features(resample(samples, rate, self.backbone.hearing_rate))

    def _voice(self, audio: str) -> Codes:
        for use in (Consent.TRAIN, Consent.CLONE):
            self._check_consent(audio, use)
        return self._encoded(*self._samples(audio))

    def _encoded(self, samples: Wave, rate: int) -> Codes:
        return encoded(self.backbone.codec, samples, rate)

    def _samples(self, audio: str) -> tuple[Wave, int]:
        self._check_consent(audio, Consent.TRAIN)
        samples, rate = self.ws.audio.read(audio)
        return to_mono(samples), rate

    def _check_consent(self, audio: str, use: Consent) -> None:
        if (audio, use) not in self._allowed:
            require_consent(self.ws, audio, use)
            self._allowed.add((audio, use))


def _needed(value: str | None, what: str, remedy: str) -> str:
    if not value:
        raise ConfigError(f"it has no {what}: {remedy}")
    return value


UNUSABLE = (UsageError, RefusedByConsent)
"""What `RowMaker.row` raises for a row that cannot be used."""
