"""Trivox: RLHF data and reward modelling for an audio-language model."""

__version__ = "0.1.0"
