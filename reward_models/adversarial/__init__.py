"""Attacks on a reward: probes that must not pay, and doses of damage that must show."""
