"""`trl.DPOTrainer` for pairs that are tokens and audio already: own batches, own loss, TRL's model and loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from trivox.policy.rows import Row, collate
from trivox.policy.trainers.dpo_loss import preference_loss

if TYPE_CHECKING:
    from trivox.policy.trainers.dpo import DPOSettings, TokenPair

_NOT_FOR_THE_MODEL = (
    "completion_mask",
    "margins",
    "weights",
    "ref_chosen_logps",
    "ref_rejected_logps",
)


@dataclass(frozen=True)
class PairCollator:
    """Row numbers -> a batch, chosen first: the pairs stay where they are, for Arrow would only copy their audio.

    No loss covers carried ids, which completions hold without the policy having chosen them.
    """

    pairs: Sequence["TokenPair"]
    pad: int
    carried: tuple[int, ...]
    reference: tuple[Tensor, Tensor] | None = None
    """Log-probabilities of the chosen and the rejected by the reference, float [n] each, where they are known."""

    def __call__(self, examples: Sequence[dict[str, int]]) -> dict[str, Tensor]:
        numbers = [example["pair"] for example in examples]
        pairs = [self.pairs[number] for number in numbers]
        rows = [self._row(pair, pair.chosen) for pair in pairs]
        rows += [self._row(pair, pair.rejected) for pair in pairs]
        batch = collate(rows, self.pad)
        mask = (batch.pop("labels") >= 0).long()
        batch.pop("position_ids")
        batch["completion_mask"] = mask
        batch["margins"] = torch.tensor([pair.margin for pair in pairs])
        batch["weights"] = torch.tensor([pair.weight for pair in pairs])
        if self.reference is not None:
            batch["ref_chosen_logps"], batch["ref_rejected_logps"] = (
                side[numbers] for side in self.reference
            )
        return batch

    def _row(self, pair: "TokenPair", completion: list[int]) -> Row:
        covered = [token not in self.carried for token in completion]
        return Row(pair.prompt, completion, covered, pair.audio)


@dataclass(frozen=True)
class Rehearsal:
    """Supervised rows, of which some are drawn for each step by its number."""

    rows: Sequence[Row]
    settings: "DPOSettings"
    pad: int
    seed: int

    def drawn(self, step: int) -> dict[str, Tensor] | None:
        """The batch of a step; None without rehearsal."""
        if not self.settings.rehearsal_share:
            return None
        rng = np.random.default_rng([self.seed, 4, step])
        count = min(self.settings.rehearsal_rows, len(self.rows))
        chosen = rng.choice(len(self.rows), count, replace=False)
        return collate([self.rows[index] for index in chosen], self.pad)

    @property
    def weight(self) -> float:
        """Of their mean negative log-likelihood beside a preference loss of weight 1: share / (1 - share)."""
        share = self.settings.rehearsal_share
        return share / (1 - share)


def trainer_class() -> type:
    """The subclass; a function, for TRL is imported when it is needed."""
    from trl import DPOTrainer
    from trl.trainer.utils import use_adapter

    class PairTrainer(DPOTrainer):
        dpo: "DPOSettings"
        rehearsal: Rehearsal | None = None

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def _precompute_ref_logps(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset  # the collator has them

        def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
            outputs, sums, chosen_mean = self._forward(model, inputs)
            reference = self._reference(inputs)
            chosen, rejected = (own - their for own, their in zip(sums, reference, strict=True))
            lengths = inputs["completion_mask"].sum(1).chunk(2)
            loss = preference_loss(
                chosen,
                rejected,
                lengths,
                self.dpo.loss,
                self.dpo.beta,
                self.dpo.margin_scale * inputs["margins"].to(chosen),
                inputs["weights"].to(chosen),
            )
            loss = loss - self.dpo.sft_weight * chosen_mean + self._rehearsed(model)
            self._note(outputs, inputs, sums, chosen.detach(), rejected.detach())
            return (loss, outputs) if return_outputs else loss

        def _rehearsed(self, model: Any) -> Any:
            rehearsal = self.rehearsal
            batch = None if rehearsal is None else rehearsal.drawn(self.state.global_step)
            if rehearsal is None or batch is None:
                return 0.0
            found = model(**{name: value.to(model.device) for name, value in batch.items()}).loss
            self._metrics["train"]["rehearsal_loss"].append(found.item())
            return rehearsal.weight * found

        def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
            known = {k: v for k, v in inputs.items() if k not in ("margins", "weights")}
            found: Any = super().compute_ref_log_probs(model, known)  # type: ignore[no-untyped-call]  # of trl
            return found

        def _forward(self, model: Any, inputs: dict[str, Any]) -> Any:
            """Outputs, sums of log-probabilities of both sides [B], and the mean over tokens of the chosen."""
            outputs = model(**_for_the_model(inputs), fused_lm_head=True)
            mask = inputs["completion_mask"][:, 1:]
            logprobs = outputs.log_probs[:, -mask.shape[1] :]
            chosen_mask = mask.chunk(2)[0].bool()
            return outputs, logprobs.sum(1).chunk(2), logprobs.chunk(2)[0][chosen_mask].mean()

        def _reference(self, inputs: dict[str, Any]) -> Any:
            """Stored, or of the model as it started: the adapter off, or its frozen copy."""
            if "ref_chosen_logps" in inputs:
                return inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]
            model: Any = self.model
            unwrapped = self.accelerator.unwrap_model(model)
            name = "ref" if "ref" in unwrapped.peft_config else None
            with torch.no_grad(), use_adapter(unwrapped, adapter_name=name):
                outputs = model(**_for_the_model(inputs), fused_lm_head=True)
            width = inputs["completion_mask"].shape[1] - 1
            return outputs.log_probs[:, -width:].sum(1).chunk(2)

        def create_model_card(self, *args: Any, **kwargs: Any) -> None:
            """None: checkpoints are for going on, and what is kept gets its card elsewhere."""

        def _note(
            self, outputs: Any, inputs: dict[str, Any], sums: Any, chosen: Tensor, rejected: Tensor
        ) -> None:
            mask = inputs["completion_mask"][:, 1:]
            entropy = (outputs.entropy[:, -mask.shape[1] :].detach() * mask).sum() / mask.sum()
            beta = self.dpo.beta
            figures = {
                "entropy": entropy,
                "rewards/chosen": beta * chosen.mean(),
                "rewards/rejected": beta * rejected.mean(),
                "rewards/margins": beta * (chosen - rejected).mean(),
                "rewards/accuracies": (chosen > rejected).float().mean(),
                "logps/chosen": sums[0].detach().mean(),
                "logps/rejected": sums[1].detach().mean(),
            }
            for name, value in figures.items():
                self._metrics["train"][name].append(value.item())

    return PairTrainer


def _for_the_model(inputs: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in inputs.items() if k not in _NOT_FOR_THE_MODEL}
    labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
    return kept | {"labels": labels, "use_cache": False}
