"""The shared backbone as a transformers model: frozen audio encoder, linear adapter, causal LM."""

from trivox.policy.modeling.base import TrivoxModel
from trivox.policy.modeling.causal import TrivoxForCausalLM
from trivox.policy.modeling.config import TrivoxConfig, default_dtype, embeddings_for

__all__ = ["TrivoxConfig", "TrivoxForCausalLM", "TrivoxModel", "default_dtype", "embeddings_for"]
