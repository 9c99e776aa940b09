"""A rollout as the reward model reads it: its prompt in tokens, then what was said, in tokens.

The sound goes in as the codec's codes, without the letters that nano's own speech carries: so a clip is read the
same way whoever made it, and what the model learned from is what it scores.
"""

import numpy as np

from trivox.platform.audio.io import resample, to_mono
from trivox.platform.errors import BrokenAudio, ConfigError, UnspeakableText
from trivox.platform.records import Branch, FinishReason
from trivox.platform.scoring import Clip, FailureKind, Item, Value, failed
from trivox.policy.backbone import Backbone
from trivox.policy.branches.asr import asr_completion, asr_prompt
from trivox.policy.branches.realtime import Said, realtime_prompt
from trivox.policy.branches.tts import tts_prompt
from trivox.policy.rows import Row
from trivox.policy.trainers.sft import fault_of
from trivox.reward_models.audio_checks import Samples, checked

NO_PERSONA = "assistant"
"""Stands in the prompt of a dialogue without a persona."""


def branch_of(item: Item) -> Branch:
    """A transcript is asr, an answer in a dialogue realtime, all else tts."""
    if item.hypothesis is not None:
        return Branch.ASR
    return Branch.REALTIME if item.history or item.persona is not None else Branch.TTS


def row_of(backbone: Backbone, item: Item) -> Row | Value:
    """The row of an item, or why it cannot be read: no audio, no words, unknown letters, beyond the context."""
    samples = checked(item)
    if isinstance(samples, Value):
        return samples
    if not item.text and not item.hypothesis:
        return failed(FailureKind.NO_TEXT, f"rollout {item.rollout} has no text to read it with")
    try:
        row = _ROWS[branch_of(item)](backbone, item, samples)
        fault = fault_of(backbone, row)
    except UnspeakableText as error:
        return failed(FailureKind.UNMEASURED, f"rollout {item.rollout}: {error}")
    except BrokenAudio as error:
        return failed(FailureKind.BROKEN_AUDIO, f"rollout {item.rollout}: {error}")
    except ConfigError as error:
        return failed(FailureKind.UNMEASURED, f"rollout {item.rollout}: {error}")
    if fault:
        return failed(FailureKind.UNMEASURED, f"rollout {item.rollout} {fault}")
    return row


def _asr(backbone: Backbone, item: Item, samples: Samples) -> Row:
    assert item.rate is not None and item.hypothesis is not None
    heard = backbone.features(resample(samples, item.rate, backbone.hearing_rate))
    tokens = backbone.tokens
    said = (
        asr_completion(tokens, tokens.written(item.hypothesis)) if item.hypothesis.strip() else []
    )
    prompt = asr_prompt(tokens, backbone.embeddings(heard))
    return _row(prompt, said or [tokens.eos], (heard,))


def _tts(backbone: Backbone, item: Item, samples: Samples) -> Row:
    voice = _codes(backbone, item.voice) if item.voice is not None else None
    prompt = tts_prompt(backbone.tokens, item.text or "", item.instruction or "", voice)
    return _row(prompt, _speech(backbone, item, samples))


def _realtime(backbone: Backbone, item: Item, samples: Samples) -> Row:
    tokens = backbone.tokens
    turns = [Said(turn.role, turn.text) for turn in item.history if turn.text]
    character = item.persona.description if item.persona else NO_PERSONA
    prompt = realtime_prompt(tokens, character, turns, item.instruction or "")
    said = tokens.text_ids(tokens.written(item.text or ""))
    return _row(prompt, [*said, tokens.speech, *_speech(backbone, item, samples)])


def _speech(backbone: Backbone, item: Item, samples: Samples) -> list[int]:
    """Codes, and the end token where generation came to its end."""
    assert item.rate is not None
    codes = _codes(backbone, Clip(samples, item.rate))
    ended = item.finish_reason in (None, FinishReason.END)
    return backbone.tokens.audio_ids(codes) + ([backbone.tokens.eos] if ended else [])


def _codes(backbone: Backbone, clip: Clip) -> np.ndarray:
    return backbone.codec.encode(
        resample(to_mono(clip.samples), clip.rate, backbone.codec.spec.sample_rate)
    )


def _row(prompt: list[int], completion: list[int], audio: tuple[np.ndarray, ...] = ()) -> Row:
    return Row(prompt, completion, [True] * len(completion), audio)


_ROWS = {Branch.ASR: _asr, Branch.TTS: _tts, Branch.REALTIME: _realtime}
