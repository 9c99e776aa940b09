"""The weight of the KL penalty: fixed, or held near a target."""

from dataclasses import dataclass


@dataclass
class KLController:
    """coefficient: of the penalty now. target: KL per action, in nats, that it is steered to, by a fifth at most
    in `horizon` actions (Ziegler et al. 2019, section 2.2); None: the coefficient is fixed."""

    coefficient: float
    target: float | None = None
    horizon: int = 10_000

    def update(self, kl: float, actions: int) -> None:
        """kl: the mean over the actions of a step."""
        if self.target is None:
            return
        error = min(max(kl / self.target - 1, -0.2), 0.2)
        self.coefficient *= 1 + error * actions / self.horizon
