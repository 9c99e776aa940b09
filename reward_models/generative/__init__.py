"""Generative reward models: a language model reads two replies and says which is better, by how much and why.

questions -> templates -> a backend (local weights, or a server) -> readings of both orders -> one opinion.
"""
