"""`trivox nano evaluate`: how well a checkpoint hears and speaks, by recognisers and predictors it never met."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from trivox.pipelines.nano.corpus import Corpus, is_complete
from trivox.platform.errors import NotFound
from trivox.platform.progress import progress
from trivox.platform.records import Audio, Prompt, PromptSet, Split
from trivox.platform.scoring import Item
from trivox.platform.store import Workspace
from trivox.platform.text.error_rate import error_counts, pooled_rate
from trivox.policy.codec.features import SAMPLE_RATE
from trivox.policy.resident import ResidentPolicy
from trivox.reward_models.recognisers import Recogniser, whisper_base
from trivox.reward_models.registry import build

Wave = npt.NDArray[np.float32]
LANGUAGE = "en-US"
BATCH = 16
In = TypeVar("In")
Out = TypeVar("Out")


def evaluate(checkpoint: Path, corpus: Path, count: int, seed: int = 0) -> dict[str, Any]:
    """Figures on the first `count` held-out sentences of a prepared corpus; rates are fractions, pooled.

    asr_wer: nano transcribes the teacher. tts_wer: nano speaks as `trivox tts say` does (of 8 takes the one that
    its own asr branch understands best), Whisper base transcribes; tts_single_take_wer: the first take, whatever
    it says. codec_wer: the codec's resynthesis, Whisper base transcribes. teacher_wer: the same of the original.
    *_mos: DistillMOS.
    Raises NotFound when the corpus has not been prepared.
    """
    if not is_complete(corpus / "test"):
        raise NotFound(
            f"{corpus}: no prepared corpus: run `trivox nano prepare --out {corpus}` first"
        )
    held_out = Corpus.load(corpus / "test")
    texts = held_out.texts[:count]
    waves = [held_out.waveform(index) for index in range(len(texts))]
    policy, judge = ResidentPolicy(checkpoint, BATCH), whisper_base()
    codec = policy.backbone.codec
    resynthesis = [codec.decode(codec.encode(wave)) for wave in progress(waves, "codec")]
    heard, spoken, first = _both_branches(policy, texts, waves, seed)
    return {
        "sentences": len(texts),
        "asr_wer": _rate(texts, heard),
        "tts_wer": _rate(texts, _recognise(judge, spoken, "tts: recognise")),
        "tts_single_take_wer": _rate(texts, _recognise(judge, first, "first take: recognise")),
        "codec_wer": _rate(texts, _recognise(judge, resynthesis, "codec: recognise")),
        "teacher_wer": _rate(texts, _recognise(judge, waves, "teacher: recognise")),
        "judge": judge.name,
        "tts_mos": _mos(spoken),
        "codec_mos": _mos(resynthesis),
        "teacher_mos": _mos(waves),
        "tts_unfinished": sum(len(wave) == 0 for wave in spoken),
    }


def _both_branches(
    policy: ResidentPolicy, texts: Sequence[str], waves: Sequence[Wave], seed: int
) -> tuple[list[str], list[Wave], list[Wave]]:
    """What asr heard, what tts said in its best take, and in its first."""
    with policy.using(None) as speaker:
        heard = _in_batches(waves, "asr", speaker.transcribe)
        first = _in_batches(texts, "tts", lambda part: speaker.speak(part, [seed] * len(part)))
        best = _in_batches(
            texts, "tts, best take", lambda part: speaker.speak_verified(part, [seed] * len(part))
        )
    words = [transcript.text for transcript in heard]
    return words, [speech.samples for speech in best], [speech.samples for speech in first]


def evaluate_prompts(
    checkpoint: Path, ws: Workspace, prompts: PromptSet, count: int | None = None
) -> dict[str, Any]:
    """asr on imported recordings (test split) of people: WER of nano, and of Whisper base for comparison.

    too_long: recordings that do not fit the model's context; they are left out of both figures.
    """
    chosen = [ws.records.get(Prompt, one) for one in prompts.prompts(Split.TEST)[:count]]
    policy, judge = ResidentPolicy(checkpoint, BATCH), whisper_base()
    with policy.using(None) as speaker:
        pairs = [(_recording(ws, prompt), prompt.reference_text or "") for prompt in chosen]
        fitting = [pair for pair in pairs if len(pair[0]) <= speaker.longest_s * SAMPLE_RATE]
        waves, texts = [wave for wave, _ in fitting], [text for _, text in fitting]
        heard = [t.text for t in _in_batches(waves, "human prompts", speaker.transcribe)]
    return {
        "prompt_set": prompts.reference,
        "recordings": len(waves),
        "too_long": len(pairs) - len(fitting),
        "minutes": sum(map(len, waves)) / SAMPLE_RATE / 60,
        "asr_wer": _rate(texts, heard),
        "judge_wer": _rate(texts, _recognise(judge, waves, "human: recognise")),
        "judge": judge.name,
    }


def _recording(ws: Workspace, prompt: Prompt) -> Wave:
    if prompt.audio is None:
        raise NotFound(f"prompt {prompt.id} has no recording: import the set with --branch asr")
    samples, rate = ws.audio.read(prompt.audio)
    if rate != SAMPLE_RATE:
        audio = ws.records.get(Audio, prompt.audio)
        raise NotFound(f"audio {audio.id} is at {rate} Hz, not {SAMPLE_RATE}: import it again")
    return samples.astype(np.float32)


def _in_batches(
    items: Sequence[In], label: str, run: Callable[[Sequence[In]], list[Out]]
) -> list[Out]:
    begins = range(0, len(items), BATCH)
    return [out for begin in progress(begins, label) for out in run(items[begin : begin + BATCH])]


def _recognise(judge: Recogniser, waves: Sequence[Wave], label: str) -> list[str]:
    return [
        judge.transcribe(wave, LANGUAGE) if len(wave) else "" for wave in progress(waves, label)
    ]


def _rate(texts: Sequence[str], heard: Sequence[str]) -> float:
    counts = [error_counts(text, said, LANGUAGE) for text, said in zip(texts, heard, strict=True)]
    return pooled_rate(counts)


def _mos(waves: Sequence[Wave]) -> float | None:
    """Mean DistillMOS of the clips that it can score; None when it can score none."""
    scorer = build("distillmos")
    items = [Item(str(i), wave, SAMPLE_RATE, None, LANGUAGE) for i, wave in enumerate(waves)]
    values = [value.value for value in scorer.score(items) if value.value is not None]
    return sum(values) / len(values) if values else None
