"""Personas and rubrics: registered by version, told apart, recombined, exchanged, and held to by rules."""
