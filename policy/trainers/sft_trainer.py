"""`trl.SFTTrainer` for rows with audio: planned batches in, figures by branch out."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, PreTrainedModel, PrinterCallback

from trivox.platform.errors import WorkError
from trivox.platform.records import Branch
from trivox.policy.backbone import Backbone
from trivox.policy.modeling import TrivoxForCausalLM
from trivox.policy.rows import IGNORED, Row, collate
from trivox.policy.trainers.batches import BatchPlan, branch_marks
from trivox.policy.trainers.checkpoints import KEPT_CHECKPOINTS, seal_callback
from trivox.policy.trainers.common import (
    ADAPTER,
    TOKEN_MODULES,
    lora_config,
    quiet_arguments,
    started,
    step_callback,
    unfrozen,
    widen,
)

if TYPE_CHECKING:
    from trivox.policy.trainers.sft import SFTSettings


@dataclass(frozen=True)
class Job:
    """All that a run is made of."""

    backbone: Backbone
    rows: Sequence[Row]
    plan: BatchPlan
    settings: "SFTSettings"
    folder: Path
    seed: int
    start: Path | None
    on_step: Callable[[int, int], None]


def make_trainer(job: Job) -> Any:
    """The trainer before its first step."""
    full = job.settings.lora_rank == 0
    lm = unfrozen(job.backbone, job.settings.train_adapter) if full else job.backbone.lm
    trainer = _trainer_class()(
        model=started(lm, job.start),
        args=_arguments(job),
        data_collator=_collator(job),
        train_dataset=Dataset.from_dict({"row": list(range(len(job.rows)))}),
        processing_class=AutoTokenizer.from_pretrained(job.backbone.folder),
        peft_config=None if full or job.start else _lora(lm, job.settings),
        callbacks=[step_callback(job.on_step), seal_callback()],
    )
    widen(trainer.model)
    trainer.plan = job.plan
    trainer.marks = branch_marks(job.backbone.tokens)
    trainer.remove_callback(PrinterCallback)  # it prints every log entry on stdout
    return trainer


def _lora(lm: PreTrainedModel, settings: "SFTSettings") -> Any:
    whole = []
    if settings.train_adapter and isinstance(lm, TrivoxForCausalLM) and lm.hears:
        whole.append(ADAPTER)
    if settings.train_tokens:
        whole += TOKEN_MODULES
    return lora_config(lm, settings.lora_rank, settings.lora_alpha, whole)


def _arguments(job: Job) -> Any:
    from trl import SFTConfig

    settings = job.settings
    steps = -(-len(job.plan) // settings.accumulation)
    return SFTConfig(
        **quiet_arguments(job.folder, job.seed),
        learning_rate=settings.learning_rate,
        num_train_epochs=1,  # the plan holds them all
        gradient_accumulation_steps=settings.accumulation,
        warmup_steps=int(settings.warmup_share * steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=KEPT_CHECKPOINTS,
        activation_checkpointing=settings.recompute,
    )


def _collator(job: Job) -> Callable[[list[dict[str, int]]], dict[str, Any]]:
    """Row numbers -> the batch of `collate`."""
    tokens, limit = job.backbone.tokens, job.backbone.position_limit

    def batch_of(numbers: list[dict[str, int]]) -> dict[str, Any]:
        return dict(collate([job.rows[one["row"]] for one in numbers], tokens.pad, limit=limit))

    return batch_of


def _trainer_class() -> type:
    from trl import SFTTrainer

    class BranchTrainer(SFTTrainer):
        plan: BatchPlan
        marks: dict[int, Branch]

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])

        def get_train_dataloader(self) -> Any:
            rows: Any = self.train_dataset
            loader = DataLoader(rows, batch_sampler=self.plan, collate_fn=self.data_collator)
            return self.accelerator.prepare(loader)

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            loss = super().compute_loss(  # type: ignore[no-untyped-call]
                model, inputs, return_outputs, num_items_in_batch
            )
            self._note(inputs, loss, num_items_in_batch)
            return loss

        def _note(self, inputs: dict[str, Any], loss: Any, items: Any) -> None:
            """Sums over the batch, which is of one branch; raises WorkError for a loss that is not finite."""
            value = float(loss.item())
            if not math.isfinite(value):
                raise WorkError(
                    f"SFT: the loss became {value} at step {self.state.global_step + 1}: lower the learning rate"
                )
            tokens = float((inputs["labels"][:, 1:] != IGNORED).sum())
            whole = tokens if items is None else float(items)
            means = [self._metrics["train"][n][-1] for n in ("mean_token_accuracy", "entropy")]
            sums = self._sums[self.marks[int(inputs["input_ids"][0, 0])].value]
            for place, figure in enumerate(
                (value * whole, *[mean * tokens for mean in means], tokens)
            ):
                sums[place] += figure

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            if "loss" in logs:
                logs.update(_figures(self._sums))
                self._sums.clear()
            super().log(logs, start_time)

        def create_model_card(self, *args: Any, **kwargs: Any) -> None:
            """None: checkpoints are for going on, and what is kept gets its card elsewhere."""

    return BranchTrainer


def _figures(sums: dict[str, list[float]]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for branch, (nll, right, entropy, tokens) in sums.items():
        figures |= {
            f"{branch}/loss": nll / tokens,
            f"{branch}/accuracy": right / tokens,
            f"{branch}/entropy": entropy / tokens,
            f"{branch}/tokens": tokens,
        }
    return figures
