"""tts: intelligibility and naturalness beside the codec's own resynthesis, and whether style is followed."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import librosa
import numpy as np

from trivox.pipelines.nano.corpus import Corpus
from trivox.pipelines.nano.evaluation.judges import (
    RATE,
    Wave,
    error_rate,
    in_batches,
    mean_mos,
    recognise,
)
from trivox.pipelines.nano.style_pairs import style_pairs
from trivox.platform.progress import progress
from trivox.platform.records import FinishReason
from trivox.policy.codec.features import MEL_BINS, MEL_HOP, N_FFT, WINDOW
from trivox.policy.speaker import Speaker, Speech, Utterance
from trivox.reward_models.verifiable.recognisers import Recogniser, whisper_base


def speaking(
    speaker: Speaker, held_out: Corpus, tts_voices: tuple[str, ...], count: int, seed: int
) -> dict[str, Any]:
    """Figures on `count` held-out sentences, the voices in turn; rates are fractions, pooled.

    tts_wer: nano speaks as `trivox tts say` does (of 8 takes the one that its own asr branch understands best),
    Whisper base transcribes; tts_single_take_wer: the first take, whatever it says. codec_wer: the codec's
    resynthesis; teacher_wer: the original. *_mos: DistillMOS; griffin_lim_mos: of the original from its 64 mel
    bands (Griffin and Lim 1984). tts_unfinished: takes without an end.
    """
    chosen = _chosen(held_out, tts_voices, count)
    texts = [held_out.clips[index].text for index in chosen]
    asked = [Utterance(held_out.clips[i].text, held_out.clips[i].voice) for i in chosen]
    waves = [held_out.waveform(index) for index in chosen]
    codec, judge = speaker.backbone.codec, whisper_base()
    resynthesis = [codec.decode(codec.encode(wave)) for wave in progress(waves, "codec")]
    first = in_batches(asked, "tts", lambda part: speaker.speak(part, [seed] * len(part)))
    best = in_batches(
        asked, "tts, best take", lambda part: speaker.speak_verified(part, [seed] * len(part))
    )
    spoken = [speech.samples for speech in best]
    heard = recognise(judge, spoken, "tts: recognise")
    voices = [held_out.clips[index].voice for index in chosen]
    return {
        "sentences": len(texts),
        "judge": judge.name,
        "tts_wer": error_rate(texts, heard),
        "tts_single_take_wer": _wer_of(judge, first, texts),
        "tts_wer_by_voice": {
            voice: error_rate(
                [t for t, v in zip(texts, voices, strict=True) if v == voice],
                [h for h, v in zip(heard, voices, strict=True) if v == voice],
            )
            for voice in dict.fromkeys(voices)
        },
        "codec_wer": error_rate(texts, recognise(judge, resynthesis, "codec: recognise")),
        "teacher_wer": error_rate(texts, recognise(judge, waves, "teacher: recognise")),
        "tts_mos": mean_mos(spoken),
        "codec_mos": mean_mos(resynthesis),
        "griffin_lim_mos": mean_mos([griffin_lim(wave) for wave in progress(waves, "Griffin-Lim")]),
        "teacher_mos": mean_mos(waves),
        "tts_unfinished": sum(
            speech.generation.finish_reason is not FinishReason.END for speech in first
        ),
    }


def style(speaker: Speaker, texts: Sequence[str], voice: str, seed: int) -> dict[str, Any]:
    """The shares of pairs in which a requested change goes the right way."""

    def speak(
        texts: Sequence[str], instructions: Sequence[str], seeds: Sequence[int]
    ) -> list[Wave]:
        asked = [
            (Utterance(text, f"{voice} {words}".strip()), seed)
            for text, words, seed in zip(texts, instructions, seeds, strict=True)
        ]
        spoken = in_batches(
            asked, "style", lambda part: speaker.speak([u for u, _ in part], [s for _, s in part])
        )
        return [speech.samples for speech in spoken]

    report = style_pairs(texts, speak, RATE, [seed + index for index in range(len(texts))])
    return report.to_json()


def griffin_lim(wave: Wave, iterations: int = 32) -> Wave:
    """float32 [n] from its own mel magnitudes alone, phases guessed."""
    filters = librosa.filters.mel(
        sr=RATE, n_fft=N_FFT, n_mels=MEL_BINS, fmin=60, fmax=7600, norm=None
    )
    magnitudes = np.abs(librosa.stft(wave, n_fft=N_FFT, hop_length=MEL_HOP, win_length=WINDOW))
    linear = np.maximum(np.linalg.pinv(filters) @ (filters @ magnitudes), 0)
    guessed = librosa.griffinlim(
        linear,
        n_iter=iterations,
        hop_length=MEL_HOP,
        win_length=WINDOW,
        n_fft=N_FFT,
        length=len(wave),
        random_state=0,
    )
    return np.asarray(guessed, np.float32)


def _chosen(held_out: Corpus, voices: tuple[str, ...], count: int) -> list[int]:
    """Clips of the voices in turn: count in all, or as many as there are; a voice that was left out has none."""
    by_voice = [[i for i, c in enumerate(held_out.clips) if c.voice == v] for v in voices]
    turns = [i for group in zip_longest(*by_voice) for i in group if i is not None]
    return turns[:count]


def _wer_of(judge: Recogniser, spoken: Sequence[Speech], texts: Sequence[str]) -> float:
    waves = [speech.samples for speech in spoken]
    return error_rate(texts, recognise(judge, waves, "first take: recognise"))
