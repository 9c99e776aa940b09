"""B5: samples a second of one step of policy training, rollouts included, beside TRL's own loops.

GRPO: the same random Llama with LoRA, the same prompts, group size, lengths and reference; TRL draws with
transformers' `generate` and pads, ours draws in slots, recomputes the log-probabilities of the rollouts and
compares them. An end token of a probability of one in a hundred gives lengths with a long tail. DPO: the same
pairs as text for TRL and as tokens for ours, which keeps the reference's log-probabilities; two epochs. Memory:
the peak of a process of its own for each side.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, set_seed

from trivox.bench.harness import Result, interleaved, ratio
from trivox.platform.errors import ConfigError
from trivox.platform.observability.memory import peak_bytes
from trivox.platform.records import Sampling
from trivox.policy.backbone import CODEC_FOLDER, Backbone, without_renaming_notices
from trivox.policy.branches.constraint import Mask
from trivox.policy.codec import NanoCodec
from trivox.policy.engine import InProcessEngine, Request
from trivox.policy.trainers.common import lora_config, quiet_arguments
from trivox.policy.trainers.dpo import DPOSettings, TokenPair, train_dpo
from trivox.policy.trainers.rl.episodes import batch_of
from trivox.policy.trainers.rl.logprobs import said
from trivox.policy.trainers.rl.losses import aggregated
from trivox.policy.trainers.rl.run import Job, Run, grpo
from trivox.policy.trainers.rl.settings import GRPOSettings
from trivox.policy.trainers.rl.sources import Ask, Reward, SingleTurn
from trivox.policy.vocabulary import TokenMap, nano_token_map, nano_tokenizer

WIDTH, LAYERS, HEADS, FEED_FORWARD = 192, 4, 4, 512
PROMPTS, SAMPLES, LONGEST, LETTERS = 4, 8, 96, 24
PAIRS, PAIR_TOKENS, PAIR_BATCH, EPOCHS = 16, 64, 8, 2
RANK, ALPHA, BETA, RATE = 8, 16, 0.02, 1e-4
MOST_MEMORY = 1.2
SIDES = ("grpo", "trl grpo", "dpo", "trl dpo")


class _Anything:
    """No constraint, as in TRL's loop."""

    def __init__(self, size: int) -> None:
        self.mask: Mask = np.ones(size, np.bool_)

    def start(self) -> "_Anything":
        return self

    def allowed(self) -> Mask:
        return self.mask

    def advance(self, token: int) -> None:
        pass


def run(full: bool) -> Result:
    """Passes where both of ours are at least as fast a sample and take at most 1.2 times the memory."""
    with tempfile.TemporaryDirectory() as place:
        folder = write_model(Path(place) / "model")
        work = {name: _side(name, folder, Path(place)) for name in SIDES}
        work |= {"limit: rollout": _rollout(folder), "limit: update": _update(folder)}
        timed = interleaved(work, repeats=9 if full else 5)
        peaks = {name: _peak(name, folder) for name in SIDES}
    peers = {
        "TRL GRPOTrainer": ratio(timed["trl grpo"], timed["grpo"]),
        "TRL DPOTrainer": ratio(timed["trl dpo"], timed["dpo"]),
    }
    memory = {kind: peaks[kind] / peaks[f"trl {kind}"] for kind in ("grpo", "dpo")}
    limit = timed["limit: rollout"].median + timed["limit: update"].median
    rollouts = PROMPTS * SAMPLES
    return Result(
        name="round-step",
        ratio_to_peer=dict(peers),
        ratio_to_limit=timed["grpo"].median / limit,
        passed=min(peers.values()) >= 1 and max(memory.values()) <= MOST_MEMORY,
        threshold=f"at least as fast a sample as TRL's loops, at most {MOST_MEMORY:g} times their peak memory",
        terms={
            "rollout_s": timed["limit: rollout"].median,
            "update_s": timed["limit: update"].median,
            "sum_s": limit,
            "rollout_share": timed["limit: rollout"].median / limit,
        },
        sizes={
            "width": WIDTH,
            "layers": LAYERS,
            "rollouts": rollouts,
            "longest": LONGEST,
            "pairs": PAIRS,
            "epochs": EPOCHS,
            "lora_rank": RANK,
        },
        sides=timed,
        figures={
            "grpo_samples_per_second": rollouts / timed["grpo"].median,
            "trl_grpo_samples_per_second": rollouts / timed["trl grpo"].median,
            "dpo_pairs_per_second": PAIRS * EPOCHS / timed["dpo"].median,
            "trl_dpo_pairs_per_second": PAIRS * EPOCHS / timed["trl dpo"].median,
            **{f"{name.replace(' ', '_')}_peak_mb": peak for name, peak in peaks.items()},
            **{f"{kind}_memory_ratio": value for kind, value in memory.items()},
        },
        notes=(
            "ours recomputes the log-probabilities of every rollout and compares them; TRL takes them as "
            "they come",
        ),
    )


