"""How far to trust a reward: its agreement with people, beside people's among themselves, and its faults."""
