"""Personas and rubrics: registered by version, told apart, recombined, exchanged, and held to by rules."""

THRESHOLD = 0.8
"""Similarity from which two count as near-duplicates."""
