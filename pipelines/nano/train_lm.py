"""`trivox nano train --part lm`: one causal language model learns to transcribe, to speak and to converse."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from trivox.pipelines.nano.checkpoint import resume, save_checkpoint
from trivox.pipelines.nano.examples import Example, Examples, padded_rows
from trivox.pipelines.nano.optimisers import MuonWithAdamW
from trivox.pipelines.nano.prepare import CODEC_SPEC, require_prepared
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.platform.progress import bar
from trivox.policy.encoder.nano import NanoEncoder
from trivox.policy.modeling import TrivoxForCausalLM
from trivox.policy.modeling.merging import stack_frames
from trivox.policy.vocabulary import TokenMap, nano_token_map, nano_tokenizer

ADAPTER_STACK = 2
"""Encoder frames (25 Hz) in one embedding: 12.5 Hz."""


def train_lm(recipe: NanoRecipe, folder: Path) -> Path:
    """Train adapter and language model on the prepared corpus and the trained encoder; returns the model's folder.
    Resumes from its checkpoint.

    Raises NotFound when nothing is prepared, ConfigError for the checkpoint of a model of another shape.
    """
    require_prepared(folder)
    torch.manual_seed(recipe.seed)
    tokens = nano_token_map(CODEC_SPEC, recipe.tts_voices)
    encoder = NanoEncoder.from_pretrained(folder / "encoder")
    model = TrivoxForCausalLM.compose(
        LlamaForCausalLM(_config(recipe, tokens)), encoder, tokens.audio, ADAPTER_STACK
    )
    examples = Examples(recipe, folder, tokens)
    _train(recipe, model, examples, folder / "lm.checkpoint.pt")
    model.save_pretrained(folder / "lm")
    nano_tokenizer(tokens).save_pretrained(folder / "lm")
    tokens.save(folder / "lm")
    return folder / "lm"


def _train(
    recipe: NanoRecipe, model: TrivoxForCausalLM, examples: Examples, checkpoint: Path
) -> None:
    optimiser = MuonWithAdamW(model, recipe.lm_learning_rate)
    done = resume(checkpoint, model, optimiser)
    model.train()
    with bar() as shown:
        task = shown.add_task("training lm", total=recipe.lm_steps, completed=done)
        for step in range(done, recipe.lm_steps):
            losses = _step(recipe, model, optimiser, examples, step)
            label = ", ".join(f"{branch} {loss:.2f}" for branch, loss in losses.items())
            shown.update(task, advance=1, description=f"training lm, {label}")
            if (step + 1) % recipe.checkpoint_every == 0 or step + 1 == recipe.lm_steps:
                save_checkpoint(checkpoint, model, optimiser, step + 1, sum(losses.values()))


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


def _step(
    recipe: NanoRecipe,
    model: TrivoxForCausalLM,
    optimiser: MuonWithAdamW,
    examples: Examples,
    step: int,
) -> dict[str, float]:
    """One update on a batch of one branch; its loss by branch."""
    optimiser.scale(_rate(recipe, step))
    rng = np.random.default_rng([recipe.seed, step])
    shares = recipe.lm_branch_shares
    branch = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    rows = examples.batch(branch, rng)
    ids, mask, labels = padded_rows(rows, examples.tokens.pad)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.lm_bf16):
        embedded = embeddings_of(model, ids, rows, examples)
        loss = model(inputs_embeds=embedded, attention_mask=mask, labels=labels).loss
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return {branch: float(loss.item())}


def _rate(recipe: NanoRecipe, step: int) -> float:
    """Share of the highest learning rate: a rise, and a cosine down to 2 %."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / recipe.lm_steps))
    return min(1.0, (step + 1) / 150) * (0.02 + 0.98 * cosine)


def embeddings_of(
    model: TrivoxForCausalLM, ids: Tensor, rows: list[Example], examples: Examples
) -> Tensor:
    """Embeddings [B, L, H] with the adapter's in the placeholders: the encoder is frozen, so what it hears was
    computed once."""
    embedded: Tensor = model.get_input_embeddings()(ids)
    heard = [examples.takes[take][clip] for row in rows for clip, take in row.heard]
    if not heard:
        return embedded
    frames = torch.nn.utils.rnn.pad_sequence(heard, batch_first=True).float()
    counts = [len(clip) for clip in heard]
    assert model.model.adapter is not None
    clips = model.model.adapter(stack_frames(frames, counts, ADAPTER_STACK))
    real = torch.cat(
        [clip[: -(-count // ADAPTER_STACK)] for clip, count in zip(clips, counts, strict=True)]
    )
    places = (ids == examples.tokens.audio)[..., None]
    return embedded.masked_scatter(places, real.to(embedded.dtype))
