"""The three branches over one model: it transcribes, speaks and replies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel

from trivox.platform.audio.io import resample
from trivox.platform.errors import BrokenAudio
from trivox.platform.hashing import derived_seed
from trivox.platform.records import Sampling
from trivox.platform.text.error_rate import error_counts
from trivox.policy.backbone import Backbone
from trivox.policy.branches.asr import asr_constraint, asr_prompt
from trivox.policy.branches.constraint import Constraint
from trivox.policy.branches.realtime import Heard, Said, realtime_constraint, realtime_prompt
from trivox.policy.branches.tts import tts_constraint, tts_prompt
from trivox.policy.engine import Generation, InProcessEngine, Request, RolloutEngine
from trivox.policy.modeling.encoders import family_of
from trivox.policy.mtp.decode import VerifiedDecoder
from trivox.policy.text import speakable, without_directives

ASR_SAMPLING = Sampling(temperature=0.0, max_tokens=256)
TTS_SAMPLING = Sampling(temperature=0.3, max_tokens=700)
REALTIME_SAMPLING = Sampling(temperature=0.3, max_tokens=700)
TAKES = 8
LANGUAGE = "en-US"
Wave = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Transcript:
    text: str
    generation: Generation


@dataclass(frozen=True)
class Utterance:
    """What tts is to say: a text with directives in parentheses, how (words of style, the name of a voice), in
    whose voice: codes int32 [n, Q] of a reference clip; and what was said before."""

    text: str
    instruction: str = ""
    voice: Codes | None = None
    context: tuple[Said, ...] = ()


@dataclass(frozen=True)
class Dialogue:
    """What realtime is to answer: turns are waves float32 [n] at the rate that the backbone hears, or texts; the
    last is the user's."""

    persona: str
    turns: tuple[Wave | Said, ...]
    instruction: str = ""


@dataclass(frozen=True)
class Speech:
    """samples: float32 [n] at the codec's rate; codes: int32 [n_frames, Q]; text: the words among the audio,
    thought: the hidden reasoning before them, where the model wrote any."""

    samples: Wave
    codes: Codes
    generation: Generation
    text: str = ""
    thought: str = ""


