"""`trivox nano train --part lm`: one causal language model learns both to transcribe and to speak."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from trivox.pipelines.nano.checkpoint import resume, save_checkpoint
from trivox.pipelines.nano.corpus import (
    CODES_FILE,
    WORDS,
    Corpus,
    load_codes,
    require_prepared,
)
from trivox.pipelines.nano.prepare import CODEC_SPEC
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.platform.progress import bar
from trivox.policy.branches import asr_prompt, tts_completion, tts_prompt
from trivox.policy.vocabulary import TokenMap, nano_token_map, nano_tokenizer

IGNORE = -100


@dataclass(frozen=True)
class Phase:
    """A stretch of training with its own mixture. first: the number of steps before it, which seeds its draws."""

    name: str
    first: int
    steps: int
    batch: int
    learning_rate: float
    tts_share: float
    words_share: float
    dropout: float
    carries_text: bool = False
    """Whether tts completions carry their text along, as they do in use."""


def phases(recipe: NanoRecipe) -> tuple[Phase, ...]:
    """Both branches on sentences; reading, mostly of random words, which no template foretells; tts as it is
    used, with the text carried along; and both branches again, so that neither forgets."""
    mixed = Phase(
        name="mixed",
        first=0,
        steps=recipe.lm_steps,
        batch=recipe.lm_batch,
        learning_rate=recipe.lm_learning_rate,
        tts_share=recipe.lm_tts_share,
        words_share=0.0,
        dropout=recipe.lm_dropout,
    )
    found = [mixed]
    for name in ("reading", "streaming", "balance"):
        found.append(_later_phase(recipe, name, found[-1].first + found[-1].steps))
    return tuple(found)


def _later_phase(recipe: NanoRecipe, name: str, first: int) -> Phase:
    numbers = recipe.model_dump()
    return Phase(
        name=name,
        first=first,
        steps=numbers[f"{name}_steps"],
        batch=numbers[f"{name}_batch"],
        learning_rate=numbers[f"{name}_learning_rate"],
        tts_share=numbers[f"{name}_tts_share"],
        words_share=numbers[f"{name}_words_share"],
        dropout=0.0,
        carries_text=name != "reading",
    )


def train_lm(recipe: NanoRecipe, folder: Path) -> Path:
    """Train on the prepared codes; returns the model's folder. Each phase resumes from its checkpoint.

    Raises NotFound when nothing is prepared, ConfigError for the checkpoint of a model of another shape.
    """
    require_prepared(folder)
    torch.manual_seed(recipe.seed)
    tokens = nano_token_map(CODEC_SPEC)
    rows = _Rows(recipe, folder, tokens)
    model = LlamaForCausalLM(_config(recipe, tokens))
    for phase in phases(recipe):
        _train(recipe, phase, model, rows, folder / f"lm-{phase.name}.checkpoint.pt")
    model.eval().save_pretrained(folder / "lm")
    nano_tokenizer(tokens).save_pretrained(folder / "lm")
    tokens.save(folder / "lm")
    return folder / "lm"


def _train(
    recipe: NanoRecipe, phase: Phase, model: LlamaForCausalLM, rows: "_Rows", checkpoint: Path
) -> None:
    """One phase, from its checkpoint if there is one; model is trained in place."""
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=phase.learning_rate, weight_decay=0.05, betas=(0.9, 0.95)
    )
    done = resume(checkpoint, model, optimiser)
    model.train()
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = phase.dropout
    with bar() as shown:
        task = shown.add_task(f"training lm, {phase.name}", total=phase.steps, completed=done)
        for step in range(done, phase.steps):
            loss = _step(recipe, phase, model, optimiser, rows, step)
            shown.update(task, advance=1, description=f"{phase.name}, loss {loss:.3f}")
            if (step + 1) % recipe.checkpoint_every == 0 or step + 1 == phase.steps:
                save_checkpoint(checkpoint, model, optimiser, step + 1, loss)


def _config(recipe: NanoRecipe, tokens: TokenMap) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=tokens.vocab_size,
        hidden_size=recipe.lm_hidden,
        intermediate_size=recipe.lm_feed_forward,
        num_hidden_layers=recipe.lm_layers,
        num_attention_heads=recipe.lm_heads,
        num_key_value_heads=recipe.lm_heads,
        max_position_embeddings=recipe.lm_position_limit,
        tie_word_embeddings=True,
        pad_token_id=tokens.pad,
        eos_token_id=tokens.eos,
        bos_token_id=None,
        attn_implementation="sdpa",  # type: ignore[call-arg]  # read by the base class
    )


class _Source:
    """Texts with their codes, and an order by length, so that batches hold rows of like length."""

    def __init__(self, folder: Path) -> None:
        self.texts = Corpus.load(folder).texts
        self.codes = load_codes(folder / CODES_FILE)
        self.by_length = np.argsort([len(part) for part in self.codes], kind="stable")

    def like_lengths(self, batch: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """`batch` indices from a window of eight batches of neighbours in length."""
        window = min(len(self.by_length), 8 * batch)
        begin = int(rng.integers(len(self.by_length) - window + 1))
        chosen = self.by_length[begin : begin + window]
        return rng.choice(chosen, min(batch, window), replace=False)


class _Rows:
    """Training rows (prompt, completion) of both branches, in batches of like length."""

    def __init__(self, recipe: NanoRecipe, folder: Path, tokens: TokenMap) -> None:
        self.recipe, self.tokens = recipe, tokens
        self.sentences, self.words = _Source(folder / "train"), _Source(folder / WORDS)

    def batch(self, step: int, phase: Phase) -> tuple[Tensor, Tensor, Tensor]:
        """Right-padded input_ids, attention_mask and labels (prompt and padding ignored), int64 [B, L]."""
        rng = np.random.default_rng([self.recipe.seed, phase.first + step])
        speak = self._tts if phase.carries_text else self._plain_tts
        pair = speak if rng.random() < phase.tts_share else self._asr
        from_words = phase.words_share > 0 and rng.random() < phase.words_share
        source = self.words if from_words else self.sentences
        rows = [
            pair(source.texts[int(index)], source.codes[int(index)], rng)
            for index in source.like_lengths(phase.batch, rng)
        ]
        return self._padded(rows)

    def _padded(self, rows: list[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor, Tensor]:
        width = max(len(prompt) + len(completion) for prompt, completion in rows)
        ids = torch.full((len(rows), width), self.tokens.pad)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORE)
        for row, (prompt, completion) in enumerate(rows):
            end = len(prompt) + len(completion)
            ids[row, :end] = torch.tensor(prompt + completion)
            mask[row, :end] = 1
            labels[row, len(prompt) : end] = torch.tensor(completion)
        return ids, mask, labels

    def _plain_tts(
        self, text: str, codes: npt.NDArray[np.int32], rng: np.random.Generator
    ) -> tuple[list[int], list[int]]:
        return tts_prompt(self.tokens, text), [*self.tokens.audio_ids(codes), self.tokens.eos]

    def _tts(
        self, text: str, codes: npt.NDArray[np.int32], rng: np.random.Generator
    ) -> tuple[list[int], list[int]]:
        return tts_prompt(self.tokens, text), tts_completion(self.tokens, text, codes)

    def _asr(
        self, text: str, codes: npt.NDArray[np.int32], rng: np.random.Generator
    ) -> tuple[list[int], list[int]]:
        heard = codes.copy()
        noisy = rng.random(heard.shape) < self.recipe.lm_code_noise
        heard[noisy] = rng.integers(self.tokens.codebook_sizes[0], size=int(noisy.sum()))
        return asr_prompt(self.tokens, heard), [*self.tokens.text_ids(text), self.tokens.eos]


def _step(
    recipe: NanoRecipe,
    phase: Phase,
    model: LlamaForCausalLM,
    optimiser: torch.optim.Optimizer,
    rows: _Rows,
    step: int,
) -> float:
    warm = min(1.0, (step + 1) / 100)
    cosine = 0.5 * (1 + math.cos(math.pi * step / phase.steps))
    for group in optimiser.param_groups:
        group["lr"] = phase.learning_rate * warm * (0.03 + 0.97 * cosine)
    # Dropout draws from the global generator: seeded by the step, so that a resumed run is the same run.
    torch.manual_seed(recipe.seed * 1_000_003 + phase.first + step)
    ids, mask, labels = rows.batch(step, phase)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.lm_bf16):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.item())
