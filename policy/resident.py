"""One resident backbone that transcribes and speaks, with branch adapters swapped in place."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from peft import PeftModel
from transformers import PreTrainedModel

from trivox.platform.errors import BrokenAudio, ConfigError, NotFound
from trivox.platform.hashing import derived_seed, sha256_file
from trivox.platform.records import Sampling
from trivox.platform.text.error_rate import error_counts
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.branches import asr_constraint, asr_prompt, tts_constraint, tts_prompt
from trivox.policy.engine import Generation, InProcessEngine, Request
from trivox.policy.text import speakable

ADAPTER_WEIGHTS = "adapter_model.safetensors"
BACKBONE_HASH_FILE = "backbone.sha256"
ASR_SAMPLING = Sampling(temperature=0.0, max_tokens=256)
TTS_SAMPLING = Sampling(temperature=0.3, max_tokens=600)
SLOTS = 16
TAKES = 8
LANGUAGE = "en-US"
ASR_MARKS = ("<|asr|>", "<|audio|>", "<|text|>")


@dataclass(frozen=True)
class Transcript:
    text: str
    generation: Generation


@dataclass(frozen=True)
class Speech:
    """samples: float32 [n] at the codec's rate; codes: int32 [n_frames, Q]."""

    samples: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int32]
    generation: Generation


class ResidentPolicy:
    """The backbone in memory; `using(adapter)` answers with a branch adapter, without it the backbone does."""

    def __init__(self, folder: Path, slots: int = SLOTS) -> None:
        self.backbone = Backbone.load(folder)
        self.slots = slots
        self._hash = backbone_hash(folder)
        self._peft: PeftModel | None = None

    @contextmanager
    def using(self, adapter: Path | None) -> Iterator["_Speaker"]:
        """Raises NotFound for a folder without adapter and ConfigError for an adapter of another backbone."""
        if adapter is None:
            with self._without_adapter():
                yield _Speaker(self.backbone, self._model, self.slots)
        else:
            self._activate(adapter)
            yield _Speaker(self.backbone, self._model, self.slots)

    @property
    def _model(self) -> PreTrainedModel:
        return self.backbone.lm if self._peft is None else cast(PreTrainedModel, self._peft)

    @contextmanager
    def _without_adapter(self) -> Iterator[None]:
        if self._peft is None:
            yield
        else:
            with self._peft.disable_adapter():
                yield

    def _activate(self, adapter: Path) -> None:
        check_adapter(adapter, self._hash)
        name = sha256_file(adapter / ADAPTER_WEIGHTS)[:16]
        with without_renaming_notices():
            if self._peft is None:
                self._peft = PeftModel.from_pretrained(self.backbone.lm, adapter, adapter_name=name)
            elif name not in self._peft.peft_config:
                self._peft.load_adapter(adapter, adapter_name=name)
        self._peft.set_adapter(name)
        self._peft.eval()


def check_adapter(adapter: Path, backbone: str) -> None:
    """Raises NotFound for a folder that lacks a file, ConfigError for an adapter of another backbone hash."""
    for needed in (ADAPTER_WEIGHTS, BACKBONE_HASH_FILE):
        if not (adapter / needed).exists():
            raise NotFound(f"adapter {adapter}: {needed} is missing: give a folder that has it")
    recorded = (adapter / BACKBONE_HASH_FILE).read_text().strip()
    if recorded != backbone:
        raise ConfigError(
            f"adapter {adapter} was trained on backbone {recorded[:12]}, this one is "
            f"{backbone[:12]}: load the backbone that it belongs to"
        )


class _Speaker:
    """The two branches of v1 over one model."""

    def __init__(self, backbone: Backbone, model: PreTrainedModel, slots: int) -> None:
        self.backbone, self.tokens = backbone, backbone.tokens
        self.engine = InProcessEngine(model, self.tokens.eos, self.tokens.pad, slots)

    @property
    def longest_s(self) -> float:
        """Seconds of audio that leave room for a transcript in the model's context."""
        limit = self.backbone.position_limit
        room = limit - min(ASR_SAMPLING.max_tokens, limit // 4) - len(ASR_MARKS)
        return room / self.tokens.asr_codebooks / self.backbone.codec.spec.frame_rate

    def transcribe(
        self, waves: Sequence[npt.NDArray[np.float32]], sampling: Sampling = ASR_SAMPLING
    ) -> list[Transcript]:
        """Each wave float32 [n] at the codec's rate -> its text.

        Raises BrokenAudio for a wave that is longer than longest_s.
        """
        for wave in waves:
            if (seconds := len(wave) / self.backbone.codec.spec.sample_rate) > self.longest_s:
                raise BrokenAudio(
                    f"audio of {seconds:.1f} s: this policy hears {self.longest_s:.1f} s at most: cut it in parts"
                )
        constraint = asr_constraint(self.tokens)
        prompts = [asr_prompt(self.tokens, self.backbone.codec.encode(wave)) for wave in waves]
        requests = [Request(prompt, constraint, sampling, seed=0) for prompt in prompts]
        said = self.engine.generate(requests)
        return [Transcript(self.tokens.read_text(g.tokens), g) for g in said]

    def speak(
        self, texts: Sequence[str], seeds: Sequence[int], sampling: Sampling = TTS_SAMPLING
    ) -> list[Speech]:
        """Each text in the model's alphabet -> speech; raises UnspeakableText."""
        requests = [
            Request(
                tts_prompt(self.tokens, text), tts_constraint(self.tokens, text), sampling, seed
            )
            for text, seed in zip(texts, seeds, strict=True)
        ]
        return [self._speech(generation) for generation in self.engine.generate(requests)]

    def speak_verified(
        self,
        texts: Sequence[str],
        seeds: Sequence[int],
        sampling: Sampling = TTS_SAMPLING,
        takes: int = TAKES,
    ) -> list[Speech]:
        """Of `takes` takes of each text the one that the asr branch of the same weights understands best: fewest
        word errors, then the highest mean log-probability. Take 0 is what `speak` says with the same seed.
        """
        return [
            self._best_take(
                text,
                [derived_seed(seed, take) if take else seed for take in range(takes)],
                sampling,
            )
            for text, seed in zip(texts, seeds, strict=True)
        ]

    def _best_take(self, text: str, seeds: list[int], sampling: Sampling) -> Speech:
        spoken = self.speak([text] * len(seeds), seeds, sampling)
        heard = self.transcribe([speech.samples for speech in spoken])
        wanted = speakable(text)
        errors = [error_counts(wanted, one.text, LANGUAGE).errors for one in heard]

        def fault(take: int) -> tuple[int, float]:
            logprobs = spoken[take].generation.logprobs
            return errors[take], -sum(logprobs) / max(1, len(logprobs))

        return spoken[min(range(len(spoken)), key=fault)]

    def _speech(self, generation: Generation) -> Speech:
        codes = self.tokens.read_codes(generation.tokens)
        return Speech(self.backbone.codec.decode(codes), codes, generation)