def write_model(folder: Path) -> Path:
    """A random Llama with nano's tokens, as plain transformers loads it, and as a backbone."""
    torch.manual_seed(0)
    codec = NanoCodec(codebooks=1, size=16, width=8).eval()
    tokens = nano_token_map(codec.spec)
    codec.save(folder / CODEC_FOLDER)
    config = LlamaConfig(
        vocab_size=tokens.vocab_size,
        hidden_size=WIDTH,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=512,
        pad_token_id=tokens.pad,
        eos_token_id=tokens.eos,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).eval().save_pretrained(folder)
    nano_tokenizer(tokens).save_pretrained(folder)
    tokens.save(folder)
    return folder


def _texts() -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("abcdefgh"), LETTERS)) for _ in range(PROMPTS)]


def _asks(tokens: TokenMap) -> list[Ask]:
    anything = _Anything(tokens.vocab_size)
    return [Ask(text, tokens.text_ids(text), anything) for text in _texts()]


def _side(name: str, folder: Path, place: Path) -> Callable[[], object]:
    """One step of a side, its model loaded before."""
    sides = {"grpo": _grpo, "trl grpo": _trl_grpo, "dpo": _dpo, "trl dpo": _trl_dpo}
    return sides[name](folder, place)


def _grpo(folder: Path, place: Path) -> Callable[[], object]:
    settings = GRPOSettings(
        steps=1,
        prompts=PROMPTS,
        samples=SAMPLES,
        minibatch_turns=PROMPTS * SAMPLES,
        max_tokens=LONGEST,
        kl_coefficient=BETA,
        learning_rate=RATE,
        lora_rank=RANK,
        lora_alpha=ALPHA,
    )
    tokens = TokenMap.load(folder)

    def reward(answers: Any) -> list[Reward]:
        return [Reward(float(len(said.tokens) % 7)) for _, said in answers]

    source = SingleTurn(_asks(tokens), reward, PROMPTS, SAMPLES, 1.0, LONGEST, 0)
    job = Job(folder, source, place / "ours", 0, "bench", slots=PROMPTS * SAMPLES)
    training = Run(job, settings, grpo(settings))
    steps = iter(range(1 << 30))
    return lambda: training.step(next(steps))


def _trl_grpo(folder: Path, place: Path) -> Callable[[], object]:
    from trl import GRPOConfig, GRPOTrainer

    def reward(completion_ids: list[list[int]], **_: Any) -> list[float | None]:
        return [float(len(one) % 7) for one in completion_ids]

    arguments = GRPOConfig(
        **_same(place / "trl-grpo"),
        per_device_train_batch_size=PROMPTS * SAMPLES,
        num_generations=SAMPLES,
        max_completion_length=LONGEST,
        max_steps=1,
        beta=BETA,
        temperature=1.0,
        loss_type="dapo",
        num_iterations=1,
        steps_per_generation=1,
        save_strategy="no",
    )
    with without_renaming_notices():
        backbone = Backbone.load(folder)
        trainer = GRPOTrainer(
            model=backbone.lm,
            reward_funcs=reward,
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": _texts()}),
            processing_class=nano_tokenizer(backbone.tokens),
            peft_config=lora_config(backbone.lm, RANK, ALPHA),
        )
    trainer.remove_callback(PrinterCallback)
    return _quietly(trainer.train)


def _pairs(tokens: TokenMap) -> list[tuple[str, str, str]]:
    rng = np.random.default_rng(1)

    def said() -> str:
        return "".join(rng.choice(list("abcdefgh"), PAIR_TOKENS))

    return [(said()[:LETTERS], said(), said()) for _ in range(PAIRS)]


def _dpo(folder: Path, place: Path) -> Callable[[], object]:
    tokens = TokenMap.load(folder)
    pairs = [
        TokenPair(
            tokens.text_ids(prompt),
            [*tokens.text_ids(chosen), tokens.eos],
            [*tokens.text_ids(rejected), tokens.eos],
        )
        for prompt, chosen, rejected in _pairs(tokens)
    ]
    settings = DPOSettings(
        epochs=EPOCHS,
        batch_size=PAIR_BATCH,
        lora_rank=RANK,
        lora_alpha=ALPHA,
        learning_rate=RATE,
        sft_weight=0.0,
    )
    numbers = iter(range(1 << 30))

    def train() -> None:
        out = place / f"dpo-{next(numbers)}"
        train_dpo(folder, pairs, settings, out, 0, reference_cache=out / "references")

    return train


