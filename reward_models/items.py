"""Prompt and rollout as the item that scorers take, with their sound."""

from trivox.platform.records import Branch, Persona, Prompt, Rollout, Rubric, Turn
from trivox.platform.scoring import Clip, Item
from trivox.platform.store.audio import AudioStore
from trivox.platform.text.normalise import MIXED


def item_of(
    prompt: Prompt,
    rollout: Rollout,
    audio: AudioStore,
    *,
    persona: Persona | None = None,
    rubric: Rubric | None = None,
) -> Item:
    """What a rollout answered to a prompt.

    tts: text is what was to be said. asr: the sound is the prompt's recording, text its true transcript and
    hypothesis the rollout's. realtime: text is the reply's own words, so that its speech can be held against them.
    Raises NotFound and CorruptObject where audio that a record names is not to be had.
    """
    sound = _clip(audio, prompt.audio if prompt.branch is Branch.ASR else rollout.audio)
    own = rollout.text or _last_words(rollout.turns)
    text = {
        Branch.TTS: prompt.text,
        Branch.ASR: prompt.reference_text,
        Branch.REALTIME: own,
    }[prompt.branch]
    return Item(
        rollout=rollout.id,
        samples=sound.samples if sound else None,
        rate=sound.rate if sound else None,
        text=text,
        language=language_of(prompt.languages),
        finish_reason=rollout.finish_reason,
        hypothesis=own if prompt.branch is Branch.ASR else None,
        prompt=prompt.id,
        reference=_clip(audio, prompt.reference_audio),
        reference_text=prompt.reference_text,
        voice=_clip(audio, prompt.voice_audio),
        instruction=prompt.instruction,
        directives=prompt.inline_instructions,
        history=prompt.turns,
        turns=rollout.turns,
        persona=persona,
        rubric=rubric,
    )


def language_of(languages: tuple[str, ...]) -> str:
    """One BCP-47 tag for a prompt's languages: "mul" for several."""
    return languages[0] if len(languages) == 1 else MIXED


def _clip(audio: AudioStore, name: str | None) -> Clip | None:
    return Clip(*audio.read(name)) if name else None


def _last_words(turns: tuple[Turn, ...]) -> str | None:
    said = [turn.text for turn in turns if turn.role == "assistant" and turn.text]
    return said[-1] if said else None
