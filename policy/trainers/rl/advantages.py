"""How much better than expected: generalised advantage estimation, and advantages within a group."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

EPSILON = 1e-4
"""Added to the standard deviation of a group, as in TRL."""


def gae(
    rewards: Tensor,
    values: Tensor,
    mask: Tensor,
    discount: float,
    decay: float,
    after: Tensor,
    onward: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Advantages and returns (Schulman et al. 2016, equations 11 to 16), both float [B, T], 0 where no mask is.

    rewards, values, mask [B, T]: one step per action, in order; steps outside the mask (what the policy did not
    choose) are passed over: the reward of such a step belongs to the action before it. after [B]: the value of
    what follows the last action, 0 where the episode ended by itself. discount is gamma, decay is lambda; onward
    [B, T] multiplies gamma from a step to the next one, 1 everywhere where it is None.
    """
    advantages = torch.zeros_like(values)
    following, carried = after.clone(), torch.zeros_like(after)
    owed, lasting = torch.zeros_like(after), torch.ones_like(after)
    for step in reversed(range(values.shape[1])):
        here = mask[:, step]
        reward = rewards[:, step] + owed
        if onward is not None:
            lasting = lasting * onward[:, step]
        gamma = discount * lasting
        delta = reward + gamma * following - values[:, step]
        carried = torch.where(here, delta + gamma * decay * carried, carried)
        advantages[:, step] = torch.where(here, carried, 0.0)
        following = torch.where(here, values[:, step], following)
        owed = torch.where(here, torch.zeros_like(owed), reward)
        lasting = torch.where(here, torch.ones_like(lasting), lasting)
    return advantages, torch.where(mask, advantages + values, 0.0)


def whitened(advantages: Tensor, mask: Tensor) -> Tensor:
    """Advantages with mean 0 and standard deviation 1 over the actions of the batch; 0 elsewhere. A batch whose
    advantages are all alike is only centred."""
    chosen = advantages[mask]
    if len(chosen) < 2:
        return advantages
    spread = chosen.std(unbiased=False)
    scaled = (advantages - chosen.mean()) / (spread + 1e-8)
    return torch.where(mask, scaled, 0.0)


def group_advantages(
    rewards: Tensor, groups: Sequence[int], scale: Literal["group", "batch", "none"]
) -> Tensor:
    """rewards float [N], groups: which prompt each is of -> reward less the mean of its group, float [N].

    scale "group" divides by the group's standard deviation (GRPO, Shao et al. 2024), "batch" by that of all
    rewards (REINFORCE++), "none" by nothing (Dr. GRPO, Liu et al. 2025: dividing favours prompts that are nearly
    always or nearly never solved). A group of one has advantage 0.
    """
    numbers = torch.as_tensor(list(groups))
    advantages = torch.zeros_like(rewards)
    for group in numbers.unique():
        mine = numbers == group
        centred = rewards[mine] - rewards[mine].mean()
        if scale == "group" and int(mine.sum()) > 1:
            centred = centred / (rewards[mine].std() + EPSILON)
        advantages[mine] = centred
    if scale == "batch" and len(rewards) > 1:
        advantages = advantages / (rewards.std() + EPSILON)
    return advantages
