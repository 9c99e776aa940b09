"""Listening beyond one clip: where speech is, recordings of any length, and several hypotheses."""
