"""Audio as arrays: reading and writing, resampling, loudness, pitch. NumPy only; no torch on this floor."""
