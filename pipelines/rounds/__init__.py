"""Rounds of RL as durable stages: rollout, score, compare, label, aggregate, train, evaluate, publish."""
