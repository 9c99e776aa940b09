"""Realtime dialogues of trivox-nano: built for training, simulated and rule-checked for evaluation."""
