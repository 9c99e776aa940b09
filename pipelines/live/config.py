"""What one socket has agreed on with its client, and how `session.update` changes it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from trivox.pipelines.live.session import LiveSettings
from trivox.pipelines.live.wire import AudioInput, ServerVad, SessionFields
from trivox.pipelines.realtime.personas import character
from trivox.platform.errors import NotFound
from trivox.platform.records import Persona
from trivox.policy.backbone import Backbone

NO_VOICE = ("", "default", "alloy")
"""Names for the voice that a model has by itself; some clients have to send one."""
RATE = 24_000
"""Hz of audio in both directions, where the client does not say."""


@dataclass(frozen=True)
class SocketConfig:
    """voice: as the client named it; transcribes: whether the user's turns are written down too."""

    settings: LiveSettings
    input_rate: int = RATE
    output_rate: int = RATE
    voice: str = ""
    transcribes: bool = False

    def shown(self, id: str, model: str) -> dict[str, Any]:
        """The session as events show it."""
        rules, chosen = self.settings.endpointing, self.settings
        detection = {
            "type": "server_vad",
            "threshold": rules.threshold,
            "prefix_padding_ms": round(1000 * rules.padding_s),
            "silence_duration_ms": round(1000 * rules.silence_s),
            "create_response": chosen.answers,
            "interrupt_response": chosen.interruptible,
        }
        heard = {
            "format": {"type": "audio/pcm", "rate": self.input_rate},
            "turn_detection": detection if chosen.finds_turns else None,
            "transcription": {"model": model} if self.transcribes else None,
        }
        spoken = {"format": {"type": "audio/pcm", "rate": self.output_rate}, "voice": self.voice}
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": id,
            "model": model,
            "output_modalities": ["audio"],
            "instructions": chosen.persona,
            "audio": {"input": heard, "output": spoken},
            "temperature": chosen.sampling.temperature,
            "max_output_tokens": chosen.sampling.max_tokens,
            "seed": chosen.seed,
            "reasoning": chosen.thinks,
        }


def updated(
    config: SocketConfig,
    fields: SessionFields,
    backbone: Backbone,
    persona: Callable[[str], Persona],
) -> SocketConfig:
    """The configuration with the fields that are set; raises NotFound for a persona or a voice that is not known,
    ConfigError for times that cannot be."""
    if fields.persona is not None:
        config = with_persona(config, persona(fields.persona), backbone)
    settings = config.settings
    if fields.instructions is not None:
        settings = replace(settings, persona=fields.instructions)
    if fields.seed is not None:
        settings = replace(settings, seed=fields.seed)
    if fields.reasoning is not None:
        settings = replace(settings, thinks=fields.reasoning)
    config = replace(config, settings=_sampled(settings, fields))
    audio = fields.audio
    if audio is not None and audio.input is not None:
        config = _heard(config, audio.input)
    if audio is not None and audio.output is not None:
        if audio.output.format is not None:
            config = replace(config, output_rate=audio.output.format.rate)
        if audio.output.voice is not None:
            config = with_voice(config, audio.output.voice, backbone)
    return config


def with_persona(config: SocketConfig, persona: Persona, backbone: Backbone) -> SocketConfig:
    """A persona's voice holds where the model knows it."""
    settings = replace(config.settings, persona=character(persona))
    config, voice = replace(config, settings=settings), persona.traits.get("voice", "")
    return with_voice(config, voice, backbone) if knows_voice(backbone, voice) else config


def with_voice(config: SocketConfig, voice: str, backbone: Backbone) -> SocketConfig:
    """Raises NotFound for a voice that the model does not know by name."""
    name = voice_of(backbone, voice)
    return replace(config, settings=replace(config.settings, instruction=name), voice=voice)


def voice_of(backbone: Backbone, voice: str) -> str:
    """The name as the model knows it, "" for its own voice. Never a file's: those of the server are no voices.

    Raises NotFound for a name that it does not know.
    """
    if voice.lower() in NO_VOICE:
        return ""
    if not knows_voice(backbone, voice):
        known = ", ".join((*NO_VOICE[1:], *backbone.tokens.voices))
        raise NotFound(f"no voice {voice[:60]!r}: known are {known}")
    return voice.lower()


def knows_voice(backbone: Backbone, voice: str) -> bool:
    return voice.lower() in backbone.tokens.voices


def _sampled(settings: LiveSettings, fields: SessionFields) -> LiveSettings:
    sampling = settings.sampling
    if fields.temperature is not None:
        sampling = replace(sampling, temperature=fields.temperature)
    if isinstance(fields.max_output_tokens, int):
        sampling = replace(sampling, max_tokens=fields.max_output_tokens)
    return replace(settings, sampling=sampling)


def _heard(config: SocketConfig, given: AudioInput) -> SocketConfig:
    """null for turn_detection or transcription turns them off."""
    if given.format is not None:
        config = replace(config, input_rate=given.format.rate)
    if "transcription" in given.model_fields_set:
        config = replace(config, transcribes=given.transcription is not None)
    if "turn_detection" not in given.model_fields_set:
        return config
    if given.turn_detection is None:
        return replace(config, settings=replace(config.settings, finds_turns=False))
    return replace(config, settings=_detecting(config.settings, given.turn_detection))


def _detecting(settings: LiveSettings, vad: ServerVad) -> LiveSettings:
    rules = replace(
        settings.endpointing,
        threshold=vad.threshold,
        padding_s=vad.prefix_padding_ms / 1000,
        silence_s=vad.silence_duration_ms / 1000,
    )
    return replace(
        settings,
        endpointing=rules,
        finds_turns=True,
        answers=vad.create_response,
        interruptible=vad.interrupt_response,
    )
