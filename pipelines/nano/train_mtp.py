"""`trivox nano train --part mtp`: blocks of multi-token prediction for the asr branch of a trained nano."""

from pathlib import Path

import numpy as np

from trivox.pipelines.nano.examples import Examples, padded_rows
from trivox.pipelines.nano.prepare import require_prepared
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.train_lm import embeddings_of
from trivox.pipelines.training.mtp import MTPBatch, MTPSettings, train_mtp
from trivox.platform.errors import NotFound
from trivox.platform.progress import bar
from trivox.policy.backbone import WEIGHTS_FILE
from trivox.policy.modeling import TrivoxForCausalLM
from trivox.policy.mtp.decode import note_rounding
from trivox.policy.mtp.loss import HorizonLoss
from trivox.policy.vocabulary import TokenMap

_STREAM = 31
"""Of the recipe's random numbers: other batches than those of the language model."""


def train_nano_mtp(recipe: NanoRecipe, folder: Path) -> Path:
    """Train blocks on the language model in `folder/lm` and the asr rows of its corpus; returns their folder.

    Resumes from its checkpoint. With mtp_joint_steps the calibrated model replaces the one in `folder/lm`.

    Raises NotFound when nothing is prepared or the language model is not trained, else as `train_mtp`.
    """
    require_prepared(folder)
    if not (folder / "lm" / WEIGHTS_FILE).exists():
        raise NotFound(f"{folder}: lm is not trained yet: trivox nano train --part lm")
    model = TrivoxForCausalLM.from_pretrained(folder / "lm")
    recipe = recipe.model_copy(update={"lm_batch_tokens": recipe.mtp_batch_tokens})
    examples = Examples(recipe, folder, TokenMap.load(folder / "lm"))
    settings = mtp_settings(recipe)
    with bar() as shown:
        task = shown.add_task("training mtp", total=None)

        def on_step(done: int, total: int, loss: HorizonLoss) -> None:
            hits = " ".join(f"{hit:.2f}" for hit in loss.hits)
            label = f"training mtp, right {hits}"
            shown.update(task, completed=done, total=total, description=label)

        blocks = train_mtp(
            model,
            lambda step: _batch(recipe, model, examples, step),
            settings,
            folder / "mtp.checkpoint.pt",
            on_step,
        )
    note_rounding(model, blocks, examples.tokens)
    blocks.save(folder / "mtp", recipe.mtp_stored)
    if settings.joint_steps:
        model.save_pretrained(folder / "lm")
    return folder / "mtp"


def mtp_settings(recipe: NanoRecipe) -> MTPSettings:
    return MTPSettings(
        depth=recipe.mtp_depth,
        steps=recipe.mtp_steps,
        learning_rate=recipe.mtp_learning_rate,
        joint_steps=recipe.mtp_joint_steps,
        joint_learning_rate=recipe.mtp_joint_learning_rate,
        bf16=recipe.lm_bf16,
        checkpoint_every=recipe.checkpoint_every,
    )


def _batch(recipe: NanoRecipe, model: TrivoxForCausalLM, examples: Examples, step: int) -> MTPBatch:
    rng = np.random.default_rng([recipe.seed, _STREAM, step])
    rows = examples.batch("asr", rng)
    ids, mask, labels = padded_rows(rows, examples.tokens.pad)
    return MTPBatch(embeddings_of(model, ids, rows, examples), mask, labels)
