"""What the benches of multi-token prediction share: nano with its blocks, and what it is asked to transcribe."""

import random
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from trivox.pipelines.nano import domain
from trivox.pipelines.nano.teachers import HIBARI_VOICE, RATE, Manner, speak
from trivox.platform.audio.io import resample
from trivox.platform.errors import MissingModel
from trivox.platform.records import Sampling, Split
from trivox.policy.backbone import Backbone
from trivox.policy.branches.asr import asr_constraint
from trivox.policy.engine import InProcessEngine, Request
from trivox.policy.mtp.decode import VerifiedDecoder
from trivox.policy.speaker import Speaker

GREEDY = Sampling(temperature=0.0, max_tokens=128)
Wave = npt.NDArray[np.float32]


@dataclass
class Subject:
    """The backbone under test and what it is asked."""

    backbone: Backbone

    @classmethod
    def load(cls) -> "Subject":
        """The packaged nano; raises MissingModel for one without blocks."""
        from trivox.pipelines.workspaces import packaged_checkpoint

        folder = packaged_checkpoint()
        backbone = Backbone.load(folder)
        if backbone.mtp is None:
            raise MissingModel(
                f"backbone {folder} has no blocks of multi-token prediction: train them with "
                "`trivox nano train --part mtp` and export them"
            )
        return cls(backbone)

    @cached_property
    def speaker(self) -> Speaker:
        return Speaker(self.backbone, self.backbone.lm, 1)

    def requests(self, count: int, rough: bool) -> list[Request]:
        """Greedy requests for `count` clips: held-out texts as the teacher speaks them, and variants of those."""
        constraint, rate = asr_constraint(self.backbone.tokens), self.backbone.hearing_rate
        return [
            self.speaker.asr_request(resample(wave, RATE, rate), constraint, GREEDY)
            for wave in waves(count, rough)
        ]

    def plain(self, slots: int) -> InProcessEngine:
        tokens = self.backbone.tokens
        return InProcessEngine(self.backbone.lm, tokens.eos, tokens.pad, slots)

    def verified(self, slots: int, depth: int = 5, certify: bool = True) -> VerifiedDecoder:
        assert self.backbone.mtp is not None
        tokens, lm = self.backbone.tokens, self.backbone.lm
        return VerifiedDecoder(lm, self.backbone.mtp, tokens.eos, tokens.pad, slots, depth, certify)


def waves(count: int, rough: bool) -> list[Wave]:
    """At 16 kHz: one in ten spoken by the teacher (at least 8), the others those at other levels and, if rough, in
    noise and cut short."""
    rng, texts = random.Random("bench mtp"), list[str]()
    spoken = min(count, max(8, count // 10))
    while len(texts) < spoken:
        text = domain.request(rng).text
        if domain.split_of(text) is Split.TEST and text not in texts:
            texts.append(text)
    clean = [speak(text, HIBARI_VOICE, Manner(), None) for text in texts]
    noise = np.random.default_rng(0)
    return clean + [_variant(clean[i % spoken], noise, rough) for i in range(spoken, count)]


def _variant(wave: Wave, rng: np.random.Generator, rough: bool) -> Wave:
    level = 10 ** (rng.uniform(-12, 6) / 20)
    if not rough:
        louder: Wave = np.clip(level * wave, -1, 1).astype(np.float32)
        return louder
    noisy = level * wave + rng.normal(0, 10 ** rng.uniform(-4, -1.5), len(wave))
    kept = int(len(wave) * rng.uniform(0.4, 1))
    cut: Wave = np.clip(noisy[:kept], -1, 1).astype(np.float32)
    return cut


def transformers_lookup(subject: Subject, request: Request, drafts: int) -> list[int]:
    """The completion by transformers' own generate, with prompt-lookup drafts or, at 0, without."""
    backbone = subject.backbone
    batch = {"input_ids": torch.tensor([request.prompt])}
    if request.audio:
        batch["input_features"] = torch.from_numpy(request.audio[0])[None]
    mask = request.constraint.start().allowed()
    named = {"prompt_lookup_num_tokens": drafts} if drafts else {}
    with torch.inference_mode():
        found = backbone.lm.generate(  # type: ignore[operator]  # of GenerationMixin, which the annotation hides
            **batch,
            attention_mask=torch.ones_like(batch["input_ids"]),
            do_sample=False,
            max_new_tokens=request.sampling.max_tokens,
            suppress_tokens=np.flatnonzero(~mask).tolist(),
            eos_token_id=backbone.tokens.eos,
            pad_token_id=backbone.tokens.pad,
            **named,
        )
    said: list[int] = found[0, len(request.prompt) :].tolist()
    return said
