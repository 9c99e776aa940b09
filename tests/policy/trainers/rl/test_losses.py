"""Losses, advantages and estimates by numbers worked out by hand, and GRPO's beside TRL's."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trivox.policy.trainers.rl.advantages import gae, group_advantages, whitened
from trivox.policy.trainers.rl.kl import KLController
from trivox.policy.trainers.rl.losses import (
    Normalisation,
    aggregated,
    clipped_objective,
    clipped_value_loss,
    importance_ratio,
    kl_estimate,
)


def rows(*values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def test_gae_by_hand() -> None:
    """discount 0.9, decay 0.5; rewards 1, 0, 2; values 0.5, 1, 1; nothing after.

    delta_3 = 2 - 1 = 1; delta_2 = 0 + 0.9 * 1 - 1 = -0.1; delta_1 = 1 + 0.9 * 1 - 0.5 = 1.4.
    A_3 = 1; A_2 = -0.1 + 0.45 * 1 = 0.35; A_1 = 1.4 + 0.45 * 0.35 = 1.5575. Returns are A + V.
    """
    mask = torch.ones(1, 3, dtype=torch.bool)
    found, returns = gae(rows([1, 0, 2]), rows([0.5, 1, 1]), mask, 0.9, 0.5, after=torch.zeros(1))
    torch.testing.assert_close(found, rows([1.5575, 0.35, 1]))
    torch.testing.assert_close(returns, rows([2.0575, 1.35, 2]))


def test_gae_passes_over_what_was_not_chosen() -> None:
    """The same three actions with two forced tokens between and one after them, where the last reward stands: the
    same advantages, 0 at the forced ones."""
    mask = torch.tensor([[True, False, True, False, True, False]])
    rewards, values = rows([1, 0, 0, 0, 0, 2]), rows([0.5, 9, 1, 9, 1, 9])
    found, returns = gae(rewards, values, mask, 0.9, 0.5, after=torch.zeros(1))
    torch.testing.assert_close(found, rows([1.5575, 0, 0.35, 0, 1, 0]))
    torch.testing.assert_close(returns, rows([2.0575, 0, 1.35, 0, 2, 0]))


@pytest.mark.parametrize("forced", [False, True])
def test_gae_across_turns_by_hand(forced: bool) -> None:
    """discount 1, decay 1, values 0: two turns of one action, rewards 1 and 4, gamma halved between them: the
    first is worth 1 + 0.5 * 4 = 3. So it is where it ends in a forced token that holds its reward."""
    if not forced:
        mask, rewards, onward = torch.ones(1, 2, dtype=torch.bool), rows([1, 4]), rows([0.5, 0.5])
    else:
        mask = torch.tensor([[True, False, True]])
        rewards, onward = rows([0, 1, 4]), rows([1, 0.5, 0.5])
    nothing = torch.zeros_like(rewards)
    found, _ = gae(rewards, nothing, mask, 1.0, 1.0, torch.zeros(1), onward)
    assert found[mask].tolist() == [3.0, 4.0]


def test_gae_looks_at_what_follows() -> None:
    """One action, reward 1, value 0, then a state of value 10 at discount 0.9: 1 + 9 = 10."""
    mask = torch.ones(1, 1, dtype=torch.bool)
    found, _ = gae(rows([1]), rows([0]), mask, 0.9, 0.5, after=torch.tensor([10.0]))
    torch.testing.assert_close(found, rows([10]))


def test_whitening_by_hand() -> None:
    """1 and 3 have mean 2 and standard deviation 1; the third is no action."""
    mask = torch.tensor([[True, True, False]])
    torch.testing.assert_close(whitened(rows([1, 3, 7]), mask), rows([-1, 1, 0]))


@pytest.mark.parametrize(
    ("scale", "wanted"),
    [
        ("none", [-1.0, 1.0, 0.0, 0.0]),
        ("group", [-1 / (math.sqrt(2) + 1e-4), 1 / (math.sqrt(2) + 1e-4), 0.0, 0.0]),
        ("batch", [-1 / (math.sqrt(6) + 1e-4), 1 / (math.sqrt(6) + 1e-4), 0.0, 0.0]),
    ],
)
def test_group_advantages_by_hand(scale: Any, wanted: list[float]) -> None:
    """Rewards 0, 2 of one prompt and 5, 5 of another: means 1 and 5. The first group's deviation (n - 1) is the
    root of 2, that of all four (mean 3: 9 + 1 + 4 + 4 = 18, by 3) is the root of 6."""
    found = group_advantages(torch.tensor([0.0, 2.0, 5.0, 5.0]), [0, 0, 1, 1], scale)
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_a_group_of_one_teaches_nothing() -> None:
    assert group_advantages(torch.tensor([3.0]), [0], "group").tolist() == [0.0]


def test_clipped_objective_by_hand() -> None:
    """Clip 0.2 and 0.3. r 1.5, A 1: min(1.5, 1.3) = 1.3. r 0.5, A 1: 0.5. r 0.5, A -1: min(-0.5, -0.8) = -0.8.
    r 1.5, A -1: -1.5. All with the sign turned."""
    found = clipped_objective(rows([1.5, 0.5, 0.5, 1.5]), rows([1, 1, -1, -1]), 0.2, 0.3)
    torch.testing.assert_close(found, rows([-1.3, -0.5, 0.8, 1.5]))


@pytest.mark.parametrize(
    ("normalisation", "wanted"),
    [("grpo", 3.25), ("gspo", 3.25), ("dapo", 3.0), ("dr_grpo", 0.9)],
)
def test_aggregation_by_hand(normalisation: Normalisation, wanted: float) -> None:
    """Two answers: of two tokens with losses 1 and 4 (mean 2.5), of one with 4. grpo (2.5 + 4) / 2; dapo 9 / 3;
    dr_grpo by 2 answers of 5 tokens 9 / 10."""
    losses = rows([1, 4, 100], [4, 100, 100])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    found = aggregated(losses, mask, normalisation, longest=5)
    assert float(found) == pytest.approx(wanted)


def test_ratio_of_tokens_and_of_sequences() -> None:
    """log differences 0.2 and 0.4: by token e^0.2, e^0.4; as a sequence e^0.3 twice; e^0 outside the mask."""
    mask = torch.tensor([[True, True, False]])
    new, old = rows([-1.0, -1.0, -9.0]), rows([-1.2, -1.4, -1.0])
    by_token = importance_ratio(new, old, mask, "dapo")
    torch.testing.assert_close(by_token, rows([math.exp(0.2), math.exp(0.4), 1]))
    as_one = importance_ratio(new, old, mask, "gspo")
    torch.testing.assert_close(as_one[:, :2], rows([math.exp(0.3), math.exp(0.3)]))


def test_value_loss_by_hand() -> None:
    """Clip 0.2. v 1, old 0, R 1: held at 0.2, so max(0, 0.64). v 0.1, old 0, R 1: 0.81 both. Half the mean of 0.64
    and 0.81 is 0.3625; the third is no action."""
    mask = torch.tensor([[True, True, False]])
    found = clipped_value_loss(rows([1, 0.1, 5]), rows([0, 0, 0]), rows([1, 1, 1]), mask, 0.2)
    assert float(found) == pytest.approx(0.3625)


def test_kl_estimates_by_hand() -> None:
    """log ratio 0.5: k1 0.5, k2 0.125, k3 e^-0.5 - 1 + 0.5."""
    new, reference = rows([-1.0]), rows([-1.5])
    assert float(kl_estimate(new, reference, "k1")) == pytest.approx(0.5)
    assert float(kl_estimate(new, reference, "k2")) == pytest.approx(0.125)
    assert float(kl_estimate(new, reference, "k3")) == pytest.approx(math.exp(-0.5) - 0.5)


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_kl_estimates_are_unbiased(kind: Any) -> None:
    """Their mean under pi, worked out over all three outcomes, is KL(pi || reference)."""
    pi, reference = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    wanted = (pi * (pi / reference).log()).sum()
    found = (pi * kl_estimate(pi.log(), reference.log(), kind)).sum()
    torch.testing.assert_close(found, wanted)


def test_the_controller_by_hand() -> None:
    """KL 0.03 against 0.02 is half too much, held to a fifth: 1000 of 10000 actions give 0.1 * (1 + 0.2 * 0.1)."""
    controller = KLController(0.1, target=0.02)
    controller.update(0.03, 1000)
    assert controller.coefficient == pytest.approx(0.102)
    fixed = KLController(0.1)
    fixed.update(99.0, 1000)
    assert fixed.coefficient == 0.1


@pytest.mark.parametrize("normalisation", ["grpo", "dr_grpo", "dapo", "gspo"])
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_grpo_is_trls(normalisation: Normalisation, beta: float) -> None:
    """The same log-probabilities, advantages and mask through `GRPOTrainer._compute_loss`."""
    torch.manual_seed(0)
    old = -torch.rand(4, 6).double() * 3
    new = (old + 0.4 * torch.randn(4, 6)).double().requires_grad_()
    reference = (old + 0.2 * torch.randn(4, 6)).double()
    mask = torch.arange(6) < torch.tensor([6, 4, 1, 5])[:, None]
    advantages = torch.tensor([1.0, -0.5, 0.7, -1.2]).double()
    theirs = trl_loss(new, old, reference, mask, advantages, normalisation, beta)
    ratio = importance_ratio(new, old, mask, normalisation)
    losses = clipped_objective(ratio, advantages[:, None].expand_as(new), 0.2, 0.28)
    if beta:
        losses = losses + beta * kl_estimate(new, reference, "k3")
    mine = aggregated(losses, mask, normalisation, longest=6)
    assert mine.item() == pytest.approx(theirs.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(mine, new, retain_graph=True)
    (their_gradient,) = torch.autograd.grad(theirs, new)
    torch.testing.assert_close(gradient, their_gradient)


def trl_loss(
    new: torch.Tensor,
    old: torch.Tensor,
    reference: torch.Tensor,
    mask: torch.Tensor,
    advantages: torch.Tensor,
    loss_type: str,
    beta: float,
) -> torch.Tensor:
    """TRL's own method on a trainer that has just what it reads."""
    from collections import defaultdict

    from trl import GRPOTrainer

    metrics: Any = defaultdict(list)
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (new, torch.zeros_like(new), None),
        top_entropy_quantile=1.0,
        beta=beta,
        off_policy_mask_threshold=None,
        importance_sampling_level="sequence" if loss_type == "gspo" else "token",
        loss_type="grpo" if loss_type == "gspo" else loss_type,
        epsilon_low=0.2,
        epsilon_high=0.28,
        max_completion_length=6,
        use_vllm=False,
        vllm_importance_sampling_correction=False,
        current_gradient_accumulation_steps=1,
        model=SimpleNamespace(training=True),
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
        accelerator=SimpleNamespace(
            gather=lambda value: value, num_processes=1, reduce=lambda v, **_: v
        ),
        _metrics={"train": metrics, "eval": metrics},
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        tools=None,
    )
    inputs = {
        "prompt_ids": torch.zeros(4, 1, dtype=torch.long),
        "prompt_mask": torch.ones(4, 1, dtype=torch.long),
        "completion_ids": torch.zeros(4, 6, dtype=torch.long),
        "completion_mask": mask.long(),
        "advantages": advantages,
        "old_per_token_logps": old,
        "ref_per_token_logps": reference,
        "num_items_in_batch": mask.sum(),
    }
    loss: torch.Tensor = GRPOTrainer._compute_loss(trainer, None, inputs)  # type: ignore[arg-type]
    return loss
