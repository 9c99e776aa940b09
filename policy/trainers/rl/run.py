"""One run of PPO or GRPO on a branch adapter or on all weights: roll out, reward, update, watch; resumable."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import get_peft_model
from torch import nn
from transformers import set_seed

from trivox.platform.errors import ConfigError, WorkError
from trivox.platform.hashing import content_hash, sha256_file
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.engine import InProcessEngine, RolloutEngine
from trivox.policy.resident import ADAPTER_WEIGHTS
from trivox.policy.rows import Row, collate
from trivox.policy.trainers.checkpoints import STATE, claim, latest, save_state, sweep
from trivox.policy.trainers.common import (
    TOKEN_MODULES,
    TrainedAdapter,
    check_finite,
    check_rehearsal,
    check_start,
    lora_config,
    save_trained,
    started,
    unfrozen,
)
from trivox.policy.trainers.rl.agreement import IN_PROCESS, OTHER_ENGINE, STALE, calibrated
from trivox.policy.trainers.rl.ahead import Ahead, ahead_of
from trivox.policy.trainers.rl.algorithms import GRPO, PPO, Algorithm
from trivox.policy.trainers.rl.critic import ValueHead
from trivox.policy.trainers.rl.episodes import Episode
from trivox.policy.trainers.rl.figures import (
    Figures,
    entropy_of,
    known_before,
    means,
    rewards_of,
    staleness_of,
)
from trivox.policy.trainers.rl.folding import folded
from trivox.policy.trainers.rl.kl import KLController
from trivox.policy.trainers.rl.logprobs import said
from trivox.policy.trainers.rl.minibatches import Minibatch, minibatches
from trivox.policy.trainers.rl.reference import AdapterOff, FrozenCopy, Reference
from trivox.policy.trainers.rl.settings import GRPOSettings, PolicyGradientSettings, PPOSettings
from trivox.policy.trainers.rl.sources import EpisodeSource
from trivox.policy.trainers.rl.watchers import Bound, Guard, Probe, Stateful, TextWatcher, Watcher
from trivox.policy.vocabulary import TokenMap

OnStep = Callable[[int, int, Figures], None]


@dataclass(frozen=True)
class Job:
    """What a run is given. name: of the data and reward, which tells checkpoints of one run from another's.

    start: an adapter that is trained further; rehearsal: supervised rows of all branches; watchers see the
    episodes of every step, probes ask the policy themselves, bounds stop the run. stateful: what else checkpoints
    keep. loaded: the backbone of the folder where it is in memory already; the run puts its adapter on it. engine:
    makes one that samples from the model as it is now, None for our own in this process.
    """

    backbone: Path
    source: EpisodeSource
    folder: Path
    seed: int
    name: str
    start: Path | None = None
    rehearsal: Sequence[Row] = ()
    watchers: Sequence[Watcher] = ()
    probes: Sequence[Probe] = ()
    bounds: Sequence[Bound] = ()
    stateful: Sequence[Stateful] = ()
    slots: int = 32
    loaded: Backbone | None = None
    engine: Callable[[Any], RolloutEngine] | None = None
    on_step: OnStep = field(default=lambda done, total, figures: None)


def train_grpo(job: Job, settings: GRPOSettings) -> TrainedAdapter:
    """Group relative policy optimisation of a LoRA adapter on what it itself says; the reference is the backbone
    with the adapter off. With lora_rank 0 the folder gets a whole backbone, and the reference is a copy of the one
    that the run began with. A folder with checkpoints of the same run is gone on with, to the same weights.

    metrics, by step: reward, reward_std, kl and entropy (nats per action), clip_share, grad_norm, loss, length,
    end_rate, repetition, failed and left_out (episodes), logprob_gap, masked_share, seconds of each phase, and
    what watchers add; with staleness also staleness (mean, in updates) and stale (episodes older than allowed).

    Raises ConfigError for settings that cannot work together, checkpoints of another run, a start of another
    backbone or one with lora_rank 0; WatcherStop; WorkError for log-probabilities that do not agree with the
    rollouts', for a step whose episodes all failed, and for a loss or weight that is not finite.
    """
    _check(job, settings)
    return Run(job, settings, grpo(settings)).train()


def grpo(settings: GRPOSettings) -> Callable[[int], Algorithm]:
    """Makes the algorithm for a model of a width."""
    controller = KLController(settings.kl_coefficient)
    return lambda width: GRPO(settings, controller)


def train_ppo(job: Job, settings: PPOSettings) -> TrainedAdapter:
    """As `train_grpo`, with a value head, advantages by GAE, and the KL penalty in the reward; metrics also
    value_loss, explained_variance and kl_coefficient."""
    _check(job, settings)
    controller = KLController(settings.kl_coefficient, settings.kl_target)
    return Run(job, settings, lambda width: PPO(settings, controller, ValueHead(width))).train()


def _check(job: Job, settings: PolicyGradientSettings) -> None:
    algorithm = type(settings).__name__.removesuffix("Settings")
    check_start(algorithm, job.start, job.backbone, settings.lora_rank)
    check_rehearsal(settings.rehearsal_share, job.rehearsal)
    if isinstance(settings, GRPOSettings) and settings.samples < 2:
        raise ConfigError(
            f"GRPO compares the answers to one prompt and samples is {settings.samples}: give at least 2"
        )


class Run:
    """The state of a run between its steps."""

    def __init__(
        self,
        job: Job,
        settings: PolicyGradientSettings,
        algorithm: Callable[[int], Algorithm],
    ) -> None:
        self.job, self.settings = job, settings
        set_seed(job.seed)
        backbone = job.loaded or Backbone.load(job.backbone)
        self.backbone, self.full = backbone, settings.lora_rank == 0
        self.pad, self.eos = backbone.tokens.pad, backbone.tokens.eos
        self.model = self._model(backbone)
        self.reference: Reference = FrozenCopy(self.model) if self.full else AdapterOff(self.model)
        self.algorithm = algorithm(int(backbone.lm.config.get_text_config().hidden_size))
        self.optimiser = self._optimiser()
        self.learnable = self._learnable(backbone.tokens)
        single = backbone.lm.dtype == torch.float32
        if settings.train_tokens and not single:
            raise ConfigError(
                f"train_tokens trains rows and head in full and the backbone is in {backbone.lm.dtype}, which "
                "loses small steps: leave it out, and teach new tokens with sft first"
            )
        exact = job.engine is None and single
        self.agreement = IN_PROCESS if exact else OTHER_ENGINE
        if settings.recompute:
            self.model.activation_checkpointing_enable({"use_reentrant": False})
        self.guard = Guard(job.bounds)
        self.watchers: list[Watcher] = [TextWatcher(), *job.watchers]
        self.metrics: list[Figures] = []
        self.source = ahead_of(job.source, settings.steps) if settings.staleness else job.source
        drawn = [self.source] if isinstance(self.source, Ahead) else []
        self._stateful: list[Stateful] = [*job.probes, *job.stateful, *drawn]

    def _model(self, backbone: Backbone) -> Any:
        if self.full:
            return unfrozen(backbone)
        with without_renaming_notices():
            if self.job.start is not None:
                return started(backbone.lm, self.job.start)
            whole = TOKEN_MODULES if self.settings.train_tokens else ()
            rank, alpha = self.settings.lora_rank, self.settings.lora_alpha
            config = lora_config(backbone.lm, rank, alpha, whole)
            return get_peft_model(backbone.lm, config)

    def _learnable(self, tokens: TokenMap) -> torch.Tensor | None:
        """bool [V] of the tokens that the loss is of; None: all."""
        if self.settings.learns == "all":
            return None
        sounds = [tokens.is_audio(index) for index in range(tokens.vocab_size)]
        return ~torch.tensor(sounds, device=self.model.device)

    def _optimiser(self) -> torch.optim.Optimizer:
        policy = [weight for weight in self.model.parameters() if weight.requires_grad]
        groups: list[dict[str, Any]] = [{"params": policy, "lr": self.settings.learning_rate}]
        if self.algorithm.critic is not None:
            assert isinstance(self.settings, PPOSettings)
            self.algorithm.critic.to(self.model.device)
            rate = self.settings.value_learning_rate
            groups.append({"params": list(self.algorithm.critic.parameters()), "lr": rate})
        for group in groups:
            group["highest"] = group["lr"]
        return torch.optim.AdamW(groups, weight_decay=0.0)

    def train(self) -> TrainedAdapter:
        folder, total = self.job.folder, self.settings.steps
        claim(folder, self._fingerprint())
        first = self._resume()
        self.model.eval()  # dropout is off, so that rollout and update see one policy
        for step in range(first, total):
            self.metrics.append({"step": float(step)} | self.step(step))
            try:
                self.job.on_step(step + 1, total, self.metrics[-1])
            finally:  # who stops the run here keeps the step
                self.guard.check(step, self.metrics[-1])
                if (step + 1) % self.settings.checkpoint_every == 0 and step + 1 < total:
                    self._save_checkpoint(step + 1)
        return self._finished()

    def step(self, step: int) -> Figures:
        """One step: episodes, watchers, update; its figures."""
        began = time.perf_counter()
        with self._speaking():
            made = self.source.episodes(self._engine(), step)
        rolled = time.perf_counter()
        episodes = self._usable(made, step)
        figures = rewards_of(made, episodes) | staleness_of(made, self.settings.staleness)
        for watcher in self.watchers:
            figures |= watcher.watch(step, made)
        with self._speaking():
            for probe in self.job.probes:
                figures |= probe.probe(step, self._engine(), figures)
        watched = time.perf_counter()
        if episodes:
            figures |= self._update(episodes, step)
        figures |= {"rollout_s": rolled - began, "watch_s": watched - rolled}
        return figures | {"update_s": time.perf_counter() - watched}

    def _speaking(self) -> AbstractContextManager[None]:
        """Another engine takes the adapter's weights as they are."""
        return folded(self.model) if self.job.engine is None else nullcontext()

    def _engine(self) -> RolloutEngine:
        if self.job.engine is not None:
            return self.job.engine(self.model)
        return InProcessEngine(self.model, self.eos, self.pad, self.job.slots)

    def _usable(self, made: Sequence[Episode], step: int) -> list[Episode]:
        scored = [one for one in made if one.failure is None]
        if not scored:
            why = next((one.failure for one in made if one.failure), None)
            told = f"{why.kind}: {why.message}" if why else "no episode was made"
            raise WorkError(f"step {step}: no episode of {len(made)} has a reward ({told})")
        fresh = [one for one in scored if one.staleness <= self.settings.staleness]
        kept = self.algorithm.kept(fresh)
        if self.settings.truncated == "mask":
            kept = [one for one in kept if not one.truncated]
        return kept

    def _update(self, episodes: Sequence[Episode], step: int) -> Figures:
        rng = np.random.default_rng([self.job.seed, 1, step])
        stale = any(one.staleness for one in episodes)
        bounds = STALE if stale else self.agreement
        parts = self.algorithm.prepared(
            minibatches(
                self.model,
                self.reference,
                self.algorithm.critic,
                episodes,
                self.settings.minibatch_turns,
                self.pad,
                bounds,
                rng,
                self.learnable,
            ),
            episodes,
        )
        if not stale:
            self.agreement = calibrated(self.agreement, max(p.agreement.worst for p in parts))
        figures = known_before(parts) | self.algorithm.figures(parts)
        figures["kl_coefficient"] = self.algorithm.controller.coefficient
        actions = sum(int(part.batch.chosen.sum()) for part in parts)
        self.algorithm.controller.update(figures["kl"], actions)
        seen = list[Figures]()
        for _ in range(self.settings.inner_epochs):
            for index in rng.permutation(len(parts)):
                seen.append(self._policy_update(parts[index], step))
                seen += self._rehearsal(rng)
        return figures | means(seen)

    def _policy_update(self, part: Minibatch, step: int) -> Figures:
        # Activations are only computed again in training mode, which without dropout changes nothing else.
        self.model.train(self.settings.recompute)
        now = said(self.model, part.batch, self.settings.entropy_coefficient > 0)
        self.model.eval()
        loss, figures = self.algorithm.loss(part, now, step)
        entropy = entropy_of(now, part)
        return figures | {
            "loss": loss.item(),
            "entropy": entropy,
            "grad_norm": self._descend(loss, step),
        }

    def _rehearsal(self, rng: np.random.Generator) -> list[Figures]:
        """As many supervised updates as the share asks for, on average."""
        share = self.settings.rehearsal_share
        if not share or rng.random() >= share / (1 - share):
            return []
        count = min(self.settings.rehearsal_rows, len(self.job.rehearsal))
        drawn = rng.choice(len(self.job.rehearsal), count, replace=False)
        batch = collate([self.job.rehearsal[i] for i in drawn], self.pad)
        batch = {name: value.to(self.model.device) for name, value in batch.items()}
        loss = self.model(**batch).loss
        self._descend(loss, self.settings.warmup_steps)
        return [{"rehearsal_loss": loss.item()}]

    def _descend(self, loss: torch.Tensor, step: int) -> float:
        """One step of the optimiser; returns the norm of the gradient. Raises WorkError for a loss that is not
        finite."""
        if not bool(loss.isfinite()):
            raise WorkError(f"step {step}: the loss is {loss.item()}: lower the learning rate")
        rise = min(1.0, (step + 1) / (self.settings.warmup_steps + 1))
        for group in self.optimiser.param_groups:
            group["lr"] = group["highest"] * rise
        self.optimiser.zero_grad()
        loss.backward()
        weights = [w for group in self.optimiser.param_groups for w in group["params"]]
        norm = nn.utils.clip_grad_norm_(weights, self.settings.max_grad_norm)
        self.optimiser.step()
        return norm.item()

    def _fingerprint(self) -> str:
        """What the run's result depends on, as a hash."""
        job = self.job
        return content_hash(
            [
                backbone_hash(job.backbone),
                self.settings.identity(),
                type(self.settings).__name__,
                job.seed,
                job.name,
                None if job.start is None else sha256_file(job.start / ADAPTER_WEIGHTS),
                [content_hash([row.prompt, row.completion, row.loss]) for row in job.rehearsal],
            ]
        )

    def _save_checkpoint(self, step: int) -> None:
        self.reference.check()
        trained = {n: w for n, w in self.model.named_parameters() if w.requires_grad}
        critic = self.algorithm.critic
        save_state(
            self.job.folder,
            step,
            {
                "policy": trained,
                "critic": None if critic is None else critic.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            },
            {
                "metrics": self.metrics,
                "kl_coefficient": self.algorithm.controller.coefficient,
                "guard": self.guard.state(),
                "agreement": self.agreement.exact,
                "kept": [one.state() for one in self._stateful],
            },
        )

    def _resume(self) -> int:
        """Take up the newest whole checkpoint; returns the steps done."""
        found = latest(self.job.folder)
        if found is None:
            return 0
        state = torch.load(Path(found) / "state.pt", map_location=self.model.device)
        known = json.loads((Path(found) / STATE).read_text())
        self.model.load_state_dict(state["policy"], strict=False)
        if self.algorithm.critic is not None:
            self.algorithm.critic.load_state_dict(state["critic"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.metrics = known["metrics"]
        self.algorithm.controller.coefficient = known["kl_coefficient"]
        self.agreement = replace(self.agreement, exact=known["agreement"])
        self.guard.restore(known["guard"])
        for one, kept in zip(self._stateful, known["kept"], strict=True):
            one.restore(kept)
        return int(known["step"])

    def _finished(self) -> TrainedAdapter:
        folder = self.job.folder
        check_finite(type(self.algorithm).__name__, self.metrics[-1].get("loss", 0.0), self.model)
        self.reference.check()
        weights = save_trained(self.model, self.backbone, self.full, folder)
        sweep(folder)
        return TrainedAdapter(folder, weights, self.settings.steps, self.metrics)
