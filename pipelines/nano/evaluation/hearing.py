"""asr: word error rates on held-out speech, of voices that nano learned from, of others, and of people."""

from typing import Any

import numpy as np

from trivox.pipelines.nano.corpus import Corpus
from trivox.pipelines.nano.evaluation.judges import (
    RATE,
    Wave,
    error_rate,
    in_batches,
    recognise,
)
from trivox.platform.errors import NotFound
from trivox.platform.records import Audio, Prompt, PromptSet, Split
from trivox.platform.store import Workspace
from trivox.policy.speaker import Speaker
from trivox.reward_models.verifiable.recognisers import whisper_base


def hearing(speaker: Speaker, held_out: Corpus, tts_voices: tuple[str, ...]) -> dict[str, Any]:
    """asr_wer over the voices of training, asr_unseen_wer over the others, and each voice by itself; fractions."""
    waves = [held_out.waveform(index) for index in range(len(held_out))]
    heard = [found.text for found in in_batches(waves, "asr", speaker.transcribe)]
    voices = [clip.voice for clip in held_out.clips]
    texts = [clip.text for clip in held_out.clips]

    def rate(chosen: set[str]) -> float | None:
        kept = [i for i, voice in enumerate(voices) if voice in chosen]
        return error_rate([texts[i] for i in kept], [heard[i] for i in kept]) if kept else None

    seen = set(tts_voices)
    return {
        "asr_sentences": len(texts),
        "asr_wer": rate(seen),
        "asr_unseen_wer": rate(set(voices) - seen),
        "asr_wer_by_voice": {voice: rate({voice}) for voice in dict.fromkeys(voices)},
    }


def recorded_prompts(
    speaker: Speaker, ws: Workspace, prompts: PromptSet, count: int | None = None
) -> dict[str, Any]:
    """asr on imported recordings (test split) of people: WER of nano, and of Whisper base for comparison.

    too_long: recordings that do not fit the model's context; they are left out of both figures, which are None
    where no recording is left.
    """
    chosen = [ws.records.get(Prompt, one) for one in prompts.prompts(Split.TEST)[:count]]
    pairs = [(_recording(ws, prompt), prompt.reference_text or "") for prompt in chosen]
    fitting = [pair for pair in pairs if len(pair[0]) <= speaker.longest_s * RATE]
    waves, texts = [wave for wave, _ in fitting], [text for _, text in fitting]
    heard = [t.text for t in in_batches(waves, "human prompts", speaker.transcribe)]
    judge = whisper_base()
    judged = recognise(judge, waves, "human: recognise")
    return {
        "prompt_set": prompts.reference,
        "recordings": len(waves),
        "too_long": len(pairs) - len(fitting),
        "minutes": sum(map(len, waves)) / RATE / 60,
        "asr_wer": error_rate(texts, heard) if waves else None,
        "judge_wer": error_rate(texts, judged) if waves else None,
        "judge": judge.name,
    }


def _recording(ws: Workspace, prompt: Prompt) -> Wave:
    if prompt.audio is None:
        raise NotFound(f"prompt {prompt.id} has no recording: import the set with --branch asr")
    samples, rate = ws.audio.read(prompt.audio)
    if rate != RATE:
        audio = ws.records.get(Audio, prompt.audio)
        raise NotFound(f"audio {audio.id} is at {rate} Hz, not {RATE}: import it again")
    return samples.astype(np.float32)