def _trl_dpo(folder: Path, place: Path) -> Callable[[], object]:
    """Loaded, trained and saved each time, as ours is."""
    from trl import DPOConfig, DPOTrainer

    tokens = TokenMap.load(folder)
    names = ("prompt", "chosen", "rejected")
    columns = dict(zip(names, map(list, zip(*_pairs(tokens), strict=True)), strict=True))
    numbers = iter(range(1 << 30))

    def train() -> None:
        out = place / f"trl-dpo-{next(numbers)}"
        arguments = DPOConfig(
            **_same(out),
            per_device_train_batch_size=PAIR_BATCH,
            num_train_epochs=EPOCHS,
            max_length=None,
            save_strategy="no",
        )
        set_seed(0)
        with without_renaming_notices():
            backbone = Backbone.load(folder)
            trainer = DPOTrainer(
                model=backbone.lm,
                args=arguments,
                train_dataset=Dataset.from_dict(columns),
                processing_class=nano_tokenizer(backbone.tokens),
                peft_config=lora_config(backbone.lm, RANK, ALPHA),
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
            trained: Any = trainer.model
            trained.save_pretrained(out)

    return _quietly(train)


def _same(folder: Path) -> dict[str, Any]:
    return quiet_arguments(folder, 0) | {
        "learning_rate": RATE,
        "activation_checkpointing": False,
    }


def _quietly(work: Callable[[], object]) -> Callable[[], object]:
    """Without the bars that `datasets` draws."""
    from datasets.utils.logging import disable_progress_bar

    def quiet() -> object:
        disable_progress_bar()
        with without_renaming_notices():
            return work()

    return quiet


def _rollout(folder: Path) -> Callable[[], object]:
    """The limit's first term: the tokens drawn, and nothing else."""
    backbone = Backbone.load(folder)
    tokens = backbone.tokens
    engine = InProcessEngine(backbone.lm, tokens.eos, tokens.pad, PROMPTS * SAMPLES)
    requests = _requests(tokens)
    return lambda: engine.generate(requests)


def _update(folder: Path) -> Callable[[], object]:
    """The second: the reference's pass, one forward and backward pass, one step."""
    backbone = Backbone.load(folder)
    tokens = backbone.tokens
    engine = InProcessEngine(backbone.lm, tokens.eos, tokens.pad, PROMPTS * SAMPLES)
    drawn = engine.generate(_requests(tokens))
    source = [ask for ask in _asks(tokens) for _ in range(SAMPLES)]
    from trivox.policy.trainers.rl.sources import episode_of

    turns = [
        episode_of(ask, one, Reward(1.0), 1.0).turns[0]
        for ask, one in zip(source, drawn, strict=True)
    ]
    batch = batch_of(turns, range(len(turns)), tokens.pad)
    with without_renaming_notices():
        model: Any = get_peft_model(backbone.lm, lora_config(backbone.lm, RANK, ALPHA))
    optimiser = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=RATE)

    def step() -> None:
        with torch.no_grad(), model.disable_adapter():
            said(model, batch)
        loss = -aggregated(said(model, batch).logprobs, batch.chosen, "dapo", LONGEST)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def _requests(tokens: TokenMap) -> list[Request]:
    sampling = Sampling(1.0, 0, 1.0, LONGEST)
    return [
        Request(ask.prompt, ask.constraint, sampling, number)
        for ask in _asks(tokens)
        for number in range(SAMPLES)
    ]


def _peak(name: str, folder: Path) -> float:
    """MB at the peak of two steps of a side in a process of its own. Raises ConfigError where that fails."""
    command = [sys.executable, "-m", "trivox.bench.round_step", name, str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ConfigError(f"round-step: the process of {name!r} failed: {ended.stderr[-300:]}")
    return float(json.loads(ended.stdout.splitlines()[-1])["peak_mb"])


def _measured(name: str, folder: Path) -> Mapping[str, float]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        work = _side(name, folder, Path(place))
        work(), work()
    if torch.cuda.is_available():
        return {"peak_mb": torch.cuda.max_memory_allocated() / 1e6}
    return {"peak_mb": peak_bytes() / 1e6}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measured(sys.argv[1], Path(sys.argv[2]))) + "\n")
