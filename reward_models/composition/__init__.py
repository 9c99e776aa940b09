"""Several scorers as one reward: gates, normalisation, weights and a mean, declared in TOML."""

from trivox.reward_models.composition.compose import ComposedValue, Composition, Part, PartState
from trivox.reward_models.composition.config import CompositionConfig, default_names, load

__all__ = [
    "ComposedValue",
    "Composition",
    "CompositionConfig",
    "Part",
    "PartState",
    "default_names",
    "load",
]