class Speaker:
    """One version of the policy, ready to work.

    drafts: whether transcripts are decoded several tokens a pass where the backbone has blocks for it; greedy text
    is the same either way.
    """

    def __init__(self, backbone: Backbone, model: PreTrainedModel, slots: int) -> None:
        self.backbone, self.tokens = backbone, backbone.tokens
        self.engine = InProcessEngine(model, self.tokens.eos, self.tokens.pad, slots)
        self.drafts = True

    @cached_property
    def _verified(self) -> VerifiedDecoder | None:
        """Asks the ordinary engine's own numbers where rounding could decide."""
        if self.backbone.mtp is None:
            return None
        engine, tokens = self.engine, self.tokens
        slots = engine.slots
        return VerifiedDecoder(
            engine.model, self.backbone.mtp, tokens.eos, tokens.pad, slots, ordinary_slots=slots
        )

    @property
    def hearing(self) -> RolloutEngine:
        """What decodes transcripts."""
        return (self._verified if self.drafts else None) or self.engine

    @property
    def hearing_rate(self) -> int:
        """Hz of the waves that transcribe and reply take."""
        return self.backbone.hearing_rate

    @cached_property
    def longest_s(self) -> float:
        """Seconds of audio that the encoder hears at once and that leave room for a transcript in the context."""
        limit = self.backbone.position_limit
        room = limit - min(ASR_SAMPLING.max_tokens, limit // 4) - 2
        second = self.backbone.features(np.zeros(self.backbone.hearing_rate, np.float32))
        encoder = self.backbone.lm.config.encoder_config
        frames = family_of(encoder).longest(encoder) or math.inf
        return min(room / self.backbone.embeddings(second), frames / len(second))

    def transcribe(
        self, waves: Sequence[Wave], sampling: Sampling = ASR_SAMPLING
    ) -> list[Transcript]:
        """Each wave float32 [n] at backbone.hearing_rate -> its text.

        Raises BrokenAudio for a wave that is longer than longest_s.
        """
        constraint = asr_constraint(self.tokens)
        requests = [self.asr_request(wave, constraint, sampling) for wave in waves]
        said = self.hearing.generate(requests)
        return [Transcript(self.tokens.read_text(g.tokens), g) for g in said]

    def asr_request(self, wave: Wave, constraint: Constraint, sampling: Sampling) -> Request:
        """What `transcribe` asks the engine for one wave; raises BrokenAudio as it does."""
        features = self._features(wave)
        prompt = asr_prompt(self.tokens, self.backbone.embeddings(features))
        return Request(prompt, constraint, sampling, seed=0, audio=(features,))

    def speak(
        self,
        asked: Sequence[str | Utterance],
        seeds: Sequence[int],
        sampling: Sampling = TTS_SAMPLING,
    ) -> list[Speech]:
        """Each text -> speech; raises UnspeakableText."""
        requests = [
            self.tts_request(Utterance(one) if isinstance(one, str) else one, seed, sampling)
            for one, seed in zip(asked, seeds, strict=True)
        ]
        return [self.speech_of(generation) for generation in self.engine.generate(requests)]

    def tts_request(
        self, asked: Utterance, seed: int, sampling: Sampling = TTS_SAMPLING
    ) -> Request:
        """What `speak` asks the engine for one text; raises UnspeakableText."""
        prompt = tts_prompt(self.tokens, asked.text, asked.instruction, asked.voice, asked.context)
        return Request(prompt, tts_constraint(self.tokens, asked.text), sampling, seed)

    def speak_verified(
        self,
        asked: Sequence[str | Utterance],
        seeds: Sequence[int],
        sampling: Sampling = TTS_SAMPLING,
        takes: int = TAKES,
    ) -> list[Speech]:
        """Of `takes` takes of each text the one that the asr branch of the same weights understands best: fewest
        word errors, then the highest mean log-probability. Take 0 is what `speak` says with the same seed.
        """
        return [
            self._best_take(
                one, [derived_seed(seed, take) if take else seed for take in range(takes)], sampling
            )
            for one, seed in zip(asked, seeds, strict=True)
        ]

    def reply(
        self,
        asked: Sequence[Dialogue],
        seeds: Sequence[int],
        sampling: Sampling = REALTIME_SAMPLING,
        thinks: bool = False,
    ) -> list[Speech]:
        """The spoken reply to each dialogue, after hidden reasoning if `thinks`.

        Raises BrokenAudio for a turn that is too long, UnspeakableText for a persona or a text.
        """
        constraint = realtime_constraint(self.tokens, thinks)
        requests = [
            self.reply_request(one, constraint, seed, sampling)
            for one, seed in zip(asked, seeds, strict=True)
        ]
        return [self.speech_of(generation) for generation in self.engine.generate(requests)]

    def reply_request(
        self,
        asked: Dialogue,
        constraint: Constraint,
        seed: int,
        sampling: Sampling = REALTIME_SAMPLING,
    ) -> Request:
        """What `reply` asks the engine for one dialogue; raises as it does."""
        clips = tuple(self._features(t) for t in asked.turns if not isinstance(t, Said))
        counts = iter([self.backbone.embeddings(clip) for clip in clips])
        turns = [turn if isinstance(turn, Said) else Heard(next(counts)) for turn in asked.turns]
        prompt = realtime_prompt(self.tokens, asked.persona, turns, asked.instruction)
        return Request(prompt, constraint, sampling, seed, audio=clips)

    def _features(self, wave: Wave) -> npt.NDArray[np.float32]:
        if (seconds := len(wave) / self.backbone.hearing_rate) > self.longest_s:
            raise BrokenAudio(
                f"audio of {seconds:.1f} s: this policy hears {self.longest_s:.1f} s at most: cut it in parts"
            )
        return self.backbone.features(wave)

    def _best_take(self, asked: str | Utterance, seeds: list[int], sampling: Sampling) -> Speech:
        spoken = self.speak([asked] * len(seeds), seeds, sampling)
        heard = self.transcribe([self.audible(speech) for speech in spoken])
        text = asked if isinstance(asked, str) else asked.text
        wanted = without_directives(speakable(text))
        errors = [error_counts(wanted, one.text, LANGUAGE).errors for one in heard]

        def fault(take: int) -> tuple[int, float]:
            logprobs = spoken[take].generation.logprobs
            return errors[take], -sum(logprobs) / max(1, len(logprobs))

        return spoken[min(range(len(spoken)), key=fault)]

    def audible(self, speech: Speech) -> Wave:
        """The samples at the rate that the backbone hears; speech without a frame is silence of one sample."""
        rate, wanted = self.backbone.codec.spec.sample_rate, self.backbone.hearing_rate
        if not len(speech.samples):
            return np.zeros(1, np.float32)
        return resample(speech.samples, rate, wanted)

    def speech_of(self, generation: Generation) -> Speech:
        """The samples and words of what the engine drew for a tts or realtime request."""
        tokens = self.tokens
        ids = generation.tokens
        codes, after = tokens.read_codes(ids), self._begin_of_speech(ids)
        return Speech(
            self.backbone.codec.decode(codes),
            codes,
            generation,
            tokens.read_text(ids[after:]),
            tokens.read_text(ids[:after]),
        )

    def _begin_of_speech(self, ids: list[int]) -> int:
        """After the hidden reasoning; reasoning that was cut off is all that there is."""
        if self.tokens.end_think in ids:
            return ids.index(self.tokens.end_think) + 1
        return len(ids) if self.tokens.think in ids else 0
