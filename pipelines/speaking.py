"""What people ask the tts branch for, checked before a model speaks: text, instruction, voice, context."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trivox.platform.audio.io import Samples, read_audio, resample, to_mono
from trivox.platform.audio.prosody import measure
from trivox.platform.errors import BrokenAudio, ConfigError, ContradictoryStyle, NotFound
from trivox.platform.records import Prompt
from trivox.platform.store import AudioStore
from trivox.platform.text.directives import STYLE, DirectedText, instruction_words, parse, write
from trivox.policy.backbone import Backbone
from trivox.policy.branches.realtime import Said
from trivox.policy.codec import Codec
from trivox.policy.speaker import Utterance

AUDIO_NAME = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".opus")
ROLES = ("user", "assistant")


def utterance(
    backbone: Backbone,
    text: str,
    instruction: str = "",
    voice: str = "",
    context: Sequence[Said] = (),
) -> Utterance:
    """A request as the model takes it. voice: a name that the model was trained with, or an audio file to imitate.

    A model that reads characters knows single words of style only; to others the instruction goes as it is
    written. Raises BadDirective, ContradictoryStyle, NotFound for a voice that is neither, BrokenAudio for a
    file without speech.
    """
    marked = write(parse(text))
    file = Path(voice) if voice and _names_a_file(voice) else None
    name = "" if file else voice
    if backbone.tokens.text_by == "characters":
        asked = words_for_nano(instruction, name, backbone.tokens.voices)
    else:
        asked = " ".join(filter(None, (name, instruction)))
    codes = reference_codes(backbone, file) if file else None
    return Utterance(marked, asked, codes, tuple(context))


def marked(prompt: Prompt) -> str:
    """The text of a prompt with its inline directives in parentheses, "" for none; raises BadDirective.

    A text that has its directives in it already is left as it is.
    """
    text = prompt.text or ""
    if not prompt.inline_instructions:
        return text
    return write(DirectedText(text, prompt.inline_instructions))


def stored_voice(
    audio: AudioStore, prompt: Prompt, codec: Callable[[], Codec]
) -> npt.NDArray[np.int32] | None:
    """Codes int32 [n, Q] of the recording in whose voice a prompt is to be spoken, None where it names none: only
    then is the codec asked for."""
    if prompt.voice_audio is None:
        return None
    return encoded(codec(), *audio.read(prompt.voice_audio))


def encoded(codec: Codec, samples: Samples, rate: int) -> npt.NDArray[np.int32]:
    """Codes int32 [n, Q] of samples at any rate, of one channel or several."""
    return codec.encode(resample(to_mono(samples), rate, codec.spec.sample_rate))


def words_for_nano(instruction: str, voice: str, voices: Sequence[str]) -> str:
    """The voice's name, then words of style, in the order of training.

    Raises NotFound for an unknown voice, ContradictoryStyle for two voices or opposites, BadDirective.
    """
    if voice and voice.lower() not in voices:
        raise NotFound(f"no voice {voice!r}: known are {', '.join(voices)}, or name an audio file")
    words = instruction_words(instruction, STYLE, names=voices)
    named = [*dict.fromkeys(word for word in (voice.lower(), *words) if word in voices)]
    if len(named) > 1:
        raise ContradictoryStyle(
            f"the voices {named[0]!r} and {named[1]!r} are asked for at once: keep one of them",
            *named[:2],
        )
    return " ".join([*named, *(word for word in STYLE.words if word in words)])


def reference_codes(backbone: Backbone, file: Path) -> npt.NDArray[np.int32]:
    """Codes int32 [n, Q] of a recording from its first speech on. Raises BrokenAudio."""
    samples, rate = read_audio(file)
    mono = to_mono(samples)
    heard = measure(mono, rate, loudness=False)
    if not heard.speech_s:
        raise BrokenAudio(
            f"{file}: no speech in {heard.seconds:.2f} s: give a recording of the voice"
        )
    spoken = mono[round(heard.span[0] * rate) :]
    return encoded(backbone.codec, spoken, rate)


def read_context(path: Path) -> tuple[Said, ...]:
    """Turns of a text file, one a line: `user: what is the time` or `assistant: ten past nine`.

    Raises NotFound for no such file, ConfigError for a line of another form.
    """
    if not path.is_file():
        raise NotFound(f"{path}: no such file: give a text file with one turn a line")
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return tuple(_turn(path, number, line) for number, line in lines if line.strip())


def _turn(path: Path, number: int, line: str) -> Said:
    role, colon, text = line.partition(":")
    if not colon or role.strip().lower() not in ROLES or not text.strip():
        raise ConfigError(
            f"{path}:{number}: {line[:40]!r} is no turn: write `user: text` or `assistant: text`"
        )
    return Said(role.strip().lower(), text.strip())


def _names_a_file(voice: str) -> bool:
    return voice.lower().endswith(AUDIO_NAME) or Path(voice).is_file()
