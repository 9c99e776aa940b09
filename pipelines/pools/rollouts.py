"""The actor that speaks: prompts to rollouts from a resident policy."""

from dataclasses import dataclass
from pathlib import Path

from trivox.pipelines.pools.pool import PoolWorker
from trivox.pipelines.pools.weights import SharedAdapter
from trivox.pipelines.speaking import marked, stored_voice
from trivox.platform.records import (
    Audio,
    Branch,
    Prompt,
    Rollout,
    Sampling,
)
from trivox.platform.store import Workspace
from trivox.policy.branches.speech import speech_segments
from trivox.policy.resident import HeldAdapter, ResidentPolicy
from trivox.policy.speaker import Speech, Utterance

SYNTHETIC = "synthetic speech of a Trivox policy"


@dataclass(frozen=True)
class RolloutRequest:
    """One rollout to make: its id and seed are decided by the driver, not by the worker."""

    id: str
    prompt: Prompt
    seed: int
    index: int


@dataclass(frozen=True)
class RolloutUnit:
    """Requests of one batch with the policy that answers: adapter None is the backbone itself."""

    requests: tuple[RolloutRequest, ...]
    adapter: SharedAdapter | None
    producer: str
    sampling: Sampling


@dataclass(frozen=True)
class RolloutBatch:
    """What a unit gave: rollouts, and the records of the audio that the worker has written."""

    rollouts: tuple[Rollout, ...]
    audio: tuple[Audio, ...]


class RolloutWorker(PoolWorker):
    """One resident backbone; adapters come through the object store, each once, and are swapped by unit."""

    def __init__(self, root: Path, backbone: Path, slots: int, project: str, round: str) -> None:
        self.store = Workspace.open(root).audio
        self.policy = ResidentPolicy(backbone, slots)
        self.project, self.round = project, round
        self._held: dict[str, HeldAdapter] = {}

    def work(self, unit: RolloutUnit) -> RolloutBatch:
        prompts = {request.prompt.id: request.prompt for request in unit.requests}
        utterances = {name: self._asked(prompt) for name, prompt in prompts.items()}
        asked = [utterances[request.prompt.id] for request in unit.requests]
        seeds = [request.seed for request in unit.requests]
        with self.policy.using(self._adapter(unit.adapter)) as speaker:
            spoken = speaker.speak(asked, seeds, unit.sampling)
        rollouts, audio = [], []
        for request, speech in zip(unit.requests, spoken, strict=True):
            stored = self._store(speech) if len(speech.samples) else None
            audio += [stored] if stored else []
            rollouts.append(self._rollout(unit, request, speech, stored))
        return RolloutBatch(tuple(rollouts), tuple(audio))

    def _adapter(self, shared: SharedAdapter | None) -> HeldAdapter | None:
        if shared is None:
            return None
        if shared.digest not in self._held:
            self._held[shared.digest] = shared.taken()
        return self._held[shared.digest]

    def _asked(self, prompt: Prompt) -> Utterance:
        voice = stored_voice(self.store, prompt, lambda: self.policy.backbone.codec)
        return Utterance(marked(prompt), prompt.instruction or "", voice)

    def _store(self, speech: Speech) -> Audio:
        rate = self.policy.backbone.codec.spec.sample_rate
        return self.store.put(
            speech.samples, rate, project=self.project, source=SYNTHETIC, licence="Apache-2.0"
        )

    def _rollout(
        self, unit: RolloutUnit, request: RolloutRequest, speech: Speech, audio: Audio | None
    ) -> Rollout:
        said, backbone = speech.generation, self.policy.backbone
        return Rollout(
            id=request.id,
            project=self.project,
            round=self.round,
            branch=Branch.TTS,
            prompt=request.prompt.id,
            producer=unit.producer,
            seed=request.seed,
            index=request.index,
            sampling=unit.sampling,
            engine="in-process",
            dtype="float32",
            tokens=tuple(said.tokens),
            segments=speech_segments(backbone.tokens, said.tokens, chosen_text=False),
            logprobs=tuple(said.logprobs),
            finish_reason=said.finish_reason,
            audio=audio.id if audio else None,
            codes=tuple(tuple(frame) for frame in speech.codes.tolist()),
            codes_layout=backbone.tokens.layout,
            decoding=said.decoding,
            timings=said.timings,
            codec_hash=backbone.codec.weights_hash,
            tokenizer_hash=backbone.tokenizer_hash,
        )
