"""Prompts as what the engine is asked and as what scorers are told, for one backbone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from trivox.pipelines.consent import require_consent
from trivox.pipelines.realtime.personas import character
from trivox.pipelines.speaking import marked, stored_voice
from trivox.platform.audio.io import resample, to_mono
from trivox.platform.audio.prosody import measure
from trivox.platform.audio.style_words import VoiceStatistics, voice_statistics
from trivox.platform.errors import ConfigError
from trivox.platform.personas.registry import resolve
from trivox.platform.records import (
    Branch,
    Consent,
    DecodingStatistics,
    FinishReason,
    Persona,
    Prompt,
    Rollout,
    Sampling,
    Turn,
)
from trivox.platform.scoring import Item
from trivox.platform.store import Workspace
from trivox.policy.branches.asr import asr_constraint
from trivox.policy.branches.realtime import Said, realtime_constraint
from trivox.policy.engine import Generation, Request
from trivox.policy.speaker import (
    ASR_SAMPLING,
    REALTIME_SAMPLING,
    TTS_SAMPLING,
    Dialogue,
    Speaker,
    Speech,
    Utterance,
    Wave,
)
from trivox.policy.trainers.rl.sources import Ask
from trivox.reward_models.acoustic.style import asked_words
from trivox.reward_models.items import item_of

IN_USE = {
    Branch.ASR: ASR_SAMPLING,
    Branch.TTS: TTS_SAMPLING,
    Branch.REALTIME: REALTIME_SAMPLING,
}
"""How each branch is sampled when it is used."""
PLAIN = (
    "please close the window and lock the bedroom door",
    "what is the weather in london on monday",
    "add seven apples to my shopping list",
    "tell maria that i am waiting at the station",
    "set a timer for twenty minutes",
    "where did peter leave the glasses",
    "wake me up at eight in the morning",
    "how far is it from paris to vienna",
)
"""What a voice says to show how fast, high and loud it is by itself."""
_REMEMBERED = 512


@dataclass
class Asker:
    """speaker: makes requests and decodes answers; its engine only tells how a voice speaks by itself."""

    ws: Workspace
    speaker: Speaker
    _speech: dict[tuple[int, ...], Speech] = field(default_factory=dict)
    _manners: dict[str, VoiceStatistics] = field(default_factory=dict)

    def request(self, prompt: Prompt, sampling: Sampling, seed: int = 0) -> Request:
        """Raises ConfigError for a prompt that lacks what its branch needs, UnspeakableText, BrokenAudio,
        RefusedByConsent."""
        if prompt.branch is Branch.ASR:
            audio = _needed(prompt.audio, prompt, "recording")
            text = asr_constraint(self.speaker.tokens)
            return self.speaker.asr_request(self._heard(audio), text, sampling)
        if prompt.branch is Branch.TTS:
            return self.speaker.tts_request(self._utterance(prompt), seed, sampling)
        constraint = realtime_constraint(self.speaker.tokens)
        return self.speaker.reply_request(self._dialogue(prompt), constraint, seed, sampling)

    def ask(self, prompt: Prompt) -> Ask:
        """As `request`, for the trainers of rewards."""
        made = self.request(prompt, Sampling())
        return Ask(prompt.id, made.prompt, made.constraint, made.audio)

    def item(self, prompt: Prompt) -> Item:
        """All that scorers are told of a prompt, before anything was answered. Where a manner is asked of a voice
        of the model's own, they are told how that voice speaks without being asked."""
        item = item_of(prompt, _unanswered(self.ws.project, prompt), self.ws.audio)
        if prompt.branch is not Branch.TTS or item.voice is not None:
            return item
        if not asked_words(prompt.instruction or ""):
            return item
        return replace(item, baseline=self._manner(prompt.instruction or ""))

    def answered(
        self, item: Item, branch: Branch, tokens: Sequence[int], finish: FinishReason, name: str
    ) -> Item:
        """The item with an answer of the policy, under a name of its own."""
        known = replace(item, rollout=name, finish_reason=finish)
        if branch is Branch.ASR:
            return replace(known, hypothesis=self.speaker.tokens.read_text(list(tokens)))
        speech = self.speech(tokens)
        rate = self.speaker.backbone.codec.spec.sample_rate
        said = replace(known, samples=speech.samples if len(speech.samples) else None, rate=rate)
        return replace(said, text=speech.text) if branch is Branch.REALTIME else said

    def _manner(self, instruction: str) -> VoiceStatistics:
        """Of PLAIN, spoken by the voice that the instruction names, or by the model's own."""
        named = set(re.findall(r"[a-z]+", instruction.lower())) & set(self.speaker.tokens.voices)
        voice = min(named, default="")
        if voice not in self._manners:
            said = self.speaker.speak([Utterance(text, voice) for text in PLAIN], range(len(PLAIN)))
            rate = self.speaker.backbone.codec.spec.sample_rate
            clips = [
                measure(one.samples, rate, text, loudness=False)
                for one, text in zip(said, PLAIN, strict=True)
            ]
            self._manners[voice] = voice_statistics(clips)
        return self._manners[voice]

    def speech(self, tokens: Sequence[int]) -> Speech:
        """Samples and words of a completion; the last few hundred are remembered."""
        key = tuple(tokens)
        if key not in self._speech:
            if len(self._speech) >= _REMEMBERED:
                self._speech.clear()
            generation = Generation(list(tokens), [], FinishReason.END, DecodingStatistics(0))
            self._speech[key] = self.speaker.speech_of(generation)
        return self._speech[key]

    def _utterance(self, prompt: Prompt) -> Utterance:
        _needed(prompt.text, prompt, "text")
        if prompt.voice_audio is not None:
            require_consent(self.ws, prompt.voice_audio, Consent.CLONE)
        codec = self.speaker.backbone.codec
        voice = stored_voice(self.ws.audio, prompt, lambda: codec)
        return Utterance(marked(prompt), prompt.instruction or "", voice)

    def _dialogue(self, prompt: Prompt) -> Dialogue:
        turns = prompt.turns or (Turn("user", prompt.text, prompt.audio),)
        persona = resolve(self.ws, Persona, _needed(prompt.persona, prompt, "persona"))
        said = tuple(self._turn(prompt, turn) for turn in turns)
        return Dialogue(character(persona), said, prompt.instruction or "")

    def _turn(self, prompt: Prompt, turn: Turn) -> Wave | Said:
        """Users are heard where they can be; what the assistant said is text."""
        if turn.role == "user" and turn.audio is not None and self.speaker.backbone.hears:
            return self._heard(turn.audio)
        return Said(turn.role, _needed(turn.text, prompt, f"text of the {turn.role}"))

    def _heard(self, audio: str) -> Wave:
        require_consent(self.ws, audio, Consent.TRAIN)
        samples, rate = self.ws.audio.read(audio)
        return np.asarray(resample(to_mono(samples), rate, self.speaker.hearing_rate), np.float32)


def _needed(value: str | None, prompt: Prompt, what: str) -> str:
    if not value:
        raise ConfigError(
            f"prompt {prompt.id} has no {what}: import it with one, or leave it out of the set"
        )
    return value


def _unanswered(project: str, prompt: Prompt) -> Rollout:
    return Rollout(
        id=prompt.id,
        project=project,
        round=None,
        branch=prompt.branch,
        prompt=prompt.id,
        producer="",
        seed=0,
        index=0,
        sampling=Sampling(),
        engine="",
        dtype="",
        tokens=(),
        segments=(),
        logprobs=(),
        finish_reason=FinishReason.END,
    )
