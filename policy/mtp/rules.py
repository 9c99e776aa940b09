"""What the rows of a batch may say at each of the next positions."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from trivox.policy.branches.constraint import Constraint, ConstraintState, Mask, TextConstraint


class Vocabulary:
    """The ids that verified decoding looks at, and the head's rows for them: all of them, or, where every row
    follows one constraint without a state, those it allows. Logits and distributions are over these."""

    def __init__(self, head: nn.Module, constraints: Sequence[Constraint], size: int) -> None:
        self.head = head
        first = constraints[0]
        same = isinstance(first, TextConstraint) and all(one is first for one in constraints)
        self.stateless = same
        allowed = first.start().allowed() if same else np.ones(size, np.bool_)
        device = next(head.parameters()).device
        self.ids = torch.from_numpy(np.flatnonzero(allowed)).to(device)
        self.names: list[int] = self.ids.tolist()
        self.all_allowed = np.ones(len(self.ids), np.bool_)
        self._rows = head.weight[self.ids] if same and type(head) is nn.Linear else None

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., H] -> [..., len(ids)]."""
        if self._rows is not None:
            return nn.functional.linear(hidden, self._rows)
        found: Tensor = self.head(hidden)
        return found[..., self.ids] if self.stateless else found

    def mask(self, state: ConstraintState) -> Mask:
        """bool [len(ids)] of what may follow."""
        return self.all_allowed if self.stateless else state.allowed()


def ahead_of(state: ConstraintState, constraint: Constraint) -> ConstraintState:
    """A state that may be advanced over drafts, while the row's own stays where it is."""
    if id(state) == id(constraint):  # one without a state is its own
        return state
    return copy.deepcopy(state, {id(constraint): constraint})
