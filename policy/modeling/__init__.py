"""The shared backbone as a transformers model: frozen audio encoder, linear adapter, causal LM."""

from trivox.policy.modeling.config import TrivoxConfig, default_dtype, embeddings_for
from trivox.policy.modeling.model import TrivoxForCausalLM, TrivoxModel

__all__ = ["TrivoxConfig", "TrivoxForCausalLM", "TrivoxModel", "default_dtype", "embeddings_for"]
