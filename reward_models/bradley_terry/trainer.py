"""`trl.RewardTrainer` for pairs that are tokens and audio already, with ties, weights and margins in its loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trivox.policy.rows import collate
from trivox.reward_models.bradley_terry.losses import davidson_loss
from trivox.reward_models.bradley_terry.pairs import RewardPair

if TYPE_CHECKING:
    from trivox.reward_models.bradley_terry.training import RewardSettings

_LABELS = ("margins", "weights", "ties")


@dataclass(frozen=True)
class RewardCollator:
    """Row numbers -> a batch, the chosen in its first half: pairs stay where they are, for Arrow would only copy
    their audio."""

    pairs: Sequence[RewardPair]
    pad: int
    limit: int

    def __call__(self, examples: Sequence[dict[str, int]]) -> dict[str, Tensor]:
        pairs = [self.pairs[example["pair"]] for example in examples]
        sides = [pair.rows for pair in pairs]
        rows = [chosen for chosen, _ in sides] + [rejected for _, rejected in sides]
        batch = collate(rows, self.pad, limit=self.limit)
        batch.pop("labels")
        batch["margins"] = torch.tensor([pair.tokens.margin for pair in pairs])
        batch["weights"] = torch.tensor([pair.tokens.weight for pair in pairs])
        batch["ties"] = torch.tensor([pair.tie for pair in pairs])
        return batch


def trainer_class() -> type:
    """The subclass; a function, for TRL is imported when it is needed."""
    from trl import RewardTrainer

    class PairTrainer(RewardTrainer):
        reward: "RewardSettings"
        with_ties: bool

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset  # of row numbers: there is nothing to tokenise and no length to drop by

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            labels = {name: inputs[name] for name in _LABELS}
            outputs = model(**{k: v for k, v in inputs.items() if k not in _LABELS})
            chosen, rejected = outputs.logits.squeeze(-1).chunk(2)
            loss = davidson_loss(
                chosen,
                rejected,
                labels["ties"],
                outputs.tie if self.with_ties else None,
                self.reward.margin_scale * labels["margins"],
                labels["weights"],
                self.reward.label_smoothing,
                self.reward.centre,
            )
            self._note(inputs["attention_mask"], chosen.detach(), rejected.detach(), labels["ties"])
            return (loss, outputs) if return_outputs else loss

        def _note(self, mask: Tensor, chosen: Tensor, rejected: Tensor, ties: Tensor) -> None:
            self._total_train_tokens += int(mask.sum())
            figures = {"mean_reward": torch.cat([chosen, rejected]).mean()}
            decided = ~ties
            if bool(decided.any()):
                difference = (chosen - rejected)[decided]
                figures |= {
                    "accuracy": (difference > 0).float().mean(),
                    "margin": difference.mean(),
                }
            for name, value in figures.items():
                self._metrics["train"][name].append(value.item())

        def create_model_card(self, *args: Any, **kwargs: Any) -> None:
            """None: checkpoints are for going on."""

    return PairTrainer
