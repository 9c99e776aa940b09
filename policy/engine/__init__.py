"""Drawing completions: requests of any branch in, tokens and their log-probs out."""

from trivox.policy.engine.in_process import InProcessEngine
from trivox.policy.engine.requests import Drawn, Generation, LogprobsOf, Request, RolloutEngine

__all__ = ["Drawn", "Generation", "InProcessEngine", "LogprobsOf", "Request", "RolloutEngine"]
