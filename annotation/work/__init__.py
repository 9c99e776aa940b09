"""Work: who is asked what next, what was really heard, how good the answers are."""
