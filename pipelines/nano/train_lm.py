"""`trivox nano train --part lm`: one causal language model learns both to transcribe and to speak."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from trivox.pipelines.nano.checkpoint import resume, save_checkpoint
from trivox.pipelines.nano.corpus import Corpus, load_codes, require_prepared
from trivox.pipelines.nano.prepare import CODEC_SPEC
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.platform.progress import bar
from trivox.policy.branches import asr_prompt, tts_prompt
from trivox.policy.vocabulary import TokenMap, nano_token_map, nano_tokenizer

IGNORE = -100


def train_lm(recipe: NanoRecipe, folder: Path) -> Path:
    """Train on the prepared codes; returns the model's folder. Resumes from its checkpoint.

    Raises NotFound when nothing is prepared, ConfigError for the checkpoint of a model of another shape.
    """
    require_prepared(folder)
    torch.manual_seed(recipe.seed)
    tokens = nano_token_map(CODEC_SPEC)
    model = LlamaForCausalLM(_config(recipe, tokens))
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.lm_learning_rate, weight_decay=0.05, betas=(0.9, 0.95)
    )
    checkpoint = folder / "lm.checkpoint.pt"
    first = resume(checkpoint, model, optimiser)
    rows = _Rows(recipe, folder, tokens)
    model.train()
    with bar() as shown:
        task = shown.add_task("training lm", total=recipe.lm_steps, completed=first)
        for step in range(first, recipe.lm_steps):
            loss = _step(recipe, model, optimiser, rows, step)
            shown.update(task, advance=1, description=f"training lm, loss {loss:.3f}")
            if (step + 1) % recipe.checkpoint_every == 0:
                save_checkpoint(checkpoint, model, optimiser, step + 1, loss)
    model.eval().save_pretrained(folder / "lm")
    nano_tokenizer(tokens).save_pretrained(folder / "lm")
    tokens.save(folder / "lm")
    return folder / "lm"


def _config(recipe: NanoRecipe, tokens: TokenMap) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=tokens.vocab_size,
        hidden_size=recipe.lm_hidden,
        intermediate_size=recipe.lm_feed_forward,
        num_hidden_layers=recipe.lm_layers,
        num_attention_heads=recipe.lm_heads,
        num_key_value_heads=recipe.lm_heads,
        max_position_embeddings=recipe.lm_position_limit,
        attention_dropout=recipe.lm_dropout,
        tie_word_embeddings=True,
        pad_token_id=tokens.pad,
        eos_token_id=tokens.eos,
        bos_token_id=None,
        attn_implementation="sdpa",  # type: ignore[call-arg]  # read by the base class
    )


class _Rows:
    """Training rows (prompt, completion) of both branches, in batches of like length."""

    def __init__(self, recipe: NanoRecipe, folder: Path, tokens: TokenMap) -> None:
        self.recipe, self.tokens = recipe, tokens
        self.texts = Corpus.load(folder / "train").texts
        self.codes = load_codes(folder / "train" / "codes.npz")
        self.by_length = np.argsort([len(part) for part in self.codes], kind="stable")

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Right-padded input_ids, attention_mask and labels (prompt and padding ignored), int64 [B, L]."""
        rng = np.random.default_rng([self.recipe.seed, step])
        pair = self._tts if rng.random() < self.recipe.lm_tts_share else self._asr
        rows = [pair(int(index), rng) for index in self._like_lengths(rng)]
        width = max(len(prompt) + len(completion) for prompt, completion in rows)
        ids = torch.full((len(rows), width), self.tokens.pad)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORE)
        for row, (prompt, completion) in enumerate(rows):
            end = len(prompt) + len(completion)
            ids[row, :end] = torch.tensor(prompt + completion)
            mask[row, :end] = 1
            labels[row, len(prompt) : end] = torch.tensor(completion)
        return ids, mask, labels

    def _like_lengths(self, rng: np.random.Generator) -> np.ndarray:
        """lm_batch indices from a window of eight batches of neighbours in length."""
        window = min(len(self.by_length), 8 * self.recipe.lm_batch)
        begin = int(rng.integers(len(self.by_length) - window + 1))
        size = min(self.recipe.lm_batch, window)
        return rng.choice(self.by_length[begin : begin + window], size, replace=False)

    def _tts(self, index: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        completion = self.tokens.audio_ids(self.codes[index])
        return tts_prompt(self.tokens, self.texts[index]), [*completion, self.tokens.eos]

    def _asr(self, index: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        codes = self.codes[index].copy()
        noisy = rng.random(codes.shape) < self.recipe.lm_code_noise
        codes[noisy] = rng.integers(self.tokens.codebook_sizes[0], size=int(noisy.sum()))
        completion = self.tokens.text_ids(self.texts[index])
        return asr_prompt(self.tokens, codes), [*completion, self.tokens.eos]


def _step(
    recipe: NanoRecipe,
    model: LlamaForCausalLM,
    optimiser: torch.optim.Optimizer,
    rows: _Rows,
    step: int,
) -> float:
    warm = min(1.0, (step + 1) / 100)
    cosine = 0.5 * (1 + math.cos(math.pi * step / recipe.lm_steps))
    for group in optimiser.param_groups:
        group["lr"] = recipe.lm_learning_rate * warm * (0.03 + 0.97 * cosine)
    # Dropout draws from the global generator: seeded by the step, so that a resumed run is the same run.
    torch.manual_seed(recipe.seed * 1_000_003 + step)
    ids, mask, labels = rows.batch(step)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.lm_bf16):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.item())
